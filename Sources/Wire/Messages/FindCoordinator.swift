/// Asks which broker coordinates a group or a transactional producer (key 10; KIP-98, KIP-699): one, or, from version 4, several.
public struct FindCoordinatorRequest: Request {
    public static let api = APIKey.findCoordinator
    public typealias Response = FindCoordinatorResponse

    /// What a key names.
    public enum KeyType: Int8, Sendable {
        /// A group's id.
        case group = 0
        /// A transactional id (KIP-98).
        case transaction = 1
    }

    /// Versions before 4.
    public var key = ""
    /// A ``KeyType``; in version 0 always a group.
    public var keyType = KeyType.group.rawValue
    /// Versions 4 and later (KIP-699).
    public var coordinatorKeys: [String] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&key, ...3)
        try wire.int8(&keyType, 1...)
        try wire.stringArray(&coordinatorKeys, 4...)
        try wire.tags()
    }
}

public struct FindCoordinatorResponse: Response {
    public static let api = APIKey.findCoordinator

    public struct Coordinator: WireStruct {
        public var key = ""
        /// -1 with an error.
        public var nodeId: Int32 = -1
        /// Empty with an error.
        public var host = ""
        /// -1 with an error.
        public var port: Int32 = -1
        public var errorCode = ErrorCode.none
        public var errorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&key)
            try wire.int32(&nodeId)
            try wire.string(&host)
            try wire.int32(&port)
            try wire.error(&errorCode)
            try wire.nullableString(&errorMessage)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    /// Versions before 4, as the next four.
    public var errorCode = ErrorCode.none
    public var errorMessage: String?
    /// -1 with an error.
    public var nodeId: Int32 = -1
    /// Empty with an error.
    public var host = ""
    /// -1 with an error.
    public var port: Int32 = -1
    /// Versions 4 and later (KIP-699).
    public var coordinators: [Coordinator] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 1...)
        try wire.error(&errorCode, ...3)
        try wire.nullableString(&errorMessage, 1...3)
        try wire.int32(&nodeId, ...3)
        try wire.string(&host, ...3)
        try wire.int32(&port, ...3)
        try wire.array(&coordinators, 4...)
        try wire.tags()
    }
}
