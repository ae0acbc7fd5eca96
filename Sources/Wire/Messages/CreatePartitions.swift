/// Gives topics more partitions (key 37; KIP-195, KIP-599).
public struct CreatePartitionsRequest: Request {
    public static let api = APIKey.createPartitions
    public typealias Response = CreatePartitionsResponse

    /// The replicas that one new partition is to have.
    public struct Assignment: WireStruct {
        /// The one first that is to lead.
        public var brokerIds: [Int32] = []

        public init() {}

        public init(brokerIds: [Int32]) { self.brokerIds = brokerIds }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32Array(&brokerIds)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var name = ""
        /// How many partitions the topic is to have, with those that are there.
        public var count: Int32 = 0
        /// Of the new partitions, in their order; nil: the broker chooses.
        public var assignments: [Assignment]?

        public init() {}

        public init(name: String, count: Int32, assignments: [Assignment]? = nil) {
            self.name = name
            self.count = count
            self.assignments = assignments
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.int32(&count)
            try wire.nullableArray(&assignments)
            try wire.tags()
        }
    }

    public var topics: [Topic] = []
    /// How long the broker may take, in milliseconds.
    public var timeoutMs: Int32 = 60_000
    /// Whether to check only, and create nothing.
    public var validateOnly = false

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.array(&topics)
        try wire.int32(&timeoutMs)
        try wire.bool(&validateOnly)
        try wire.tags()
    }
}

public struct CreatePartitionsResponse: Response {
    public static let api = APIKey.createPartitions

    public struct Result: WireStruct {
        public var name = ""
        /// From version 3 it may be ``ErrorCode/throttlingQuotaExceeded`` (KIP-599).
        public var errorCode = ErrorCode.none
        public var errorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.error(&errorCode)
            try wire.nullableString(&errorMessage)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var results: [Result] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.array(&results)
        try wire.tags()
    }
}
