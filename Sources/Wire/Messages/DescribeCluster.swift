/// Asks for the cluster's brokers, without topics (key 60; KIP-700, KIP-919).
public struct DescribeClusterRequest: Request {
    public static let api = APIKey.describeCluster
    public typealias Response = DescribeClusterResponse

    /// Whose addresses are asked for (KIP-919).
    public enum EndpointType: Int8, Sendable {
        case brokers = 1
        case controllers = 2
    }

    public var includeClusterAuthorizedOperations = false
    /// An ``EndpointType``; in version 0 always brokers.
    public var endpointType = EndpointType.brokers.rawValue

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.bool(&includeClusterAuthorizedOperations)
        try wire.int8(&endpointType, 1...)
        try wire.tags()
    }
}

public struct DescribeClusterResponse: Response {
    public static let api = APIKey.describeCluster
    /// Stands for "authorized operations were not asked for" (KIP-430).
    public static let operationsNotAsked = Int32.min

    public struct Broker: WireStruct {
        public var brokerId: Int32 = 0
        public var host = ""
        public var port: Int32 = 0
        public var rack: String?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&brokerId)
            try wire.string(&host)
            try wire.int32(&port)
            try wire.nullableString(&rack)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    /// A ``DescribeClusterRequest/EndpointType``: whose addresses these are.
    public var endpointType = DescribeClusterRequest.EndpointType.brokers.rawValue
    public var clusterId = ""
    /// -1: unknown.
    public var controllerId: Int32 = -1
    public var brokers: [Broker] = []
    public var clusterAuthorizedOperations = DescribeClusterResponse.operationsNotAsked

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.error(&errorCode)
        try wire.nullableString(&errorMessage)
        try wire.int8(&endpointType, 1...)
        try wire.string(&clusterId)
        try wire.int32(&controllerId)
        try wire.array(&brokers)
        try wire.int32(&clusterAuthorizedOperations)
        try wire.tags()
    }
}
