/// Deletes topics, by name or, from version 6, by id (key 20; KIP-4, KIP-516).
public struct DeleteTopicsRequest: Request {
    public static let api = APIKey.deleteTopics
    public typealias Response = DeleteTopicsResponse

    public struct Topic: WireStruct {
        /// Nil: by id.
        public var name: String?
        /// ``Uuid/zero``: by name.
        public var topicId = Uuid.zero

        public init() {}

        public init(name: String) { self.name = name }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.nullableString(&name)
            try wire.uuid(&topicId)
            try wire.tags()
        }
    }

    /// Versions 6 and later.
    public var topics: [Topic] = []
    /// Versions before 6.
    public var topicNames: [String] = []
    /// How long the broker may take, in milliseconds.
    public var timeoutMs: Int32 = 0

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.array(&topics, 6...)
        try wire.stringArray(&topicNames, ...5)
        try wire.int32(&timeoutMs)
        try wire.tags()
    }
}

public struct DeleteTopicsResponse: Response {
    public static let api = APIKey.deleteTopics

    public struct Topic: WireStruct {
        /// Nil only where a topic was to be deleted by an id that is unknown.
        public var name: String? = ""
        public var topicId = Uuid.zero
        public var errorCode = ErrorCode.none
        public var errorMessage: String?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.nullableString(&name, nullable: 6...)
            try wire.uuid(&topicId, 6...)
            try wire.error(&errorCode)
            try wire.nullableString(&errorMessage, 5...)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 1...)
        try wire.array(&topics)
        try wire.tags()
    }
}
