/// Makes a client a member of a group, and waits until the group has its next generation
/// (key 11; KIP-62, KIP-345, KIP-394, KIP-559, KIP-800, KIP-814).
public struct JoinGroupRequest: Request {
    public static let api = APIKey.joinGroup
    public typealias Response = JoinGroupResponse

    /// One way to assign that the member can take part in.
    public struct GroupProtocol: WireStruct {
        /// Among consumers the assignor's name, e.g. `range`.
        public var name = ""
        /// What the group's leader is to know of the member; among consumers a ``ConsumerProtocolSubscription``.
        public var metadata: [UInt8] = []

        public init() {}

        public init(name: String, metadata: [UInt8]) {
            self.name = name
            self.metadata = metadata
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.bytes(&metadata)
            try wire.tags()
        }
    }

    public var groupId = ""
    /// How long the member may be silent before it is taken for dead, in milliseconds.
    public var sessionTimeoutMs: Int32 = 0
    /// How long the member may take to join again when the group does, in milliseconds; -1: as long as the session
    /// timeout, as in version 0, which has no such field (KIP-62).
    public var rebalanceTimeoutMs: Int32 = -1
    /// Empty: the member has none yet. From version 4 one without an instance's id is told its own, and joins again with it
    /// (KIP-394).
    public var memberId = ""
    /// The name that the member keeps when it starts again; nil: none (KIP-345).
    public var groupInstanceId: String?
    /// What kind of members the group has: `consumer`, `connect`.
    public var protocolType = ""
    /// In the order of the member's preference.
    public var protocols: [GroupProtocol] = []
    /// Why the member joins, for the broker's log (KIP-800).
    public var reason: String?

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&groupId)
        try wire.int32(&sessionTimeoutMs)
        try wire.int32(&rebalanceTimeoutMs, 1...)
        try wire.string(&memberId)
        try wire.nullableString(&groupInstanceId, 5...)
        try wire.string(&protocolType)
        try wire.array(&protocols)
        try wire.nullableString(&reason, 8...)
        try wire.tags()
    }
}

public struct JoinGroupResponse: Response {
    public static let api = APIKey.joinGroup

    public struct Member: WireStruct {
        public var memberId = ""
        /// Nil: none (KIP-345).
        public var groupInstanceId: String?
        /// What the member said of itself for the protocol that was chosen.
        public var metadata: [UInt8] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&memberId)
            try wire.nullableString(&groupInstanceId, 5...)
            try wire.bytes(&metadata)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    /// -1 with an error.
    public var generationId: Int32 = -1
    /// Nil with an error (KIP-559).
    public var protocolType: String?
    /// The protocol that all members have; with an error empty, or, from version 7, nil (KIP-559).
    public var protocolName: String? = ""
    /// The member that assigns; empty with an error.
    public var leader = ""
    /// Whether the leader keeps the assignment that there is: it has come back under its instance's id (KIP-814).
    public var skipAssignment = false
    /// The member's own; with ``ErrorCode/memberIdRequired`` the one to join again with (KIP-394).
    public var memberId = ""
    /// All members, for the leader; empty for the others.
    public var members: [Member] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 2...)
        try wire.error(&errorCode)
        try wire.int32(&generationId)
        try wire.nullableString(&protocolType, 7...)
        try wire.nullableString(&protocolName, nullable: 7...)
        try wire.string(&leader)
        try wire.bool(&skipAssignment, 9...)
        try wire.string(&memberId)
        try wire.array(&members)
        try wire.tags()
    }
}
