/// Deletes a partition's records before an offset (key 21; KIP-107).
public struct DeleteRecordsRequest: Request {
    public static let api = APIKey.deleteRecords
    public typealias Response = DeleteRecordsResponse

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        /// The offset of the first record to keep; -1: the high watermark.
        public var offset: Int64 = 0

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.int64(&offset)
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

    public var topics: [Topic] = []
    /// How long the broker may take, in milliseconds.
    public var timeoutMs: Int32 = 0

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.array(&topics)
        try wire.int32(&timeoutMs)
        try wire.tags()
    }
}

public struct DeleteRecordsResponse: Response {
    public static let api = APIKey.deleteRecords

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        /// The offset of the first record that is still there; -1 with an error.
        public var lowWatermark: Int64 = -1
        public var errorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.int64(&lowWatermark)
            try wire.error(&errorCode)
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
        try wire.int32(&throttleTimeMs)
        try wire.array(&topics)
        try wire.tags()
    }
}
