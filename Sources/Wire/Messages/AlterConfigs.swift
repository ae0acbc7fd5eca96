/// Sets all settings of topics and brokers: those that it does not name go back to their defaults (key 33; KIP-133). Clients that
/// know ``IncrementalAlterConfigsRequest`` send that instead.
public struct AlterConfigsRequest: Request {
    public static let api = APIKey.alterConfigs
    public typealias Response = AlterConfigsResponse

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

    public struct Resource: WireStruct {
        /// A ``ConfigResourceType``.
        public var resourceType: Int8 = 0
        public var resourceName = ""
        public var configs: [Config] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int8(&resourceType)
            try wire.string(&resourceName)
            try wire.array(&configs)
            try wire.tags()
        }
    }

    public var resources: [Resource] = []
    /// Whether to check only, and change nothing.
    public var validateOnly = false

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.array(&resources)
        try wire.bool(&validateOnly)
        try wire.tags()
    }
}

public struct AlterConfigsResponse: Response {
    public static let api = APIKey.alterConfigs

    public struct Resource: WireStruct {
        public var errorCode = ErrorCode.none
        public var errorMessage: String?
        /// A ``ConfigResourceType``.
        public var resourceType: Int8 = 0
        public var resourceName = ""

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.error(&errorCode)
            try wire.nullableString(&errorMessage)
            try wire.int8(&resourceType)
            try wire.string(&resourceName)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var responses: [Resource] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.array(&responses)
        try wire.tags()
    }
}
