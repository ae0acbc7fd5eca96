/// Asks how far groups have read (key 9; KIP-88, KIP-320, KIP-447, KIP-709): one group, or, from version 8, several.
public struct OffsetFetchRequest: Request {
    public static let api = APIKey.offsetFetch
    public typealias Response = OffsetFetchResponse

    public struct Topic: WireStruct {
        public var name = ""
        public var partitionIndexes: [Int32] = []

        public init() {}

        public init(name: String, partitionIndexes: [Int32]) {
            self.name = name
            self.partitionIndexes = partitionIndexes
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.int32Array(&partitionIndexes)
            try wire.tags()
        }
    }

    public struct Group: WireStruct {
        public var groupId = ""
        /// Nil: all for which the group has offsets.
        public var topics: [Topic]?

        public init() {}

        public init(groupId: String, topics: [Topic]?) {
            self.groupId = groupId
            self.topics = topics
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&groupId)
            try wire.nullableArray(&topics)
            try wire.tags()
        }
    }

    /// Versions before 8.
    public var groupId = ""
    /// Nil: all for which the group has offsets (KIP-88). Versions before 8; version 1 has no null.
    public var topics: [Topic]? = []
    /// Versions 8 and later (KIP-709).
    public var groups: [Group] = []
    /// Whether ``ErrorCode/unstableOffsetCommit`` is to be told where a transaction's offsets are not decided yet (KIP-447).
    public var requireStable = false

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&groupId, ...7)
        try wire.nullableArray(&topics, ...7, nullable: 2...)
        try wire.array(&groups, 8...)
        try wire.bool(&requireStable, 7...)
        try wire.tags()
    }
}

public struct OffsetFetchResponse: Response {
    public static let api = APIKey.offsetFetch

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        /// The offset of the record that is to be read next; -1: the group has none here.
        public var committedOffset: Int64 = -1
        /// The leader epoch of the last record that was read; -1: not known (KIP-320).
        public var committedLeaderEpoch: Int32 = -1
        /// What was kept with the offset.
        public var metadata: String?
        public var errorCode = ErrorCode.none

        public init() {}

        public init(partitionIndex: Int32, errorCode: ErrorCode = .none, committedOffset: Int64 = -1) {
            self.partitionIndex = partitionIndex
            self.errorCode = errorCode
            self.committedOffset = committedOffset
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.int64(&committedOffset)
            try wire.int32(&committedLeaderEpoch, 5...)
            try wire.nullableString(&metadata)
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

    public struct Group: WireStruct {
        public var groupId = ""
        public var topics: [Topic] = []
        /// Of the group as a whole.
        public var errorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&groupId)
            try wire.array(&topics)
            try wire.error(&errorCode)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    /// Versions before 8.
    public var topics: [Topic] = []
    /// Of the group as a whole. Versions 2 to 7; in version 1 every partition has it.
    public var errorCode = ErrorCode.none
    /// Versions 8 and later (KIP-709).
    public var groups: [Group] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 3...)
        try wire.array(&topics, ...7)
        try wire.error(&errorCode, 2...7)
        try wire.array(&groups, 8...)
        try wire.tags()
    }
}
