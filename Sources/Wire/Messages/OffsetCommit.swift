/// Keeps how far a group has read (key 8; KIP-211, KIP-320, KIP-345).
public struct OffsetCommitRequest: Request {
    public static let api = APIKey.offsetCommit
    public typealias Response = OffsetCommitResponse

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        /// The offset of the record that is to be read next.
        public var committedOffset: Int64 = 0
        /// The leader epoch of the last record that was read; -1: not known (KIP-320).
        public var committedLeaderEpoch: Int32 = -1
        /// When the commit was made, in milliseconds since 1970; -1: when it arrives. Version 1 only.
        public var commitTimestamp: Int64 = -1
        /// What the client wants kept with the offset; the broker does not look at it.
        public var committedMetadata: String?

        public init() {}

        public init(partitionIndex: Int32, committedOffset: Int64) {
            self.partitionIndex = partitionIndex
            self.committedOffset = committedOffset
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.int64(&committedOffset)
            try wire.int32(&committedLeaderEpoch, 6...)
            try wire.int64(&commitTimestamp, 1...1)
            try wire.nullableString(&committedMetadata)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

        public init(name: String, partitions: [Partition]) {
            self.name = name
            self.partitions = partitions
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.array(&partitions)
            try wire.tags()
        }
    }

    public var groupId = ""
    /// -1: the offsets are kept for a consumer that assigns partitions to itself, and is no member of the group.
    public var generationId: Int32 = -1
    /// Empty where there is no member.
    public var memberId = ""
    /// The name that the member keeps when it starts again; nil: none (KIP-345).
    public var groupInstanceId: String?
    /// How long the offsets are to be kept, in milliseconds; -1: as long as the broker keeps them. Versions 2 to 4: since
    /// KIP-211 the broker alone decides.
    public var retentionTimeMs: Int64 = -1
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&groupId)
        try wire.int32(&generationId)
        try wire.string(&memberId)
        try wire.nullableString(&groupInstanceId, 7...)
        try wire.int64(&retentionTimeMs, 2...4)
        try wire.array(&topics)
        try wire.tags()
    }
}

public struct OffsetCommitResponse: Response {
    public static let api = APIKey.offsetCommit

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        public var errorCode = ErrorCode.none

        public init() {}

        public init(partitionIndex: Int32, errorCode: ErrorCode) {
            self.partitionIndex = partitionIndex
            self.errorCode = errorCode
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.error(&errorCode)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

        public init(name: String, partitions: [Partition]) {
            self.name = name
            self.partitions = partitions
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.array(&partitions)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 3...)
        try wire.array(&topics)
        try wire.tags()
    }
}
