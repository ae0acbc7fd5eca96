/// Changes those settings of topics and brokers that it names (key 44; KIP-339).
public struct IncrementalAlterConfigsRequest: Request {
    public static let api = APIKey.incrementalAlterConfigs
    public typealias Response = IncrementalAlterConfigsResponse

    /// What becomes of a setting.
    public enum Operation: Int8, Sendable {
        case set = 0
        /// Back to the default.
        case delete = 1
        /// Elements are added to a setting that is a list.
        case append = 2
        /// Elements are taken out of a setting that is a list.
        case subtract = 3
    }

    public struct Config: WireStruct {
        public var name = ""
        /// An ``Operation``.
        public var configOperation = Operation.set.rawValue
        /// Elements of a list are separated by commas. Nil where the setting is deleted.
        public var value: String?

        public init() {}

        public init(name: String, operation: Operation, value: String?) {
            self.name = name
            configOperation = operation.rawValue
            self.value = value
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.int8(&configOperation)
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

public struct IncrementalAlterConfigsResponse: Response {
    public static let api = APIKey.incrementalAlterConfigs

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
