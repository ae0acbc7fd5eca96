import Wire

// SyncGroup, Heartbeat, LeaveGroup: what a member does between two rebalances.
extension ConsumerGroup {
    /// A member asks for its assignment; the leader brings everyone's.
    public mutating func sync(_ request: SyncGroupRequest, token: UInt64, now: Moments) {
        if let flaw = flaw(of: request) { return effects.append(.synced(token, ConsumerGroup.refusal(flaw))) }
        let id = request.memberId
        members[id]!.owesSync = false
        guard state == .completingRebalance else {
            touch(id, now)
            return effects.append(.synced(token, syncAnswer(id)))
        }
        if let before = members[id]!.syncing { effects.append(.synced(before, ConsumerGroup.refusal(.unknownMemberId))) }
        members[id]!.syncing = token
        touch(id, now)
        let isStoring = storing.values.contains { if case .assignments = $0.1 { $0.0 == generation } else { false } }
        guard id == leader, !isStoring else { return }
        var assignments: [String: [UInt8]] = [:]
        for part in request.assignments { assignments[part.memberId] = part.assignment }
        // What is stored is the group as it will be.
        for member in members.keys { members[member]!.assignment = assignments[member] ?? [] }
        store(.assignments(assignments))
    }

    private func flaw(of request: SyncGroupRequest) -> ErrorCode? {
        guard state != .dead else { return .coordinatorNotAvailable }
        if let flaw = flaw(of: request.memberId, instance: request.groupInstanceId, generation: request.generationId) { return flaw }
        if let type = request.protocolType, type != protocolType { return .inconsistentGroupProtocol }
        if let name = request.protocolName, name != protocolName { return .inconsistentGroupProtocol }
        switch state {
        case .empty: return .unknownMemberId
        case .preparingRebalance: return .rebalanceInProgress
        case .completingRebalance, .stable, .dead: return nil
        }
    }

    private func syncAnswer(_ id: String) -> SyncGroupResponse {
        var answer = SyncGroupResponse()
        answer.protocolType = protocolType
        answer.protocolName = protocolName
        answer.assignment = members[id]?.assignment ?? []
        return answer
    }

    /// The assignments are stored.
    mutating func assign(_ assignments: [String: [UInt8]], _ now: Moments) {
        change(to: .stable, now)
        for member in sorted {
            guard let token = member.syncing else { continue }
            members[member.id]!.syncing = nil
            touch(member.id, now)
            effects.append(.synced(token, syncAnswer(member.id)))
        }
    }

    /// The assignments can't be stored: all begin anew.
    mutating func giveUpAssignment(_ error: ErrorCode, _ now: Moments) {
        giveUpAssignments(error, now)
        prepareRebalance(now)
    }

    mutating func giveUpAssignments(_ error: ErrorCode, _ now: Moments) {
        for member in sorted {
            members[member.id]!.assignment = []
            guard let token = member.syncing else { continue }
            members[member.id]!.syncing = nil
            touch(member.id, now)
            effects.append(.synced(token, ConsumerGroup.refusal(error)))
        }
    }

    /// A member says that it is there, and asks whether it is to join again.
    public mutating func heartbeat(member: String, instance: String?, generation: Int32, now: Moments) -> ErrorCode {
        guard state != .dead else { return .coordinatorNotAvailable }
        if let flaw = flaw(of: member, instance: instance, generation: generation) { return flaw }
        touch(member, now)
        return state == .preparingRebalance ? .rebalanceInProgress : .none
    }

    /// A member goes. Whoever speaks for a static one may name its instance alone.
    public mutating func leave(member: String, instance: String?, now: Moments) -> ErrorCode {
        guard state != .dead else { return .coordinatorNotAvailable }
        var id = member
        if let instance {
            guard let known = instances[instance] else { return .unknownMemberId }
            guard member.isEmpty || member == known else { return .fencedInstanceId }
            id = known
        } else if awaited.removeValue(forKey: member) != nil {
            completeJoinIfDue(now)
            return .none
        }
        guard members[id] != nil else { return .unknownMemberId }
        remove(id, .unknownMemberId, now)
        return .none
    }

    /// Whether offsets may be committed by who says to be that member; nil: they may. Who is no member may where there are none.
    public mutating func commitFlaw(member: String, instance: String?, generation: Int32, now: Moments) -> ErrorCode? {
        guard state != .dead else { return .coordinatorNotAvailable }
        // As Kafka: where there are no members it does not matter who says to be one.
        if generation < 0, state == .empty { return nil }
        if let flaw = flaw(of: member, instance: instance, generation: generation) { return flaw }
        // It has not been told yet what it has, so it can't have read any of it.
        guard state != .completingRebalance else { return .rebalanceInProgress }
        touch(member, now)
        return nil
    }
}
