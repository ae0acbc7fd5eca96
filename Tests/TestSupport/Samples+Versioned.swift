import Wire

/// As ``Sampled``, of a struct that bears its version.
public protocol SampledVersioned: VersionedStruct {
    static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self
}

/// All structs that bear their version.
public let sampledVersioned: [any SampledVersioned.Type] = [
    ConsumerProtocolSubscription.self, ConsumerProtocolAssignment.self, OffsetCommitKey.self, OffsetCommitValue.self,
    GroupMetadataKey.self, GroupMetadataValue.self,
]

extension ConsumerProtocolTopic {
    public static func sample<V: Values>(_ values: inout V) -> Self {
        let topic = values.string()
        return Self(topic: topic, partitions: values.array { $0.int32() })
    }
}

extension ConsumerProtocolSubscription: SampledVersioned {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.topics = values.array { $0.string() }
        m.userData = values.nullableBytes()
        if v >= 1 { m.ownedPartitions = values.array { ConsumerProtocolTopic.sample(&$0) } }
        if v >= 2 { m.generationId = values.int32() }
        if v >= 3 { m.rackId = values.nullableString() }
        return m
    }
}

extension ConsumerProtocolAssignment: SampledVersioned {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.assignedPartitions = values.array { ConsumerProtocolTopic.sample(&$0) }
        m.userData = values.nullableBytes()
        return m
    }
}

extension OffsetCommitKey: SampledVersioned {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        let group = values.string()
        let topic = values.string()
        return Self(group: group, topic: topic, partition: values.int32())
    }
}

extension OffsetCommitValue: SampledVersioned {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.offset = values.int64()
        if v >= 3 { m.leaderEpoch = values.int32() }
        m.metadata = values.string()
        m.commitTimestamp = values.int64()
        if v == 1 { m.expireTimestamp = values.int64() }
        return m
    }
}

extension GroupMetadataKey: SampledVersioned {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self { Self(group: values.string()) }
}

extension GroupMetadataValue: SampledVersioned {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.protocolType = values.string()
        m.generation = values.int32()
        m.protocolName = values.nullableString()
        m.leader = values.nullableString()
        if v >= 2 { m.currentStateTimestamp = values.int64() }
        m.members = values.array { values in
            var member = Member()
            member.memberId = values.string()
            if v >= 3 { member.groupInstanceId = values.nullableString() }
            member.clientId = values.string()
            member.clientHost = values.string()
            if v >= 1 { member.rebalanceTimeout = values.int32() }
            member.sessionTimeout = values.int32()
            member.subscription = values.bytes()
            member.assignment = values.bytes()
            return member
        }
        return m
    }
}
