import Journal

/// One copy of a partition group's journal: a broker, and the incarnation of its disk. After the disk was wiped it is another one.
public struct ReplicaID: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    public var broker: Int32
    public var incarnation: UInt64

    public init(broker: Int32, incarnation: UInt64) {
        self.broker = broker
        self.incarnation = incarnation
    }

    public static func < (left: ReplicaID, right: ReplicaID) -> Bool {
        (left.broker, left.incarnation) < (right.broker, right.incarnation)
    }

    public var description: String { "\(broker).\(String(incarnation, radix: 16))" }
}

/// An epoch of a log, and the position of its first frame.
public typealias EpochStart = EpochHistory.Start

/// The epochs of a log, ascending. Two logs that have an epoch in common are equal up to the lesser end of that epoch's run
/// (docs/REPLICATION.md).
public struct LogHistory: Hashable, Codable, Sendable {
    public private(set) var starts: [EpochStart]

    public init(_ starts: [EpochStart] = []) { self.starts = starts }

    public var lastEpoch: UInt32 { starts.last?.epoch ?? 0 }

    /// The log goes on at `position` with that epoch: what began there or later is no longer part of it.
    public mutating func begin(_ epoch: UInt32, at position: UInt64) {
        cut(at: position)
        precondition(epoch > lastEpoch, "epochs grow along a log")
        starts.append(EpochStart(epoch: epoch, position: position))
    }

    /// The log ends at `position`.
    public mutating func cut(at position: UInt64) {
        while let last = starts.last, last.position >= position { starts.removeLast() }
    }

    /// How far this log, which ends at `end`, and another are equal.
    public func common(end: UInt64, with other: LogHistory, otherEnd: UInt64) -> UInt64 {
        var mine = starts.count - 1
        var its = other.starts.count - 1
        while mine >= 0, its >= 0 {
            let (left, right) = (starts[mine], other.starts[its])
            if left == right {
                return min(runEnd(mine, end), other.runEnd(its, otherEnd))
            }
            if left.epoch >= right.epoch { mine -= 1 }
            if right.epoch >= left.epoch { its -= 1 }
        }
        return 0
    }

    private func runEnd(_ index: Int, _ end: UInt64) -> UInt64 { index + 1 < starts.count ? starts[index + 1].position : end }
}

/// What a replica's log looks like: enough to find the best one, and where two differ.
public struct LogShape: Hashable, Codable, Sendable {
    /// The first position that is still in the journal; what came before is in archives.
    public var start: UInt64
    public var history: LogHistory
    /// What it has acknowledged as persisted lies before.
    public var end: UInt64
    /// Ranges below `end` that it can't read: what was there is unknown, not absent. Ascending, apart from each other.
    public var damaged: [Range<UInt64>]
    /// It may have gone on behind `end`, in its last epoch.
    public var isUnsure: Bool

    public init(
        start: UInt64 = 0, history: LogHistory = LogHistory(), end: UInt64 = 0, damaged: [Range<UInt64>] = [], isUnsure: Bool = false
    ) {
        self.isUnsure = isUnsure
        self.start = start
        self.history = history
        self.end = end
        self.damaged = damaged
    }

    /// How far the two logs are equal, damage aside.
    public func common(with other: LogShape) -> UInt64 { history.common(end: end, with: other.history, otherEnd: other.end) }

    /// Whether a leader should rather have this log: by its last epoch, then by its length.
    public func isBetter(than other: LogShape) -> Bool { (history.lastEpoch, end) > (other.history.lastEpoch, other.end) }

    /// The parts of `range` that are damaged.
    public func damage(in range: Range<UInt64>) -> [Range<UInt64>] { damaged.parts(within: range) }
}

extension [Range<UInt64>] {
    /// What of the ranges lies within another.
    func parts(within range: Range<UInt64>) -> [Range<UInt64>] { map { $0.clamped(to: range) }.filter { !$0.isEmpty } }
}

/// Who leads a partition group, in which epoch, and who its replicas are: one value in the metadata store, changed by swap.
public struct GroupAssignment: Hashable, Codable, Sendable {
    public var epoch: UInt32
    /// Who won the epoch; nil: it has resigned, or nobody ever led.
    public var leader: ReplicaID?
    public var replicas: [ReplicaID]

    public init(epoch: UInt32 = 0, leader: ReplicaID? = nil, replicas: [ReplicaID] = []) {
        self.epoch = epoch
        self.leader = leader
        self.replicas = replicas
    }

    public var majority: Int { GroupAssignment.majority(of: replicas.count) }
    public static func majority(of count: Int) -> Int { count / 2 + 1 }
}

/// What operators want of a partition group. It stands in the store beside the assignment, which the group's leader makes follow it.
public struct GroupTarget: Hashable, Codable, Sendable {
    /// Who is to have it, each once; the first of them that keeps up is to lead.
    public var brokers: [Int32]
    /// Counts the times that an operator has asked for the one that is to lead to take over at once.
    public var elections: UInt32

    public init(brokers: [Int32] = [], elections: UInt32 = 0) {
        self.brokers = brokers
        self.elections = elections
    }
}
