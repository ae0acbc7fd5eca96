import Foundation
import Glibc
import Synchronization

/// Stands between a client and a server on the loopback and can be made to fail as networks do. Bytes are passed on by threads of its own.
final class Relay: Sendable {
    private struct State {
        var isCut = false
        var isDeaf = false
        var hasEnded = false
        var sockets: Set<Int32> = []
    }

    let port: Int
    private let target: Int
    private let listener: Int32
    private let state = Mutex(State())

    init(to target: Int) throws {
        self.target = target
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Relay.address(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                _ = bind(listener, address, length)
                _ = getsockname(listener, address, &length)
            }
        }
        guard address.sin_port != 0, listen(listener, 64) == 0 else { throw EtcdProcessError(description: "no port is free on the loopback") }
        self.listener = listener
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread.detachNewThread { [self] in accept() }
    }

    /// Connections are broken, and new ones at once too.
    var isCut: Bool {
        get { state.withLock { $0.isCut } }
        set {
            state.withLock { state in
                state.isCut = newValue
                if newValue { for socket in state.sockets { shutdown(socket, Int32(SHUT_RDWR)) } }
            }
        }
    }

    /// What the server says is swallowed.
    var isDeaf: Bool {
        get { state.withLock { $0.isDeaf } }
        set { state.withLock { $0.isDeaf = newValue } }
    }

    func end() {
        state.withLock { state in
            guard !state.hasEnded else { return }
            state.hasEnded = true
            state.isCut = true
            for socket in state.sockets { shutdown(socket, Int32(SHUT_RDWR)) }
            // The thread that accepts wakes up and closes it.
            shutdown(listener, Int32(SHUT_RDWR))
        }
    }

    private static func address(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(clamping: port)).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return address
    }

    private func accept() {
        while true {
            let client = Glibc.accept(listener, nil, nil)
            if client < 0 || state.withLock({ $0.hasEnded }) {
                if client >= 0 { close(client) }
                close(listener)
                return
            }
            let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            var address = Relay.address(target)
            let connected = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            let isOpen = state.withLock { state in
                guard connected == 0 && !state.isCut else { return false }
                state.sockets.formUnion([client, server])
                return true
            }
            guard isOpen else {
                close(client)
                close(server)
                continue
            }
            pass(client, server)
        }
    }

    /// Both directions; the last to end closes.
    private func pass(_ client: Int32, _ server: Int32) {
        let left = Counter(2)
        for (from, to) in [(client, server), (server, client)] {
            Thread.detachNewThread { [self] in
                var bytes = [UInt8](repeating: 0, count: 65536)
                while true {
                    let count = read(from, &bytes, bytes.count)
                    guard count > 0 else { break }
                    if from == server && isDeaf { continue }
                    guard send(to, bytes, count, Int32(MSG_NOSIGNAL)) == count else { break }
                }
                shutdown(to, Int32(SHUT_RDWR))
                guard left.decrement() == 0 else { return }
                state.withLock { state in
                    state.sockets.subtract([client, server])
                    close(client)
                    close(server)
                }
            }
        }
    }

    private final class Counter: Sendable {
        private let value: Atomic<Int>
        init(_ value: Int) { self.value = Atomic(value) }
        func decrement() -> Int { value.subtract(1, ordering: .acquiringAndReleasing).newValue }
    }
}
