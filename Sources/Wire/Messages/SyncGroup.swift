/// Brings the leader's assignment to a group's coordinator, and each member its part of it (key 14; KIP-345, KIP-559).
public struct SyncGroupRequest: Request {
    public static let api = APIKey.syncGroup
    public typealias Response = SyncGroupResponse

    public struct Assignment: WireStruct {
        public var memberId = ""
        /// Among consumers a ``ConsumerProtocolAssignment``; the broker need not understand it.
        public var assignment: [UInt8] = []

        public init() {}

        public init(memberId: String, assignment: [UInt8]) {
            self.memberId = memberId
            self.assignment = assignment
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&memberId)
            try wire.bytes(&assignment)
            try wire.tags()
        }
    }

    public var groupId = ""
    public var generationId: Int32 = 0
    public var memberId = ""
    /// The name that the member keeps when it starts again; nil: none (KIP-345).
    public var groupInstanceId: String?
    /// What JoinGroup said, for the broker to check; nil: it is not checked (KIP-559).
    public var protocolType: String?
    /// As ``protocolType``.
    public var protocolName: String?
    /// From the leader; empty from the others.
    public var assignments: [Assignment] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&groupId)
        try wire.int32(&generationId)
        try wire.string(&memberId)
        try wire.nullableString(&groupInstanceId, 3...)
        try wire.nullableString(&protocolType, 5...)
        try wire.nullableString(&protocolName, 5...)
        try wire.array(&assignments)
        try wire.tags()
    }
}

public struct SyncGroupResponse: Response {
    public static let api = APIKey.syncGroup

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    /// Nil with an error (KIP-559).
    public var protocolType: String?
    /// Nil with an error (KIP-559).
    public var protocolName: String?
    /// The member's own; empty with an error, and where the leader gave it nothing.
    public var assignment: [UInt8] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 1...)
        try wire.error(&errorCode)
        try wire.nullableString(&protocolType, 5...)
        try wire.nullableString(&protocolName, 5...)
        try wire.bytes(&assignment)
        try wire.tags()
    }
}
