/// Asks for the brokers, and for topics with their partitions' leaders (key 3).
public struct MetadataRequest: Request {
    public static let api = APIKey.metadata
    public typealias Response = MetadataResponse

    public struct Topic: WireStruct {
        /// ``Uuid/zero`` if the topic is asked for by name.
        public var topicId = Uuid.zero
        /// Nil if the topic is asked for by id (12 and later in practice: KAFKA-12701).
        public var name: String? = ""

        public init() {}

        public init(name: String) { self.name = name }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.uuid(&topicId, 10...)
            try wire.nullableString(&name, nullable: 10...)
            try wire.tags()
        }
    }

    /// Nil asks for all topics. In version 0, which has no null, an empty list does so too: see ``asksForAllTopics(version:)``.
    public var topics: [Topic]? = []
    public var allowAutoTopicCreation = true
    public var includeClusterAuthorizedOperations = false
    public var includeTopicAuthorizedOperations = false
    /// Whether partitions are to be told with their partition groups: Hutong's own (``PartitionGroupTag``), in flexible versions.
    public var includePartitionGroups = false

    public init() {}

    /// Whether all topics are asked for, in a request of this version.
    public func asksForAllTopics(version: Int16) -> Bool {
        guard let topics else { return true }
        return version == 0 && topics.isEmpty
    }

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.nullableArray(&topics, nullable: 1...)
        try wire.bool(&allowAutoTopicCreation, 4...)
        try wire.bool(&includeClusterAuthorizedOperations, 8...10)
        try wire.bool(&includeTopicAuthorizedOperations, 8...)
        try wire.tags(includePartitionGroups ? [PartitionGroupTag.number] : []) { wire, tag throws(WireError) in
            guard tag == PartitionGroupTag.number else { return false }
            try wire.bool(&includePartitionGroups)
            return true
        }
    }
}

/// A tagged field of Hutong's own in Metadata: who asks for it is told which partitions share a partition group, with its replicas and its leader.
/// Kafka counts its tags up from 0; nobody else is sent this one.
public enum PartitionGroupTag {
    public static let number: UInt32 = 10_000
}

public struct MetadataResponse: Response {
    public static let api = APIKey.metadata
    /// Stands for "authorized operations were not asked for" (KIP-430).
    public static let operationsNotAsked = Int32.min

    public struct Broker: WireStruct {
        public var nodeId: Int32 = 0
        public var host = ""
        public var port: Int32 = 0
        public var rack: String?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&nodeId)
            try wire.string(&host)
            try wire.int32(&port)
            try wire.nullableString(&rack, 1...)
            try wire.tags()
        }
    }

    public struct Partition: WireStruct {
        public var errorCode = ErrorCode.none
        public var partitionIndex: Int32 = 0
        /// -1: there is none.
        public var leaderId: Int32 = 0
        /// -1: unknown.
        public var leaderEpoch: Int32 = -1
        public var replicaNodes: [Int32] = []
        public var isrNodes: [Int32] = []
        public var offlineReplicas: [Int32] = []
        /// The partition group, where it was asked for (``PartitionGroupTag``).
        public var group: UInt16?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.error(&errorCode)
            try wire.int32(&partitionIndex)
            try wire.int32(&leaderId)
            try wire.int32(&leaderEpoch, 7...)
            try wire.int32Array(&replicaNodes)
            try wire.int32Array(&isrNodes)
            try wire.int32Array(&offlineReplicas, 5...)
            try wire.tags(group == nil ? [] : [PartitionGroupTag.number]) { wire, tag throws(WireError) in
                guard tag == PartitionGroupTag.number else { return false }
                var bits = Int16(bitPattern: group ?? 0)
                try wire.int16(&bits)
                group = UInt16(bitPattern: bits)
                return true
            }
        }
    }

    public struct Topic: WireStruct {
        public var errorCode = ErrorCode.none
        /// Nil only where a topic was asked for by an id that is unknown.
        public var name: String? = ""
        public var topicId = Uuid.zero
        public var isInternal = false
        public var partitions: [Partition] = []
        public var topicAuthorizedOperations = MetadataResponse.operationsNotAsked

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.error(&errorCode)
            try wire.nullableString(&name, nullable: 12...)
            try wire.uuid(&topicId, 10...)
            try wire.bool(&isInternal, 1...)
            try wire.array(&partitions)
            try wire.int32(&topicAuthorizedOperations, 8...)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var brokers: [Broker] = []
    public var clusterId: String?
    /// -1: unknown.
    public var controllerId: Int32 = -1
    public var topics: [Topic] = []
    public var clusterAuthorizedOperations = MetadataResponse.operationsNotAsked

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs, 3...)
        try wire.array(&brokers)
        try wire.nullableString(&clusterId, 2...)
        try wire.int32(&controllerId, 1...)
        try wire.array(&topics)
        try wire.int32(&clusterAuthorizedOperations, 8...10)
        try wire.tags()
    }
}
