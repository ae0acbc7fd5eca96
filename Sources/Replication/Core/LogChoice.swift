/// What a candidate makes of the promises that it has: rule 3 of docs/REPLICATION.md.
public enum LogChoice: Equatable, Sendable {
    /// Promises of others are needed.
    case wait
    /// The candidate's own log would have to begin anew: that one should lead.
    case leaveTo(ReplicaID)
    /// The candidate's log is to become this one.
    case take(LogPlan)

    /// - Parameters:
    ///   - own: the candidate; its shape is among the promises.
    ///   - promises: the shapes of those who have promised. Others than the set's don't count.
    ///   - replicas: the set.
    public static func make(own: ReplicaID, promises: [ReplicaID: LogShape], replicas: [ReplicaID]) -> LogChoice {
        let voters = replicas.filter { promises[$0] != nil }.sorted()
        guard let mine = promises[own], let first = voters.first else { return .wait }
        // Of equals its own, which needs nothing.
        let best = voters.reduce(voters.contains(own) ? own : first) { promises[$1]!.isBetter(than: promises[$0]!) ? $1 : $0 }
        var target = promises[best]!
        // A majority chooses. Those whose logs may have been longer than the best one count for it only once there is nobody left who could tell.
        let sure = voters.count { !promises[$0]!.isUnsure || promises[$0]!.history.lastEpoch < target.history.lastEpoch }
        guard sure >= GroupAssignment.majority(of: replicas.count) || voters.count == replicas.count else { return .wait }
        let common = mine.common(with: target)
        if common < target.start { return .leaveTo(best) }
        // What the candidate has not, or can't read.
        var lacking = mine.damage(in: mine.start..<max(common, mine.start))
        if common < target.end { lacking.append(common..<target.end) }
        var reads: [LogPlan.Read] = []
        for range in lacking {
            var from = range.lowerBound
            while from < range.upperBound {
                if let (source, end) = holder(of: from..<range.upperBound, target, promises, voters, except: own) {
                    reads.append(LogPlan.Read(range: from..<end, source: source))
                    from = end
                } else if neverHeld(from, target, promises, voters) >= GroupAssignment.majority(of: replicas.count)
                    || voters.count == replicas.count && target.damage(in: from..<target.end) == [from..<target.end]
                {
                    // It was never committed, nor was anything behind it; or it is the torn end of a log, and there is nobody left who
                    // could have it.
                    let leftOut = from..<target.end
                    target.history.cut(at: from)
                    return .take(LogPlan(history: target.history, end: from, keeps: min(common, from), reads: reads, leftOut: leftOut))
                } else {
                    return .wait
                }
            }
        }
        return .take(LogPlan(history: target.history, end: target.end, keeps: common, reads: reads))
    }

    /// Who can be read from at the beginning of the range, and how far.
    private static func holder(
        of range: Range<UInt64>, _ target: LogShape, _ promises: [ReplicaID: LogShape], _ voters: [ReplicaID], except own: ReplicaID
    ) -> (ReplicaID, UInt64)? {
        var found: (ReplicaID, UInt64)?
        for voter in voters where voter != own {
            let shape = promises[voter]!
            let part = range.clamped(to: shape.start..<max(shape.start, shape.common(with: target)))
            guard !part.isEmpty, part.lowerBound == range.lowerBound else { continue }
            let end = shape.damage(in: part).first?.lowerBound ?? part.upperBound
            if end > range.lowerBound, end > found?.1 ?? 0 { found = (voter, end) }
        }
        return found
    }

    /// How many of those who promised show that the target's log at that position was never theirs.
    private static func neverHeld(
        _ position: UInt64, _ target: LogShape, _ promises: [ReplicaID: LogShape], _ voters: [ReplicaID]
    ) -> Int {
        voters.count { !promises[$0]!.isUnsure && promises[$0]!.common(with: target) <= position }
    }
}

/// How a candidate's log becomes the best one.
public struct LogPlan: Equatable, Sendable {
    public struct Read: Equatable, Sendable {
        public var range: Range<UInt64>
        public var source: ReplicaID

        public init(range: Range<UInt64>, source: ReplicaID) {
            self.range = range
            self.source = source
        }
    }

    /// The log as it will be.
    public var history: LogHistory
    public var end: UInt64
    /// What the candidate has of it already; what it has beyond is cut off.
    public var keeps: UInt64
    /// What is to be read from others, in order: first damage in what it keeps, then what follows.
    public var reads: [Read]
    /// What nobody can have been told is committed, and can't be read.
    public var leftOut: Range<UInt64>?

    public init(history: LogHistory, end: UInt64, keeps: UInt64, reads: [Read], leftOut: Range<UInt64>? = nil) {
        self.history = history
        self.end = end
        self.keeps = keeps
        self.reads = reads
        self.leftOut = leftOut
    }
}
