import Groups
import Testing
import Wire

/// A group, a clock, and what the group has answered: by the number of the request.
final class GroupHarness {
    static let second: UInt64 = 1_000_000_000

    var group: ConsumerGroup
    private(set) var now: UInt64 = 1_000 * second
    private(set) var joined: [UInt64: JoinGroupResponse] = [:]
    private(set) var synced: [UInt64: SyncGroupResponse] = [:]
    /// What is to be stored and is not yet.
    private(set) var toStore: [UInt64] = []
    private var nextToken: UInt64 = 1
    private var nextFresh = 1

    init(limits: GroupLimits = GroupLimits()) { group = ConsumerGroup(id: "g", limits: limits, wall: 0) }

    var moments: ConsumerGroup.Moments { .init(monotonic: now, wall: Int64(now / 1_000_000)) }

    private func take() {
        for effect in group.takeEffects() {
            switch effect {
            case .joined(let token, let answer):
                #expect(joined.updateValue(answer, forKey: token) == nil, "a JoinGroup is answered once")
            case .synced(let token, let answer):
                #expect(synced.updateValue(answer, forKey: token) == nil, "a SyncGroup is answered once")
            case .store(let number): toStore.append(number)
            }
        }
    }

    /// Time passes; the group is looked at whenever it wants to be.
    func pass(seconds: Double) {
        let end = now + UInt64(seconds * Double(GroupHarness.second))
        while group.deadline <= end {
            now = max(now, group.deadline)
            group.expire(moments)
            take()
        }
        now = end
        group.expire(moments)
        take()
    }

    func join(
        _ member: String = "", instance: String? = nil, protocols: [(String, String)] = [("range", "a")], session: Int32 = 10_000,
        rebalance: Int32 = 60_000, type: String = "consumer", knowsIdRequired: Bool = false, knowsSkipped: Bool = true
    ) -> UInt64 {
        var request = JoinGroupRequest()
        request.groupId = group.id
        request.memberId = member
        request.groupInstanceId = instance
        request.protocolType = type
        request.sessionTimeoutMs = session
        request.rebalanceTimeoutMs = rebalance
        request.protocols = protocols.map { JoinGroupRequest.GroupProtocol(name: $0.0, metadata: Array($0.1.utf8)) }
        let token = nextToken
        nextToken += 1
        nextFresh += 1
        let caller = GroupCaller(
            token: token, clientId: "c", clientHost: "/h", fresh: "\(nextFresh)", knowsIdRequired: knowsIdRequired, knowsSkippedAssignment: knowsSkipped)
        group.join(request, caller, now: moments)
        take()
        return token
    }

    func sync(_ member: String, generation: Int32, instance: String? = nil, _ assignments: [(String, String)] = []) -> UInt64 {
        var request = SyncGroupRequest()
        request.groupId = group.id
        request.memberId = member
        request.groupInstanceId = instance
        request.generationId = generation
        request.assignments = assignments.map { SyncGroupRequest.Assignment(memberId: $0.0, assignment: Array($0.1.utf8)) }
        let token = nextToken
        nextToken += 1
        group.sync(request, token: token, now: moments)
        take()
        return token
    }

    func heartbeat(_ member: String, generation: Int32, instance: String? = nil) -> ErrorCode {
        defer { take() }
        return group.heartbeat(member: member, instance: instance, generation: generation, now: moments)
    }

    func leave(_ member: String, instance: String? = nil) -> ErrorCode {
        defer { take() }
        return group.leave(member: member, instance: instance, now: moments)
    }

    func end(_ error: ErrorCode) {
        group.end(error, now: moments)
        take()
    }

    func answer(to token: UInt64) -> JoinGroupResponse? { joined[token] }

    /// What was to be stored is, or can't be.
    func store(_ error: ErrorCode = .none) {
        let numbers = toStore
        toStore = []
        for number in numbers { group.stored(number, error, now: moments) }
        take()
    }

    /// A stable group of so many members, the first of which leads; returns their ids.
    func settle(_ count: Int, instances: Bool = false) throws -> [String] {
        let tokens = (0..<count).map { join(instance: instances ? "i\($0)" : nil) }
        pass(seconds: 10)
        let ids = try tokens.map { try #require(joined[$0]).memberId }
        let generation = group.generation
        let syncs = ids.map { id in sync(id, generation: generation, id == ids[0] ? ids.map { ($0, "to \($0)") } : []) }
        store()
        for (token, id) in zip(syncs, ids) { #expect(synced[token]?.assignment == Array("to \(id)".utf8)) }
        #expect(group.state == .stable)
        return ids
    }
}
