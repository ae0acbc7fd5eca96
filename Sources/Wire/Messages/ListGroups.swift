/// Asks for the groups that a broker coordinates (key 16; KIP-518).
public struct ListGroupsRequest: Request {
    public static let api = APIKey.listGroups
    public typealias Response = ListGroupsResponse

    /// The states of which the group's must be one, named as in ``DescribeGroupsResponse/Group/groupState``; empty: any (KIP-518).
    public var statesFilter: [String] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.stringArray(&statesFilter, 4...)
        try wire.tags()
    }
}

public struct ListGroupsResponse: Response {
    public static let api = APIKey.listGroups

    public struct Group: WireStruct {
        public var groupId = ""
        /// What kind of members the group has: `consumer`, `connect`; empty where it never had any.
        public var protocolType = ""
        /// Named as in ``DescribeGroupsResponse/Group/groupState`` (KIP-518).
        public var groupState = ""

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&groupId)
            try wire.string(&protocolType)
            try wire.string(&groupState, 4...)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    public var groups: [Group] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 1...)
        try wire.error(&errorCode)
        try wire.array(&groups)
        try wire.tags()
    }
}
