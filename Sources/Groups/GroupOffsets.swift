import Wire

/// How far a group has read a partition.
public struct CommittedOffset: Equatable, Sendable {
    /// Of the record that is to be read next.
    public var offset: Int64
    /// Of the last record that was read; -1: not known.
    public var leaderEpoch: Int32
    /// What the client wants kept with it.
    public var metadata: String
    /// When it was committed, in milliseconds since 1970.
    public var committedAt: Int64

    public init(offset: Int64, leaderEpoch: Int32, metadata: String, committedAt: Int64) {
        self.offset = offset
        self.leaderEpoch = leaderEpoch
        self.metadata = metadata
        self.committedAt = committedAt
    }

    init(_ value: OffsetCommitValue) {
        self.init(offset: value.offset, leaderEpoch: value.leaderEpoch, metadata: value.metadata, committedAt: value.commitTimestamp)
    }
}

/// The offsets that a group has committed, by topic and partition.
public struct GroupOffsets: Sendable {
    public private(set) var topics: [String: [Int32: CommittedOffset]] = [:]

    public init() {}

    public var isEmpty: Bool { topics.isEmpty }
    public var count: Int { topics.values.reduce(0) { $0 + $1.count } }

    public subscript(topic: String, partition: Int32) -> CommittedOffset? {
        get { topics[topic]?[partition] }
        set {
            topics[topic, default: [:]][partition] = newValue
            if topics[topic]!.isEmpty { topics[topic] = nil }
        }
    }
}
