/// Deletes a group's offsets of topics that no member reads (key 47; KIP-496). It has no flexible version.
public struct OffsetDeleteRequest: Request {
    public static let api = APIKey.offsetDelete
    public typealias Response = OffsetDeleteResponse

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0

        public init() {}

        public init(partitionIndex: Int32) { self.partitionIndex = partitionIndex }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
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
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&groupId)
        try wire.array(&topics)
        try wire.tags()
    }
}

public struct OffsetDeleteResponse: Response {
    public static let api = APIKey.offsetDelete

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        /// ``ErrorCode/groupSubscribedToTopic``: a member reads it.
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

    /// Of the request as a whole.
    public var errorCode = ErrorCode.none
    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.error(&errorCode)
        try wire.int32(&throttleTimeMs)
        try wire.array(&topics)
        try wire.tags()
    }
}
