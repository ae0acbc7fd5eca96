/// Takes members out of a group (key 13; KIP-345, KIP-800): the one that asks, or, from version 3, several.
public struct LeaveGroupRequest: Request {
    public static let api = APIKey.leaveGroup
    public typealias Response = LeaveGroupResponse

    public struct Member: WireStruct {
        /// Empty: it is named by its instance's id alone, as operators do.
        public var memberId = ""
        /// The name that the member keeps when it starts again; nil: none (KIP-345).
        public var groupInstanceId: String?
        /// Why the member leaves, for the broker's log (KIP-800).
        public var reason: String?

        public init() {}

        public init(memberId: String, groupInstanceId: String? = nil) {
            self.memberId = memberId
            self.groupInstanceId = groupInstanceId
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&memberId)
            try wire.nullableString(&groupInstanceId)
            try wire.nullableString(&reason, 5...)
            try wire.tags()
        }
    }

    public var groupId = ""
    /// Versions before 3.
    public var memberId = ""
    /// Versions 3 and later (KIP-345).
    public var members: [Member] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&groupId)
        try wire.string(&memberId, ...2)
        try wire.array(&members, 3...)
        try wire.tags()
    }
}

public struct LeaveGroupResponse: Response {
    public static let api = APIKey.leaveGroup

    public struct Member: WireStruct {
        public var memberId = ""
        /// As the request named it.
        public var groupInstanceId: String?
        public var errorCode = ErrorCode.none

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&memberId)
            try wire.nullableString(&groupInstanceId)
            try wire.error(&errorCode)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    /// Of the request as a whole; before version 3 of its member.
    public var errorCode = ErrorCode.none
    /// Versions 3 and later (KIP-345).
    public var members: [Member] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 1...)
        try wire.error(&errorCode)
        try wire.array(&members, 3...)
        try wire.tags()
    }
}
