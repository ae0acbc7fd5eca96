/// Asks which partitions are being moved to other brokers (key 46; KIP-455).
public struct ListPartitionReassignmentsRequest: Request {
    public static let api = APIKey.listPartitionReassignments
    public typealias Response = ListPartitionReassignmentsResponse

    public struct Topic: WireStruct {
        public var name = ""
        public var partitionIndexes: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.int32Array(&partitionIndexes)
            try wire.tags()
        }
    }

    /// How long the broker may take, in milliseconds.
    public var timeoutMs: Int32 = 60_000
    /// Nil: all partitions.
    public var topics: [Topic]?

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&timeoutMs)
        try wire.nullableArray(&topics)
        try wire.tags()
    }
}

public struct ListPartitionReassignmentsResponse: Response {
    public static let api = APIKey.listPartitionReassignments

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        /// Who has it, and who is to have it.
        public var replicas: [Int32] = []
        /// Who is to have it, and has not.
        public var addingReplicas: [Int32] = []
        /// Who has it, and is not to.
        public var removingReplicas: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.int32Array(&replicas)
            try wire.int32Array(&addingReplicas)
            try wire.int32Array(&removingReplicas)
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
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.error(&errorCode)
        try wire.nullableString(&errorMessage)
        try wire.array(&topics)
        try wire.tags()
    }
}
