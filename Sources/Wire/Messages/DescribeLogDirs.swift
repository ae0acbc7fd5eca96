/// Asks a broker how much its partitions take on its disks (key 35; KIP-113, KIP-827).
public struct DescribeLogDirsRequest: Request {
    public static let api = APIKey.describeLogDirs
    public typealias Response = DescribeLogDirsResponse

    public struct Topic: WireStruct {
        public var topic = ""
        public var partitions: [Int32] = []

        public init() {}

        public init(topic: String, partitions: [Int32]) {
            self.topic = topic
            self.partitions = partitions
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&topic)
            try wire.int32Array(&partitions)
            try wire.tags()
        }
    }

    /// Nil: all that the broker has.
    public var topics: [Topic]? = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.nullableArray(&topics)
        try wire.tags()
    }
}

public struct DescribeLogDirsResponse: Response {
    public static let api = APIKey.describeLogDirs

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        /// Bytes.
        public var partitionSize: Int64 = 0
        /// How many records the replica is behind: its log's end behind the high watermark; where it is being moved to
        /// another directory, behind the one that it is to replace; -1: unknown.
        public var offsetLag: Int64 = 0
        /// Whether it is the copy that a move to another directory makes (KIP-113).
        public var isFutureKey = false

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.int64(&partitionSize)
            try wire.int64(&offsetLag)
            try wire.bool(&isFutureKey)
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

    public struct Result: WireStruct {
        public var errorCode = ErrorCode.none
        /// The directory's absolute path.
        public var logDir = ""
        public var topics: [Topic] = []
        /// Of the file system that the directory is in, in bytes; -1: unknown (KIP-827).
        public var totalBytes: Int64 = -1
        /// What is left of ``totalBytes``; -1: unknown.
        public var usableBytes: Int64 = -1

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.error(&errorCode)
            try wire.string(&logDir)
            try wire.array(&topics)
            try wire.int64(&totalBytes, 4...)
            try wire.int64(&usableBytes, 4...)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    /// Of the request as a whole.
    public var errorCode = ErrorCode.none
    /// One for each directory.
    public var results: [Result] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.error(&errorCode, 3...)
        try wire.array(&results)
        try wire.tags()
    }
}
