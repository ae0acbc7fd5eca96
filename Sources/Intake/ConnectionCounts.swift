import Synchronization

/// How many connections there are, in all and by address, over all io stages. The lock is held for a look-up, when a
/// connection comes or goes; no request waits for it.
public final class ConnectionCounts: Sendable {
    private struct State {
        var all = 0
        var byAddress: [UInt64: Int] = [:]
    }

    private let limit: Int
    private let perAddress: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - limit: of all connections.
    ///   - perAddress: of those from one address.
    public init(limit: Int, perAddress: Int) {
        self.limit = limit
        self.perAddress = perAddress
    }

    /// Counts a connection more, to be taken back by `leave`. Where that would be one too many, nothing is counted; the
    /// reason, to follow "refused:".
    func enter(_ address: UInt64) -> String? {
        state.withLock { state in
            guard state.all < limit else { return "there are \(state.all) connections already" }
            let mine = state.byAddress[address, default: 0]
            guard mine < perAddress else { return "there are \(mine) connections from its address already" }
            state.all += 1
            state.byAddress[address] = mine + 1
            return nil
        }
    }

    func leave(_ address: UInt64) {
        state.withLock { state in
            guard let mine = state.byAddress[address] else { preconditionFailure("who leaves has entered") }
            state.all -= 1
            state.byAddress[address] = mine > 1 ? mine - 1 : nil
        }
    }
}
