/// Tells the settings of topics and brokers (key 32; KIP-133, KIP-226, KIP-569).
public struct DescribeConfigsRequest: Request {
    public static let api = APIKey.describeConfigs
    public typealias Response = DescribeConfigsResponse

    public struct Resource: WireStruct {
        /// A ``ConfigResourceType``.
        public var resourceType: Int8 = 0
        public var resourceName = ""
        /// The settings that are asked for; nil: all.
        public var configurationKeys: [String]?

        public init() {}

        public init(type: ConfigResourceType, name: String) {
            resourceType = type.rawValue
            resourceName = name
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int8(&resourceType)
            try wire.string(&resourceName)
            try wire.nullableStringArray(&configurationKeys)
            try wire.tags()
        }
    }

    public var resources: [Resource] = []
    public var includeSynonyms = false
    public var includeDocumentation = false

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.array(&resources)
        try wire.bool(&includeSynonyms, 1...)
        try wire.bool(&includeDocumentation, 3...)
        try wire.tags()
    }
}

/// What can have settings, as Kafka numbers it.
public enum ConfigResourceType: Int8, Sendable {
    case topic = 2
    case broker = 4
    /// KIP-412.
    case brokerLogger = 8
}

public struct DescribeConfigsResponse: Response {
    public static let api = APIKey.describeConfigs

    /// Where else a setting may come from: those that come later count only where those before them are missing.
    public struct Synonym: WireStruct {
        public var name = ""
        public var value: String?
        /// A ``ConfigSource``.
        public var source = ConfigSource.unknown.rawValue

        public init() {}

        public init(name: String, value: String?, source: ConfigSource) {
            self.name = name
            self.value = value
            self.source = source.rawValue
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.nullableString(&value)
            try wire.int8(&source)
            try wire.tags()
        }
    }

    public struct Config: WireStruct {
        public var name = ""
        public var value: String?
        public var readOnly = false
        /// Whether it was not given: all that is said of where it comes from in version 0.
        public var isDefault = false
        /// A ``ConfigSource``.
        public var configSource = ConfigSource.defaultConfig.rawValue
        public var isSensitive = false
        public var synonyms: [Synonym] = []
        /// A ``ConfigType``.
        public var configType: Int8 = 0
        public var documentation: String?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.nullableString(&value)
            try wire.bool(&readOnly)
            try wire.bool(&isDefault, ...0)
            try wire.int8(&configSource, 1...)
            try wire.bool(&isSensitive)
            try wire.array(&synonyms, 1...)
            try wire.int8(&configType, 3...)
            try wire.nullableString(&documentation, 3...)
            try wire.tags()
        }
    }

    public struct Result: WireStruct {
        public var errorCode = ErrorCode.none
        public var errorMessage: String?
        public var resourceType: Int8 = 0
        public var resourceName = ""
        public var configs: [Config] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.error(&errorCode)
            try wire.nullableString(&errorMessage)
            try wire.int8(&resourceType)
            try wire.string(&resourceName)
            try wire.array(&configs)
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

/// Where a setting's value comes from, as Kafka numbers it (KIP-226). Clients refuse other numbers.
public enum ConfigSource: Int8, Sendable {
    case unknown = 0
    case dynamicTopicConfig = 1
    case dynamicBrokerConfig = 2
    case dynamicDefaultBrokerConfig = 3
    case staticBrokerConfig = 4
    case defaultConfig = 5
}

/// What kind of value a setting has, as Kafka numbers it (KIP-569).
public enum ConfigType: Int8, Sendable {
    case unknown = 0
    case boolean = 1
    case string = 2
    case int = 3
    case short = 4
    case long = 5
    case double = 6
    case list = 7
    case `class` = 8
    case password = 9
}
