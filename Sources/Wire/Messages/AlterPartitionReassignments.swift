/// Moves partitions to other brokers, or cancels that (key 45; KIP-455).
public struct AlterPartitionReassignmentsRequest: Request {
    public static let api = APIKey.alterPartitionReassignments
    public typealias Response = AlterPartitionReassignmentsResponse

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        /// Who is to have it, the one first that is to lead; nil: what is under way is cancelled.
        public var replicas: [Int32]?

        public init() {}

        public init(partitionIndex: Int32, replicas: [Int32]?) {
            self.partitionIndex = partitionIndex
            self.replicas = replicas
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.nullableInt32Array(&replicas)
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

    /// How long the broker may take, in milliseconds.
    public var timeoutMs: Int32 = 60_000
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&timeoutMs)
        try wire.array(&topics)
        try wire.tags()
    }
}

public struct AlterPartitionReassignmentsResponse: Response {
    public static let api = APIKey.alterPartitionReassignments

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        public var errorCode = ErrorCode.none
        public var errorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.error(&errorCode)
            try wire.nullableString(&errorMessage)
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
    /// Of the request as a whole.
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    public var responses: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.error(&errorCode)
        try wire.nullableString(&errorMessage)
        try wire.array(&responses)
        try wire.tags()
    }
}
