/// Tells a group's coordinator that a member lives, and asks whether the group is joining anew (key 12; KIP-345).
public struct HeartbeatRequest: Request {
    public static let api = APIKey.heartbeat
    public typealias Response = HeartbeatResponse

    public var groupId = ""
    public var generationId: Int32 = 0
    public var memberId = ""
    /// The name that the member keeps when it starts again; nil: none (KIP-345).
    public var groupInstanceId: String?

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&groupId)
        try wire.int32(&generationId)
        try wire.string(&memberId)
        try wire.nullableString(&groupInstanceId, 3...)
        try wire.tags()
    }
}

public struct HeartbeatResponse: Response {
    public static let api = APIKey.heartbeat

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    /// ``ErrorCode/rebalanceInProgress``: the member is to join again.
    public var errorCode = ErrorCode.none

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 1...)
        try wire.error(&errorCode)
        try wire.tags()
    }
}
