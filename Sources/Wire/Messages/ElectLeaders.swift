/// Has partitions' leaders elected: those that are preferred, or, in Kafka, any that are left (key 43; KIP-183, KIP-460).
public struct ElectLeadersRequest: Request {
    public static let api = APIKey.electLeaders
    public typealias Response = ElectLeadersResponse

    /// Of which kind the election is.
    public enum Kind: Int8, Sendable {
        case preferred = 0
        case unclean = 1
    }

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

    /// One of ``Kind``; before version 1 always preferred.
    public var electionType: Int8 = 0
    /// Nil: all partitions.
    public var topicPartitions: [Topic]? = []
    /// How long to wait for the elections, in milliseconds.
    public var timeoutMs: Int32 = 60_000

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int8(&electionType, 1...)
        try wire.nullableArray(&topicPartitions)
        try wire.int32(&timeoutMs)
        try wire.tags()
    }
}

public struct ElectLeadersResponse: Response {
    public static let api = APIKey.electLeaders

    public struct Partition: WireStruct {
        public var partitionId: Int32 = 0
        public var errorCode = ErrorCode.none
        public var errorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionId)
            try wire.error(&errorCode)
            try wire.nullableString(&errorMessage)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var topic = ""
        public var partitionResult: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&topic)
            try wire.array(&partitionResult)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    /// Of the request as a whole.
    public var errorCode = ErrorCode.none
    public var replicaElectionResults: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.error(&errorCode, 1...)
        try wire.array(&replicaElectionResults)
        try wire.tags()
    }
}
