import Foundation
import Glibc

/// What systemd is told by a service that it has started (sd_notify(3)): one datagram each, to the socket that `NOTIFY_SOCKET` names. Elsewhere nothing is done.
struct ServiceNotices {
    private let path: String?
    /// How often it wants to hear that all is well, in nanoseconds; nil: never. Half of what it waits for (sd_watchdog_enabled(3)).
    let watchdogInterval: UInt64?

    init(environment: [String: String]) {
        path = environment["NOTIFY_SOCKET"]
        let isMeant = environment["WATCHDOG_PID"].map { $0 == "\(getpid())" } ?? true
        let microseconds = environment["WATCHDOG_USEC"].flatMap { UInt64($0) } ?? 0
        watchdogInterval = path != nil && isMeant && microseconds > 0 ? microseconds * 500 : nil
    }

    func ready() { send("READY=1\nSTATUS=Clients are served.") }
    func stopping() { send("STOPPING=1\nSTATUS=Finishing what was taken.") }
    func isWell(again: Bool) { send("WATCHDOG=1" + (again ? "\nSTATUS=Clients are served." : "")) }
    func isStuck(_ sentence: String) { send("STATUS=\(sentence)") }

    private func send(_ text: String) {
        guard let path, let first = path.utf8.first, first == UInt8(ascii: "/") || first == UInt8(ascii: "@") else { return }
        let file = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard file >= 0 else { return }
        defer { close(file) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        // An abstract socket's name begins with a zero.
        if first == UInt8(ascii: "@") { name[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path)! + name.count)
        let bytes = Array(text.utf8)
        _ = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(file, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, length) }
        }
    }
}
