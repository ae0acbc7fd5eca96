// Which replicas keep up with the leader: what Kafka calls in sync.

extension ReplicaCore {
    /// An epoch begins. Whoever has promised it was there a moment ago: it has as long to catch up as it may lag.
    mutating func beginInSync(_ promised: [ReplicaID], _ now: UInt64) {
        for replica in promised { followers[replica]?.trust(now: now) }
        inSync = assignment.replicas.filter { $0 == own || promised.contains($0) }
    }

    /// Who has caught up comes in, who is not heard of or lags too long goes out. Whoever comes in has all that is committed.
    mutating func updateInSync(_ now: UInt64) {
        guard case .leader = role else { return }
        inSync = assignment.replicas.filter { replica in
            replica == own || keepsUp(replica, now) && (inSync.contains(replica) || hasCommitted(replica))
        }
    }

    private func keepsUp(_ replica: ReplicaID, _ now: UInt64) -> Bool {
        followers[replica]?.keepsUp(lag: times.lag, silence: times.silence, now: now) ?? false
    }

    private func hasCommitted(_ replica: ReplicaID) -> Bool {
        followers[replica].map { $0.state == .streaming && $0.persisted >= committed } ?? false
    }

    /// What of the committed journal all replicas in sync have on stable storage. It may go back when the set changes; what was once said of the
    /// replicas in sync holds for those that are later.
    public var inSyncReached: UInt64 { inSync.reduce(committed) { min($0, reach($1)) } }
}
