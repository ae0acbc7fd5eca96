import Intake
import Wire

// Each request, up to its answer, or to what it waits for.
extension GroupStage {
    mutating func handle(_ caller: Caller) throws {
        let request = caller.request
        switch APIKey(rawValue: request.key) {
        case .joinGroup: join(try request.decode(JoinGroupRequest.self), caller)
        case .syncGroup: sync(try request.decode(SyncGroupRequest.self), caller)
        case .heartbeat: heartbeat(try request.decode(HeartbeatRequest.self), caller)
        case .leaveGroup: leave(try request.decode(LeaveGroupRequest.self), caller)
        case .offsetCommit: commit(try request.decode(OffsetCommitRequest.self), caller)
        case .offsetFetch: fetch(try request.decode(OffsetFetchRequest.self), caller)
        case .offsetDelete: deleteOffsets(try request.decode(OffsetDeleteRequest.self), caller)
        case .describeGroups: describe(try request.decode(DescribeGroupsRequest.self), caller)
        case .listGroups: list(try request.decode(ListGroupsRequest.self), caller)
        case .deleteGroups: delete(try request.decode(DeleteGroupsRequest.self), caller)
        default: throw WireError("API \(request.key) is not served here")
        }
    }

    /// The partition that a group belongs to; or why this broker does not coordinate it now.
    private func coordinated(_ group: String) -> Result<Int, GroupRefusal> {
        guard !shards.isEmpty else { return .failure(GroupRefusal(.notCoordinator)) }
        let partition = Int(ConsumerOffsetsKey.partition(of: group, count: Int32(shards.count)))
        switch shards[partition].state {
        case .away: return .failure(GroupRefusal(.notCoordinator))
        case .loading: return .failure(GroupRefusal(.coordinatorLoadInProgress))
        case .serving: return .success(partition)
        }
    }

    /// As `coordinated`, of a group that has members: its id can't be empty.
    private func coordinatedMembership(_ group: String) -> Result<Int, GroupRefusal> {
        group.isEmpty ? .failure(GroupRefusal(.invalidGroupId)) : coordinated(group)
    }

    // MARK: Members

    private mutating func join(_ message: JoinGroupRequest, _ caller: Caller) {
        switch coordinatedMembership(message.groupId) {
        case .failure(let refusal): answer(ConsumerGroup.refusal(refusal.code, memberId: message.memberId), caller)
        case .success(let partition):
            let request = caller.request
            let bytes = UnsafeRawBufferPointer(start: request.bytes, count: Int(request.count))
            let clientId = (try? RequestHeader.decode(bytes))?.clientId(in: bytes) ?? ""
            let asker = GroupCaller(
                token: wait(caller), clientId: clientId, clientHost: hosts.host(of: request.connection, io: caller.io), fresh: fresh(), knowsIdRequired: request.version >= 4,
                knowsSkippedAssignment: request.version >= 9)
            if message.memberId.isEmpty { shards[partition].shard.make(message.groupId, wall: now.wall) }
            guard change(partition, message.groupId, { $0.join(message, asker, now: $1) }) != nil else {
                waiting[asker.token] = nil
                return answer(ConsumerGroup.refusal(.unknownMemberId, memberId: message.memberId), caller)
            }
        }
    }

    private mutating func sync(_ message: SyncGroupRequest, _ caller: Caller) {
        switch coordinatedMembership(message.groupId) {
        case .failure(let refusal):
            // As Kafka: of a rebalance that was under way nothing is known any more, the member has to join again. Some clients don't know the other code here.
            let code: ErrorCode = refusal.code == .coordinatorLoadInProgress ? .rebalanceInProgress : refusal.code
            answer(ConsumerGroup.refusal(code), caller)
        case .success(let partition):
            let token = wait(caller)
            guard change(partition, message.groupId, { $0.sync(message, token: token, now: $1) }) != nil else {
                waiting[token] = nil
                return answer(ConsumerGroup.refusal(.unknownMemberId), caller)
            }
        }
    }

    private mutating func heartbeat(_ message: HeartbeatRequest, _ caller: Caller) {
        var response = HeartbeatResponse()
        switch coordinatedMembership(message.groupId) {
        // As Kafka: nothing is known against the member yet. Some clients give up at the other code here.
        case .failure(let refusal): response.errorCode = refusal.code == .coordinatorLoadInProgress ? .none : refusal.code
        case .success(let partition):
            let moments = now
            response.errorCode = shards[partition].shard.withGroup(message.groupId) {
                $0.heartbeat(member: message.memberId, instance: message.groupInstanceId, generation: message.generationId, now: moments)
            } ?? .unknownMemberId
        }
        answer(response, caller)
    }

    private mutating func leave(_ message: LeaveGroupRequest, _ caller: Caller) {
        var response = LeaveGroupResponse()
        switch coordinatedMembership(message.groupId) {
        case .failure(let refusal): response.errorCode = refusal.code
        case .success(let partition):
            let isSingle = caller.request.version < 3
            let leavers = isSingle ? [LeaveGroupRequest.Member(memberId: message.memberId)] : message.members
            let moments = now
            response.members = leavers.map { leaver in
                var member = LeaveGroupResponse.Member()
                member.memberId = leaver.memberId
                member.groupInstanceId = leaver.groupInstanceId
                return member
            }
            for (number, leaver) in leavers.enumerated() {
                response.members[number].errorCode = shards[partition].shard.withGroup(message.groupId) {
                    $0.leave(member: leaver.memberId, instance: leaver.groupInstanceId, now: moments)
                } ?? .unknownMemberId
            }
            if isSingle { response.errorCode = response.members[0].errorCode }
            settle(partition, message.groupId)
        }
        answer(response, caller)
    }

    // MARK: Offsets

    private mutating func commit(_ message: OffsetCommitRequest, _ caller: Caller) {
        switch coordinated(message.groupId) {
        case .failure(let refusal):
            var response = OffsetCommitResponse()
            response.topics = message.topics.map { topic in
                OffsetCommitResponse.Topic(
                    name: topic.name,
                    partitions: topic.partitions.map { OffsetCommitResponse.Partition(partitionIndex: $0.partitionIndex, errorCode: refusal.code) })
            }
            answer(response, caller)
        case .success(let partition):
            let table = table
            let (records, response) = shards[partition].shard.commit(message, metadataLimit: settings.metadataBytes, now: now) { topic, number in
                table.topic(named: topic).map { $0.partitions.indices.contains(Int(number)) } ?? false
            }
            settle(partition, message.groupId)
            if records.isEmpty { answer(response, caller) } else { store(records, .commit(caller, response), partition) }
        }
    }

    private mutating func fetch(_ message: OffsetFetchRequest, _ caller: Caller) {
        var response = OffsetFetchResponse()
        if caller.request.version >= 8 {
            response.groups = message.groups.map { asked in
                var group = OffsetFetchResponse.Group()
                group.groupId = asked.groupId
                switch coordinated(asked.groupId) {
                case .failure(let refusal): group.errorCode = refusal.code
                case .success(let partition): group.topics = shards[partition].shard.offsets(of: asked.groupId, asked.topics)
                }
                return group
            }
        } else {
            switch coordinated(message.groupId) {
            case .success(let partition): response.topics = shards[partition].shard.offsets(of: message.groupId, message.topics)
            case .failure(let refusal):
                // Before version 2 there is no place for it but with each partition.
                response.errorCode = refusal.code
                response.topics = (message.topics ?? []).map { topic in
                    OffsetFetchResponse.Topic(
                        name: topic.name,
                        partitions: topic.partitionIndexes.map { OffsetFetchResponse.Partition(partitionIndex: $0, errorCode: refusal.code) })
                }
            }
        }
        answer(response, caller)
    }

    private mutating func deleteOffsets(_ message: OffsetDeleteRequest, _ caller: Caller) {
        switch coordinatedMembership(message.groupId) {
        case .failure(let refusal):
            var response = OffsetDeleteResponse()
            response.errorCode = refusal.code
            answer(response, caller)
        case .success(let partition):
            let (records, response) = shards[partition].shard.deleteOffsets(message)
            if records.isEmpty { answer(response, caller) } else { store(records, .deleteOffsets(caller, response), partition) }
        }
    }

    // MARK: Administration

    private mutating func describe(_ message: DescribeGroupsRequest, _ caller: Caller) {
        var response = DescribeGroupsResponse()
        response.groups = message.groups.map { id in
            switch coordinated(id) {
            case .success(let partition): return shards[partition].shard.describe(id)
            case .failure(let refusal):
                var group = DescribeGroupsResponse.Group()
                group.groupId = id
                group.errorCode = refusal.code
                return group
            }
        }
        answer(response, caller)
    }

    private mutating func list(_ message: ListGroupsRequest, _ caller: Caller) {
        var response = ListGroupsResponse()
        if shards.contains(where: { $0.state == .loading }) { response.errorCode = .coordinatorLoadInProgress }
        for shard in shards where shard.state == .serving { response.groups += shard.shard.list(states: message.statesFilter) }
        answer(response, caller)
    }

    private mutating func delete(_ message: DeleteGroupsRequest, _ caller: Caller) {
        var response = DeleteGroupsResponse()
        response.results = message.groupsNames.map { DeleteGroupsResponse.Result(groupId: $0, errorCode: .none) }
        let job = DeletedGroups(caller, response)
        // One for this loop, so that it is not answered before its end.
        job.open = 1
        for (index, id) in message.groupsNames.enumerated() {
            let outcome = coordinated(id).flatMap { partition in shards[partition].shard.delete(id).map { (partition, $0) } }
            switch outcome {
            case .failure(let refusal): job.response.results[index].errorCode = refusal.code
            case .success(let (partition, records)):
                job.open += 1
                store(records, .deleteGroup(job, index), partition)
            }
        }
        finish(job)
    }
}
