/// Asks which APIs a broker serves, in which versions (key 18; KIP-35, KIP-511).
public struct ApiVersionsRequest: Request {
    public static let api = APIKey.apiVersions
    public typealias Response = ApiVersionsResponse

    public var clientSoftwareName = ""
    public var clientSoftwareVersion = ""

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&clientSoftwareName, 3...)
        try wire.string(&clientSoftwareVersion, 3...)
        try wire.tags()
    }
}

/// The APIs that are served. To a version that is not, version 0 of it is sent, with ``ErrorCode/unsupportedVersion``.
public struct ApiVersionsResponse: Response {
    public static let api = APIKey.apiVersions

    public struct API: WireStruct {
        /// The key, not an ``APIKey``: a broker may serve APIs that this table does not name.
        public var apiKey: Int16 = 0
        public var minVersion: Int16 = 0
        public var maxVersion: Int16 = 0

        public init() {}

        public init(_ spec: APISpec) {
            apiKey = spec.key.rawValue
            minVersion = spec.advertised.lowerBound
            maxVersion = spec.advertised.upperBound
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int16(&apiKey)
            try wire.int16(&minVersion)
            try wire.int16(&maxVersion)
            try wire.tags()
        }
    }

    /// A feature that the broker can speak (KIP-584).
    public struct SupportedFeature: WireStruct {
        public var name = ""
        public var minVersion: Int16 = 0
        public var maxVersion: Int16 = 0

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.int16(&minVersion)
            try wire.int16(&maxVersion)
            try wire.tags()
        }
    }

    /// A feature that the cluster has switched on (KIP-584).
    public struct FinalizedFeature: WireStruct {
        public var name = ""
        public var maxVersionLevel: Int16 = 0
        public var minVersionLevel: Int16 = 0

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.int16(&maxVersionLevel)
            try wire.int16(&minVersionLevel)
            try wire.tags()
        }
    }

    public var errorCode = ErrorCode.none
    public var apiKeys: [API] = []
    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var supportedFeatures: [SupportedFeature] = []
    /// -1: unknown.
    public var finalizedFeaturesEpoch: Int64 = -1
    public var finalizedFeatures: [FinalizedFeature] = []
    public var zkMigrationReady = false

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.error(&errorCode)
        try wire.array(&apiKeys)
        try wire.int32(&throttleTimeMs, 1...)
        try wire.tags(presentTags) { wire, tag throws(WireError) in
            switch tag {
            case 0: try wire.array(&supportedFeatures)
            case 1: try wire.int64(&finalizedFeaturesEpoch)
            case 2: try wire.array(&finalizedFeatures)
            case 3: try wire.bool(&zkMigrationReady)
            default: return false
            }
            return true
        }
    }

    private var presentTags: [UInt32] {
        var tags: [UInt32] = []
        if !supportedFeatures.isEmpty { tags.append(0) }
        if finalizedFeaturesEpoch != -1 { tags.append(1) }
        if !finalizedFeatures.isEmpty { tags.append(2) }
        if zkMigrationReady { tags.append(3) }
        return tags
    }
}
