import Synchronization

/// Where clients are that have asked to join a consumer group, for those who describe it: a request itself does not say. The lock is held for a look-up, when
/// somebody joins.
public final class ClientHosts: Sendable {
    private struct Place: Hashable {
        let io: Int
        let slot: UInt32
    }

    /// By slot, whatever its tenants: no more than there were ever connections at once.
    private let hosts = Mutex<[Place: (generation: UInt32, host: String)]>([:])

    public init() {}

    /// - Parameters:
    ///   - io: the number of the io stage that the connection is one of.
    ///   - peer: the other side's host and port, as `SocketPort.peerName` gives them.
    func note(_ connection: ConnectionID, io: Int, peer: String) {
        let host = peer.lastIndex(of: ":").map { peer[..<$0] } ?? peer[...]
        hosts.withLock { $0[Place(io: io, slot: connection.slot)] = (connection.generation, "/" + host) }
    }

    /// The host that a request to join came from, as Kafka writes it: a slash, and the address. Empty if none came.
    public func host(of connection: ConnectionID, io: Int) -> String {
        hosts.withLock { hosts in
            guard let known = hosts[Place(io: io, slot: connection.slot)], known.generation == connection.generation else { return "" }
            return known.host
        }
    }
}
