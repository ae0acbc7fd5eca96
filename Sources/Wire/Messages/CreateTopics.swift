/// Creates topics (key 19; KIP-4, KIP-464, KIP-525).
public struct CreateTopicsRequest: Request {
    public static let api = APIKey.createTopics
    public typealias Response = CreateTopicsResponse

    /// The replicas that one partition is to have.
    public struct Assignment: WireStruct {
        public var partitionIndex: Int32 = 0
        public var brokerIds: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.int32Array(&brokerIds)
            try wire.tags()
        }
    }

    public struct Config: WireStruct {
        public var name = ""
        /// Nil: the default.
        public var value: String?

        public init() {}

        public init(name: String, value: String?) {
            self.name = name
            self.value = value
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.nullableString(&value)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var name = ""
        /// -1: the broker's default, or as many as are assigned.
        public var numPartitions: Int32 = -1
        /// -1: the broker's default, or as assigned.
        public var replicationFactor: Int16 = -1
        public var assignments: [Assignment] = []
        public var configs: [Config] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.int32(&numPartitions)
            try wire.int16(&replicationFactor)
            try wire.array(&assignments)
            try wire.array(&configs)
            try wire.tags()
        }
    }

    public var topics: [Topic] = []
    /// How long the broker may take, in milliseconds.
    public var timeoutMs: Int32 = 60000
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

public struct CreateTopicsResponse: Response {
    public static let api = APIKey.createTopics

    public struct Config: WireStruct {
        public var name = ""
        public var value: String?
        public var readOnly = false
        /// A ``ConfigSource``.
        public var configSource = ConfigSource.defaultConfig.rawValue
        public var isSensitive = false

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.nullableString(&value)
            try wire.bool(&readOnly)
            try wire.int8(&configSource)
            try wire.bool(&isSensitive)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var name = ""
        public var topicId = Uuid.zero
        public var errorCode = ErrorCode.none
        public var errorMessage: String?
        /// Why `configs` is null, if it is.
        public var topicConfigErrorCode = ErrorCode.none
        /// -1 with an error.
        public var numPartitions: Int32 = -1
        /// -1 with an error.
        public var replicationFactor: Int16 = -1
        /// Not null unless the client may not see them: several clients read it without asking.
        public var configs: [Config]? = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.uuid(&topicId, 7...)
            try wire.error(&errorCode)
            try wire.nullableString(&errorMessage)
            try wire.int32(&numPartitions, 5...)
            try wire.int16(&replicationFactor, 5...)
            try wire.nullableArray(&configs, 5...)
            try wire.tags(topicConfigErrorCode == .none ? [] : [0]) { wire, tag throws(WireError) in
                guard tag == 0 else { return false }
                try wire.error(&topicConfigErrorCode)
                return true
            }
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
