/// Asks for offsets by timestamp (key 2; KIP-79).
public struct ListOffsetsRequest: Request {
    public static let api = APIKey.listOffsets
    public typealias Response = ListOffsetsResponse

    /// The timestamps that mean a place, not a time.
    public enum Timestamp {
        /// The high watermark, or the last stable offset for committed data only.
        public static let latest: Int64 = -1
        /// The log's start.
        public static let earliest: Int64 = -2
        /// As `earliest`, of what is on the broker's own disk (version 8; KIP-405).
        public static let earliestLocal: Int64 = -4
        /// The record with the greatest timestamp (version 7; KIP-734).
        public static let max: Int64 = -3
    }

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        /// -1: not known, so it is not checked.
        public var currentLeaderEpoch: Int32 = -1
        /// Milliseconds since 1970, or one of ``Timestamp``.
        public var timestamp: Int64 = 0

        public init() {}

        public init(partitionIndex: Int32, timestamp: Int64) {
            self.partitionIndex = partitionIndex
            self.timestamp = timestamp
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.int32(&currentLeaderEpoch, 4...)
            try wire.int64(&timestamp)
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

    /// -1: a consumer.
    public var replicaId: Int32 = -1
    /// 0: read uncommitted; 1: read committed.
    public var isolationLevel: Int8 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&replicaId)
        try wire.int8(&isolationLevel, 2...)
        try wire.array(&topics)
        try wire.tags()
    }
}

public struct ListOffsetsResponse: Response {
    public static let api = APIKey.listOffsets

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        public var errorCode = ErrorCode.none
        /// Of the record at `offset`, in milliseconds since 1970; -1 for a place or if there is none.
        public var timestamp: Int64 = -1
        /// -1: no record is that late.
        public var offset: Int64 = -1
        /// -1: unknown.
        public var leaderEpoch: Int32 = -1

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.error(&errorCode)
            try wire.int64(&timestamp)
            try wire.int64(&offset)
            try wire.int32(&leaderEpoch, 4...)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

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
        try wire.int32(&throttleTimeMs, 2...)
        try wire.array(&topics)
        try wire.tags()
    }
}
