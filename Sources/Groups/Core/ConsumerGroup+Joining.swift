import Wire

/// Who sends a request, and what it is to be answered under.
public struct GroupCaller: Sendable {
    /// The number that the answer is given out with.
    public var token: UInt64
    public var clientId: String
    public var clientHost: String
    /// Random, for the id of a new member.
    public var fresh: String
    /// The client speaks a version in which a new member has to come back with the id that it is given (KIP-394); and one in which a leader can be told that
    /// there is nothing to assign (KIP-814).
    public var knowsIdRequired: Bool
    public var knowsSkippedAssignment: Bool

    public init(token: UInt64, clientId: String, clientHost: String, fresh: String, knowsIdRequired: Bool, knowsSkippedAssignment: Bool) {
        self.token = token
        self.clientId = clientId
        self.clientHost = clientHost
        self.fresh = fresh
        self.knowsIdRequired = knowsIdRequired
        self.knowsSkippedAssignment = knowsSkippedAssignment
    }
}

// JoinGroup, and the rebalance up to its answers.
extension ConsumerGroup {
    /// A member joins, or joins again. It is answered at once where it is refused, or nothing has changed; else when all have joined.
    public mutating func join(_ request: JoinGroupRequest, _ caller: GroupCaller, now: Moments) {
        if let flaw = flaw(of: request) {
            return effects.append(.joined(caller.token, ConsumerGroup.refusal(flaw, memberId: request.memberId)))
        }
        if request.memberId.isEmpty { joinNew(request, caller, now) } else { joinKnown(request, caller, now) }
    }

    private func flaw(of request: JoinGroupRequest) -> ErrorCode? {
        guard state != .dead else { return .coordinatorNotAvailable }
        guard limits.sessionTimeouts.contains(ConsumerGroup.nanoseconds(request.sessionTimeoutMs)) else { return .invalidSessionTimeout }
        let names = request.protocols.map(\.name)
        guard !request.protocolType.isEmpty, !names.isEmpty, Set(names).count == names.count else { return .inconsistentGroupProtocol }
        let others = members.values.filter { $0.id != request.memberId && $0.instanceId != (request.groupInstanceId ?? "") }
        guard !others.isEmpty else { return nil }
        let common = others.reduce(Set(names)) { $0.intersection($1.protocols.map(\.name)) }
        return protocolType == request.protocolType && !common.isEmpty ? nil : .inconsistentGroupProtocol
    }

    static func nanoseconds(_ milliseconds: Int32) -> UInt64 { UInt64(max(milliseconds, 0)) * 1_000_000 }

    private mutating func joinNew(_ request: JoinGroupRequest, _ caller: GroupCaller, _ now: Moments) {
        if let instance = request.groupInstanceId {
            let id = "\(instance)-\(caller.fresh)"
            if let before = instances[instance] { return replace(before, id, request, caller, now) }
            return addNew(id, request, caller, now)
        }
        let id = "\(caller.clientId)-\(caller.fresh)"
        guard caller.knowsIdRequired else { return addNew(id, request, caller, now) }
        guard hasRoom else { return refuse(caller, .groupMaxSizeReached, request.memberId) }
        awaited[id] = now.monotonic + ConsumerGroup.nanoseconds(request.sessionTimeoutMs)
        refuse(caller, .memberIdRequired, id)
    }

    private mutating func refuse(_ caller: GroupCaller, _ error: ErrorCode, _ memberId: String) {
        effects.append(.joined(caller.token, ConsumerGroup.refusal(error, memberId: memberId)))
    }

    /// While members are waited for only those count that have come.
    private var hasRoom: Bool {
        let count = state == .preparingRebalance ? members.values.count { $0.joining != nil } : members.count
        return count < limits.mostMembers
    }

    private mutating func addNew(_ id: String, _ request: JoinGroupRequest, _ caller: GroupCaller, _ now: Moments) {
        guard hasRoom else { return refuse(caller, .groupMaxSizeReached, request.memberId) }
        var member = GroupMember(
            id: id, instanceId: request.groupInstanceId, clientId: caller.clientId, clientHost: caller.clientHost,
            rebalanceTimeout: ConsumerGroup.rebalanceTimeout(request), sessionTimeout: ConsumerGroup.nanoseconds(request.sessionTimeoutMs),
            protocols: ConsumerGroup.protocols(request))
        member.joining = caller.token
        member.expiresAt = now.monotonic + limits.newMemberTimeout
        if members.isEmpty { protocolType = request.protocolType }
        add(member)
        rebalance?.initial?.isJoined = true
        prepareRebalance(now)
    }

    /// Version 0 has no rebalance time-out: the session's counts for both.
    private static func rebalanceTimeout(_ request: JoinGroupRequest) -> UInt64 {
        nanoseconds(request.rebalanceTimeoutMs < 0 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs)
    }

    private static func protocols(_ request: JoinGroupRequest) -> [GroupProtocol] {
        request.protocols.map { GroupProtocol(name: $0.name, metadata: $0.metadata) }
    }

    private mutating func joinKnown(_ request: JoinGroupRequest, _ caller: GroupCaller, _ now: Moments) {
        let id = request.memberId
        if awaited.removeValue(forKey: id) != nil, request.groupInstanceId == nil { return addNew(id, request, caller, now) }
        if let flaw = flaw(of: id, instance: request.groupInstanceId, generation: nil) { return refuse(caller, flaw, id) }
        let isUnchanged = members[id]!.protocols == ConsumerGroup.protocols(request)
        switch state {
        case .completingRebalance where isUnchanged:
            // Its answer was lost.
            answerJoin(id, caller.token, now)
        case .stable where isUnchanged && id != leader:
            answerJoin(id, caller.token, now)
        default:
            update(id, request, caller)
            prepareRebalance(now)
        }
    }

    /// The member waits for the others now; a request of it that waited before will never be read.
    private mutating func update(_ id: String, _ request: JoinGroupRequest, _ caller: GroupCaller) {
        if let before = members[id]!.joining { effects.append(.joined(before, ConsumerGroup.refusal(.unknownMemberId, memberId: id))) }
        members[id]!.protocols = ConsumerGroup.protocols(request)
        members[id]!.rebalanceTimeout = ConsumerGroup.rebalanceTimeout(request)
        members[id]!.sessionTimeout = ConsumerGroup.nanoseconds(request.sessionTimeoutMs)
        members[id]!.clientId = caller.clientId
        members[id]!.clientHost = caller.clientHost
        members[id]!.joining = caller.token
        members[id]!.expiresAt = .max
        if members.count == 1 { protocolType = request.protocolType }
    }

    // MARK: Static members

    /// A static member was started again: it takes its own place. Where the group would be as it was, nobody else notices.
    private mutating func replace(_ before: String, _ id: String, _ request: JoinGroupRequest, _ caller: GroupCaller, _ now: Moments) {
        guard let old = members.removeValue(forKey: before) else { return }
        if let token = old.joining { effects.append(.joined(token, ConsumerGroup.refusal(.fencedInstanceId, memberId: before))) }
        if let token = old.syncing { effects.append(.synced(token, ConsumerGroup.refusal(.fencedInstanceId))) }
        let leaderBefore = leader
        if leader == before { leader = id }
        members[id] = old.renamed(id)
        instances[request.groupInstanceId!] = id
        update(id, request, caller)
        guard state == .stable, chosenProtocol == protocolName else { return prepareRebalance(now) }
        members[id]!.joining = nil
        members[id]!.expiresAt = now.monotonic + members[id]!.sessionTimeout
        var answer = joinAnswer(id)
        if leader == id {
            // It is not to assign anew: an old client is told that another leads, a newer one that there is nothing to assign.
            answer.skipAssignment = caller.knowsSkippedAssignment
            if !caller.knowsSkippedAssignment {
                answer.leader = leaderBefore ?? ""
                answer.members = []
            }
        }
        store(.replacement(token: caller.token, answer))
    }

    // MARK: The rebalance

    /// Members are waited for: until all that are known have joined, or the longest of their time-outs is over; in a group that was empty, for a while.
    mutating func prepareRebalance(_ now: Moments) {
        defer { completeJoinIfDue(now) }
        guard state != .preparingRebalance else { return }
        if state == .completingRebalance { giveUpAssignments(.rebalanceInProgress, now) }
        let longest = longestRebalance
        if state == .empty {
            let delay = min(limits.initialDelay, longest)
            rebalance = Rebalance(deadline: now.monotonic + delay, initial: (longest - delay, false))
        } else {
            rebalance = Rebalance(deadline: now.monotonic + longest, initial: nil)
        }
        syncDeadline = .max
        change(to: .preparingRebalance, now)
    }

    private var longestRebalance: UInt64 { members.values.map(\.rebalanceTimeout).max() ?? 0 }

    mutating func completeJoinIfDue(_ now: Moments) {
        guard state == .preparingRebalance, let rebalance else { return }
        if let initial = rebalance.initial {
            guard now.monotonic >= rebalance.deadline else { return }
            if initial.isJoined, initial.left > 0 {
                let delay = min(limits.initialDelay, initial.left)
                self.rebalance = Rebalance(deadline: now.monotonic + delay, initial: (initial.left - delay, false))
                return
            }
        } else {
            let areAllThere = awaited.isEmpty && members.values.allSatisfy { $0.joining != nil }
            guard areAllThere || now.monotonic >= rebalance.deadline else { return }
        }
        completeJoin(now)
    }

    /// Who has joined makes the next generation. Static members keep their place until their session ends.
    private mutating func completeJoin(_ now: Moments) {
        for member in sorted where member.joining == nil && member.instanceId == nil { members[member.id] = nil }
        if leader == nil || members[leader!]?.joining == nil {
            guard let next = sorted.first(where: { $0.joining != nil }) else {
                if members.isEmpty { return becomeEmpty(now) }
                // Only static members that are away.
                rebalance = Rebalance(deadline: now.monotonic + longestRebalance, initial: nil)
                return
            }
            leader = next.id
        }
        generation = nextGeneration
        protocolName = chosenProtocol
        rebalance = nil
        change(to: .completingRebalance, now)
        syncDeadline = now.monotonic + longestRebalance
        for member in sorted {
            members[member.id]!.assignment = []
            members[member.id]!.owesSync = true
            if let token = member.joining { answerJoin(member.id, token, now) }
        }
    }

    /// Before the number is used up it begins anew.
    private var nextGeneration: Int32 { generation == .max ? 1 : generation + 1 }

    private mutating func becomeEmpty(_ now: Moments) {
        generation = nextGeneration
        (protocolName, leader, rebalance, syncDeadline) = (nil, nil, nil, .max)
        change(to: .empty, now)
        store(.nothing)
    }

    /// The assignor that all have and most like best.
    private var chosenProtocol: String? {
        let all = sorted
        guard let first = all.first else { return nil }
        let common = all.reduce(Set(first.protocols.map(\.name))) { $0.intersection($1.protocols.map(\.name)) }
        var votes: [String: Int] = [:]
        for member in all { if let favourite = member.protocols.first(where: { common.contains($0.name) }) { votes[favourite.name, default: 0] += 1 } }
        return votes.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
    }

    private mutating func answerJoin(_ id: String, _ token: UInt64, _ now: Moments) {
        members[id]!.joining = nil
        members[id]!.expiresAt = now.monotonic + members[id]!.sessionTimeout
        effects.append(.joined(token, joinAnswer(id)))
    }

    /// The leader is told of all members, and of what each says to the chosen assignor.
    private func joinAnswer(_ id: String) -> JoinGroupResponse {
        var answer = JoinGroupResponse()
        answer.generationId = generation
        answer.protocolType = protocolType
        answer.protocolName = protocolName
        answer.leader = leader ?? ""
        answer.memberId = id
        guard id == leader else { return answer }
        answer.members = sorted.map { member in
            var other = JoinGroupResponse.Member()
            other.memberId = member.id
            other.groupInstanceId = member.instanceId
            other.metadata = member.metadata(for: protocolName)
            return other
        }
        return answer
    }
}
