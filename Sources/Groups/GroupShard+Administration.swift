import Wire

// DescribeGroups, ListGroups, DeleteGroups, on one shard.
extension GroupShard {
    /// A group as its coordinator knows it; one that is not there is dead.
    public func describe(_ id: String) -> DescribeGroupsResponse.Group {
        var answer = DescribeGroupsResponse.Group()
        answer.groupId = id
        guard let group = entries[id]?.group else {
            answer.groupState = ConsumerGroup.State.dead.rawValue
            return answer
        }
        answer.groupState = group.state.rawValue
        answer.protocolType = group.protocolType ?? ""
        // While members are waited for there is no assignor, and nobody has anything.
        let isStable = group.state == .stable
        if isStable { answer.protocolData = group.protocolName ?? "" }
        answer.members = group.sorted.map { member in
            var described = DescribeGroupsResponse.Member()
            described.memberId = member.id
            described.groupInstanceId = member.instanceId
            described.clientId = member.clientId
            described.clientHost = member.clientHost
            if isStable {
                described.memberMetadata = member.metadata(for: group.protocolName)
                described.memberAssignment = member.assignment
            }
            return described
        }
        return answer
    }

    /// The groups that are here.
    /// - Parameter states: only those in one of these (KIP-518); empty: all. Case does not matter.
    public func list(states: [String]) -> [ListGroupsResponse.Group] {
        let wanted = Set(states.map { $0.lowercased() })
        return entries.values.filter { wanted.isEmpty || wanted.contains($0.group.state.rawValue.lowercased()) }.sorted { $0.group.id < $1.group.id }
            .map { entry in
                var listed = ListGroupsResponse.Group()
                listed.groupId = entry.group.id
                listed.protocolType = entry.group.protocolType ?? ""
                listed.groupState = entry.group.state.rawValue
                return listed
            }
    }

    /// What takes a group back with all that it has; or why it can't be.
    public func delete(_ id: String) -> Result<[GroupRecord], GroupRefusal> {
        guard let entry = entries[id] else { return .failure(GroupRefusal(.groupIdNotFound)) }
        // That its last member has left may still be on its way into the log: what takes the group back comes behind it.
        guard entry.group.isUnattended else { return .failure(GroupRefusal(.nonEmptyGroup)) }
        let offsets = partitions(of: id).map { GroupRecord.offset(group: id, topic: $0.topic, partition: $0.partition, nil) }
        return .success(offsets + [.group(id, nil)])
    }
}

/// Why something is not done.
public struct GroupRefusal: Error, Equatable, Sendable {
    public let code: ErrorCode

    public init(_ code: ErrorCode) { self.code = code }
}
