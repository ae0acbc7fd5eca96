// The records of the topic `__consumer_offsets`, by which a coordinator remembers groups and their offsets. Key and value each have their own
// version; a record without a value deletes what its key names. Versions of keys are counted over all kinds of keys, so that the version tells
// the kind.

/// What a record of `__consumer_offsets` is about.
public enum ConsumerOffsetsKey: Sendable, Equatable {
    /// The value is an ``OffsetCommitValue``.
    case offset(OffsetCommitKey)
    /// The value is a ``GroupMetadataValue``.
    case group(GroupMetadataKey)
    /// Something of this version that is not known here, such as the records of newer kinds of groups (KIP-848): to be skipped.
    case other(version: Int16)

    /// Reads a record's key.
    public static func decode(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> ConsumerOffsetsKey {
        var wire = Wire(reading: bytes, version: 0, isFlexible: false)
        var version: Int16 = 0
        try wire.int16(&version)
        if OffsetCommitKey.versions.contains(version) { return .offset(try OffsetCommitKey.decode(bytes)) }
        if GroupMetadataKey.versions.contains(version) { return .group(try GroupMetadataKey.decode(bytes)) }
        return .other(version: version)
    }

    /// The partition of `__consumer_offsets` that a group belongs to: Java's `String.hashCode`, of UTF-16, without its sign, modulo their number; as in Kafka.
    public static func partition(of group: String, count: Int32) -> Int32 {
        let hash = group.utf16.reduce(Int32(0)) { $0 &* 31 &+ Int32($1) }
        return hash == .min ? 0 : abs(hash) % count
    }

    /// As ``decode(_:)-(UnsafeRawBufferPointer)``, from an array.
    public static func decode(_ bytes: [UInt8]) throws(WireError) -> ConsumerOffsetsKey {
        try bytes.withUnsafeBytes { raw in
            Result { () throws(WireError) in try decode(raw) }
        }.get()
    }
}

/// Names a group's offset of one partition. Kafka writes version 1; version 0 is the same.
public struct OffsetCommitKey: VersionedStruct, Hashable {
    public static let versions: ClosedRange<Int16> = 0...1

    public var group = ""
    public var topic = ""
    public var partition: Int32 = 0

    public init() {}

    public init(group: String, topic: String, partition: Int32) {
        self.group = group
        self.topic = topic
        self.partition = partition
    }

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&group)
        try wire.string(&topic)
        try wire.int32(&partition)
    }
}

/// How far a group has read one partition. Kafka 3 writes version 1 where the client said how long to keep it, else version 3; version 4 is for what
/// comes later (KIP-915).
public struct OffsetCommitValue: VersionedStruct {
    public static let versions: ClosedRange<Int16> = 0...4
    public static let firstFlexible: Int16? = 4

    /// The offset of the record that is to be read next.
    public var offset: Int64 = 0
    /// The leader epoch of the last record that was read; -1: not known. Versions 3 and later (KIP-320).
    public var leaderEpoch: Int32 = -1
    /// What the client wanted kept with the offset.
    public var metadata = ""
    /// When the commit was made, in milliseconds since 1970.
    public var commitTimestamp: Int64 = 0
    /// When the offset may be forgotten, in milliseconds since 1970; -1: as the broker's settings say. Version 1 only (KIP-211).
    public var expireTimestamp: Int64 = -1

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int64(&offset)
        try wire.int32(&leaderEpoch, 3...)
        try wire.string(&metadata)
        try wire.int64(&commitTimestamp)
        try wire.int64(&expireTimestamp, 1...1)
        try wire.tags()
    }
}

/// Names a group.
public struct GroupMetadataKey: VersionedStruct, Hashable {
    public static let versions: ClosedRange<Int16> = 2...2

    public var group = ""

    public init() {}

    public init(group: String) { self.group = group }

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&group)
    }
}

/// A group's generation and its members. Kafka 3 writes version 3; version 4 is for what comes later (KIP-915).
public struct GroupMetadataValue: VersionedStruct {
    public static let versions: ClosedRange<Int16> = 0...4
    public static let firstFlexible: Int16? = 4

    public struct Member: WireStruct {
        public var memberId = ""
        /// The name that the member keeps when it starts again; nil: none. Versions 3 and later (KIP-345).
        public var groupInstanceId: String?
        /// The client's name for itself, as in the header of its requests.
        public var clientId = ""
        /// The address that the member joined from; Kafka writes `/` before it.
        public var clientHost = ""
        /// Milliseconds; -1: as long as the session timeout. Versions 1 and later (KIP-62).
        public var rebalanceTimeout: Int32 = -1
        /// Milliseconds.
        public var sessionTimeout: Int32 = 0
        /// What the member said of itself for the protocol that was chosen.
        public var subscription: [UInt8] = []
        public var assignment: [UInt8] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&memberId)
            try wire.nullableString(&groupInstanceId, 3...)
            try wire.string(&clientId)
            try wire.string(&clientHost)
            try wire.int32(&rebalanceTimeout, 1...)
            try wire.int32(&sessionTimeout)
            try wire.bytes(&subscription)
            try wire.bytes(&assignment)
            try wire.tags()
        }
    }

    /// What kind of members the group has: `consumer`, `connect`; empty where it has none.
    public var protocolType = ""
    public var generation: Int32 = 0
    /// The protocol that all members have; nil where there are none.
    public var protocolName: String?
    /// The member that assigns; nil where there are none.
    public var leader: String?
    /// Since when the group is in its state, in milliseconds since 1970; -1: unknown. Versions 2 and later (KIP-211).
    public var currentStateTimestamp: Int64 = -1
    public var members: [Member] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.string(&protocolType)
        try wire.int32(&generation)
        try wire.nullableString(&protocolName)
        try wire.nullableString(&leader)
        try wire.int64(&currentStateTimestamp, 2...)
        try wire.array(&members)
        try wire.tags()
    }
}
