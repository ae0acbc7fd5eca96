import Foundation
import Glibc

/// A broker on this host, as /proc shows it.
public struct BrokerProcess: Sendable {
    public let pid: Int32

    public init(pid: Int32) { self.pid = pid }

    /// The process that listens on the port; nil where it can't be found: on another host, or another user's.
    public init?(listeningOn port: UInt16) {
        guard let inode = BrokerProcess.listener(port), let pid = BrokerProcess.owner(of: "socket:[\(inode)]") else { return nil }
        self.pid = pid
    }

    /// CPU time of the process so far, in nanoseconds, by its own clock (clock_getcpuclockid(3)).
    public func cpu() -> Double { BrokerProcess.cpu(of: pid) }

    /// Memory that is there for it and no file's (proc(5), statm), in bytes; nil: it has ended.
    public var residentBytes: Int? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/statm", encoding: .utf8) else { return nil }
        let pages = text.split(separator: " ").prefix(3).compactMap { Int($0) }
        return pages.count == 3 ? (pages[1] - pages[2]) * Int(getpagesize()) : nil
    }

    static func ownCPU() -> Double { cpu(of: getpid()) }

    private static func cpu(of pid: Int32) -> Double {
        var clock = clockid_t()
        var time = timespec()
        guard clock_getcpuclockid(pid, &clock) == 0, clock_gettime(clock, &time) == 0 else { return 0 }
        return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
    }

    /// The directory of its data: where it holds a file named `lock`.
    public var dataDirectory: String? {
        let directory = "/proc/\(pid)/fd"
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else { return nil }
        for name in names {
            if let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\(name)"), path.hasSuffix("/lock") {
                return String(path.dropLast("/lock".count))
            }
        }
        return nil
    }

    /// The inode of the socket that listens on the port (proc(5), net/tcp: state 0A).
    private static func listener(_ port: UInt16) -> String? {
        let hex = String(format: ":%04X", port)
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            guard let text = try? String(contentsOfFile: table, encoding: .utf8) else { continue }
            for line in text.split(separator: "\n").dropFirst() {
                let fields = line.split(separator: " ")
                if fields.count > 9, fields[1].hasSuffix(hex), fields[3] == "0A" { return String(fields[9]) }
            }
        }
        return nil
    }

    private static func owner(of link: String) -> Int32? {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        for pid in all.compactMap({ Int32($0) }) {
            let directory = "/proc/\(pid)/fd"
            for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
                if (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\(name)")) == link { return pid }
            }
        }
        return nil
    }
}
