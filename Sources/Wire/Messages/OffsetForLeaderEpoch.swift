/// Asks where leaders' epochs end, to find out whether a log was cut off behind what was read of it (key 23; KIP-101, KIP-320).
public struct OffsetForLeaderEpochRequest: Request {
    public static let api = APIKey.offsetForLeaderEpoch
    public typealias Response = OffsetForLeaderEpochResponse

    public struct Partition: WireStruct {
        public var partition: Int32 = 0
        /// -1: not known, so it is not checked.
        public var currentLeaderEpoch: Int32 = -1
        /// The epoch whose end is asked for: of the last record that was read.
        public var leaderEpoch: Int32 = 0

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partition)
            try wire.int32(&currentLeaderEpoch)
            try wire.int32(&leaderEpoch)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var topic = ""
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&topic)
            try wire.array(&partitions)
            try wire.tags()
        }
    }

    /// -1: a consumer; -2: not said.
    public var replicaId: Int32 = -2
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&replicaId, 3...)
        try wire.array(&topics)
        try wire.tags()
    }
}

public struct OffsetForLeaderEpochResponse: Response {
    public static let api = APIKey.offsetForLeaderEpoch

    public struct Partition: WireStruct {
        public var errorCode = ErrorCode.none
        public var partition: Int32 = 0
        /// The greatest epoch of the log that is not above the one that was asked for; -1: unknown.
        public var leaderEpoch: Int32 = -1
        /// The offset behind that epoch's last record; -1: unknown.
        public var endOffset: Int64 = -1

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.error(&errorCode)
            try wire.int32(&partition)
            try wire.int32(&leaderEpoch)
            try wire.int64(&endOffset)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var topic = ""
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&topic)
            try wire.array(&partitions)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.array(&topics)
        try wire.tags()
    }
}
