/// Asks for groups' state and members (key 15; KIP-430, KIP-345).
public struct DescribeGroupsRequest: Request {
    public static let api = APIKey.describeGroups
    public typealias Response = DescribeGroupsResponse

    /// Ids.
    public var groups: [String] = []
    public var includeAuthorizedOperations = false

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.stringArray(&groups)
        try wire.bool(&includeAuthorizedOperations, 3...)
        try wire.tags()
    }
}

public struct DescribeGroupsResponse: Response {
    public static let api = APIKey.describeGroups
    /// Stands for "authorized operations were not asked for" (KIP-430).
    public static let operationsNotAsked = Int32.min

    public struct Member: WireStruct {
        public var memberId = ""
        /// Nil: none (KIP-345).
        public var groupInstanceId: String?
        /// The client's name for itself, as in the header of its requests.
        public var clientId = ""
        /// The address that the member joined from; Kafka writes `/` before it.
        public var clientHost = ""
        /// What the member said of itself for the protocol that was chosen, among consumers a
        /// ``ConsumerProtocolSubscription``. Empty unless the group is stable.
        public var memberMetadata: [UInt8] = []
        /// Among consumers a ``ConsumerProtocolAssignment``. Empty unless the group is stable.
        public var memberAssignment: [UInt8] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&memberId)
            try wire.nullableString(&groupInstanceId, 4...)
            try wire.string(&clientId)
            try wire.string(&clientHost)
            try wire.bytes(&memberMetadata)
            try wire.bytes(&memberAssignment)
            try wire.tags()
        }
    }

    public struct Group: WireStruct {
        public var errorCode = ErrorCode.none
        public var groupId = ""
        /// `Empty`, `PreparingRebalance`, `CompletingRebalance`, `Stable` or `Dead`, which is also said of a group that
        /// nobody knows; empty with an error.
        public var groupState = ""
        /// What kind of members the group has: `consumer`, `connect`; empty where it has none, or with an error.
        public var protocolType = ""
        /// The protocol that all members have, among consumers the assignor's name. Empty unless the group is stable.
        public var protocolData = ""
        public var members: [Member] = []
        public var authorizedOperations = DescribeGroupsResponse.operationsNotAsked

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.error(&errorCode)
            try wire.string(&groupId)
            try wire.string(&groupState)
            try wire.string(&protocolType)
            try wire.string(&protocolData)
            try wire.array(&members)
            try wire.int32(&authorizedOperations, 3...)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var groups: [Group] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 1...)
        try wire.array(&groups)
        try wire.tags()
    }
}
