// What consumers tell each other by way of the coordinator, as bytes inside of JoinGroup and SyncGroup; DescribeGroups shows it.
// Clients make these bytes, so the broker can't rely on their being right. Whoever reads a version that is newer than it knows reads
// what it knows: Kafka adds fields at the end only.

/// What a consumer wants to read, for the member that assigns: the metadata of ``JoinGroupRequest/GroupProtocol`` (KIP-429, KIP-792, KIP-881).
public struct ConsumerProtocolSubscription: VersionedStruct {
    public static let versions: ClosedRange<Int16> = 0...3
    public static let isExtensible = true

    public var topics: [String] = []
    /// What the assignor adds; nil: nothing.
    public var userData: [UInt8]?
    /// What the consumer had and has not given up, in versions 1 and later (KIP-429).
    public var ownedPartitions: [ConsumerProtocolTopic] = []
    /// The generation in which it had them; -1: unknown. Versions 2 and later (KIP-792).
    public var generationId: Int32 = -1
    /// The rack that the consumer is in, in version 3 (KIP-881).
    public var rackId: String?

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.stringArray(&topics)
        try wire.nullableBytes(&userData)
        try wire.array(&ownedPartitions, 1...)
        try wire.int32(&generationId, 2...)
        try wire.nullableString(&rackId, 3...)
    }
}

/// What a consumer is to read: the assignment of ``SyncGroupResponse``. Its versions count along with the subscription's and are all
/// the same.
public struct ConsumerProtocolAssignment: VersionedStruct {
    public static let versions: ClosedRange<Int16> = 0...3
    public static let isExtensible = true

    public var assignedPartitions: [ConsumerProtocolTopic] = []
    /// What the assignor adds; nil: nothing.
    public var userData: [UInt8]?

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.array(&assignedPartitions)
        try wire.nullableBytes(&userData)
    }
}

/// Partitions of one topic.
public struct ConsumerProtocolTopic: WireStruct {
    public var topic = ""
    public var partitions: [Int32] = []

    public init() {}

    public init(topic: String, partitions: [Int32]) {
        self.topic = topic
        self.partitions = partitions
    }

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&topic)
        try wire.int32Array(&partitions)
    }
}
