// Which replicas keep up with the leader: what Kafka calls in sync.

extension FollowerProgress {
    /// It has acknowledged something, or nothing new. Where it has all that the log had at some time, it had caught up then: under a steady load
    /// it never has all that there is.
    mutating func noteCatchingUp(with end: UInt64, _ now: UInt64) {
        if let mark, persisted < mark.end { return }
        caughtUp = persisted >= end ? now : mark?.at ?? caughtUp
        mark = (end, now)
    }
}

extension ReplicaCore {
    /// An epoch begins. Whoever has promised it was there a moment ago: it has as long to catch up as it may lag.
    mutating func beginInSync(_ promised: [ReplicaID], _ now: UInt64) {
        for replica in promised { followers[replica]?.caughtUp = now }
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
        guard let progress = followers[replica], let caughtUp = progress.caughtUp else { return false }
        return now < progress.heard + times.silence && now < caughtUp + times.lag
    }

    private func hasCommitted(_ replica: ReplicaID) -> Bool {
        followers[replica].map { $0.state == .streaming && $0.persisted >= committed } ?? false
    }

    /// What of the committed journal all replicas in sync have on stable storage. It may go back when the set changes; what was once said of the
    /// replicas in sync holds for those that are later.
    public var inSyncReached: UInt64 { inSync.reduce(committed) { min($0, reach($1)) } }
}
