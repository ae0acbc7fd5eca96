import Wire

// What of a group is stored in `__consumer_offsets` (GroupMetadataValue), and what is made of it again.
extension ConsumerGroup {
    /// The group as it is now.
    public var metadata: GroupMetadataValue {
        var value = GroupMetadataValue()
        value.protocolType = protocolType ?? ""
        value.generation = generation
        value.protocolName = protocolName
        value.leader = leader
        value.currentStateTimestamp = stateSince
        value.members = sorted.map { member in
            var stored = GroupMetadataValue.Member()
            stored.memberId = member.id
            stored.groupInstanceId = member.instanceId
            stored.clientId = member.clientId
            stored.clientHost = member.clientHost
            stored.rebalanceTimeout = ConsumerGroup.milliseconds(member.rebalanceTimeout)
            stored.sessionTimeout = ConsumerGroup.milliseconds(member.sessionTimeout)
            stored.subscription = member.metadata(for: protocolName)
            stored.assignment = member.assignment
            return stored
        }
        return value
    }

    private static func milliseconds(_ nanoseconds: UInt64) -> Int32 { Int32(clamping: nanoseconds / 1_000_000) }

    /// A group as it was stored. Its members' sessions begin with `resume`.
    public init(id: String, limits: GroupLimits, stored: GroupMetadataValue, wall: Int64) {
        self.init(id: id, limits: limits, wall: stored.currentStateTimestamp >= 0 ? stored.currentStateTimestamp : wall)
        generation = stored.generation
        protocolType = stored.protocolType.isEmpty ? nil : stored.protocolType
        guard !stored.members.isEmpty else { return }
        protocolName = stored.protocolName
        for member in stored.members {
            let session = ConsumerGroup.nanoseconds(member.sessionTimeout)
            var restored = GroupMember(
                id: member.memberId, instanceId: member.groupInstanceId, clientId: member.clientId, clientHost: member.clientHost,
                rebalanceTimeout: member.rebalanceTimeout < 0 ? session : ConsumerGroup.nanoseconds(member.rebalanceTimeout), sessionTimeout: session,
                protocols: [GroupProtocol(name: stored.protocolName ?? "", metadata: member.subscription)])
            restored.assignment = member.assignment
            add(restored)
        }
        leader = stored.leader
        state = .stable
    }

    /// This broker coordinates the group from now on: members have as long as a session lasts to be heard of.
    public mutating func resume(_ now: Moments) {
        for (id, member) in members { members[id]!.expiresAt = now.monotonic + member.sessionTimeout }
    }
}
