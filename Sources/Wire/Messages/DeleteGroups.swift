/// Deletes groups that have no members, with their offsets (key 42; KIP-229).
public struct DeleteGroupsRequest: Request {
    public static let api = APIKey.deleteGroups
    public typealias Response = DeleteGroupsResponse

    /// Ids.
    public var groupsNames: [String] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.stringArray(&groupsNames)
        try wire.tags()
    }
}

public struct DeleteGroupsResponse: Response {
    public static let api = APIKey.deleteGroups

    public struct Result: WireStruct {
        public var groupId = ""
        /// ``ErrorCode/nonEmptyGroup``: it has members.
        public var errorCode = ErrorCode.none

        public init() {}

        public init(groupId: String, errorCode: ErrorCode) {
            self.groupId = groupId
            self.errorCode = errorCode
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&groupId)
            try wire.error(&errorCode)
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
