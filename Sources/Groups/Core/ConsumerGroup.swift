import Wire

/// A consumer group as a state machine (the classic protocol; KIP-62, KIP-134, KIP-345, KIP-394, KIP-814): requests and times go in, what is to be done is in
/// `effects`. It touches no clock, no network and no journal.
///
/// A rebalance goes so: all members join; who came first among them, the leader, is told of all; it says who is assigned what; that is stored; all are told.
/// What changes the membership on the way begins it anew, in a generation of its own.
public struct ConsumerGroup: Sendable {
    public enum State: String, Sendable, CaseIterable {
        /// Without members. It may have offsets.
        case empty = "Empty"
        /// Members are waited for.
        case preparingRebalance = "PreparingRebalance"
        /// The leader's assignment is waited for.
        case completingRebalance = "CompletingRebalance"
        case stable = "Stable"
        /// It is gone.
        case dead = "Dead"
    }

    /// Until when members are waited for.
    struct Rebalance {
        var deadline: UInt64
        /// Of a group that was empty: so much longer may be waited for more members, and whether one has come since the last look.
        var initial: (left: UInt64, isJoined: Bool)?
    }

    /// What is done once the group is stored.
    enum Storing {
        /// The leader's assignments count, and who waits for them is answered.
        case assignments([String: [UInt8]])
        /// A static member that was started again goes on as it was.
        case replacement(token: UInt64, JoinGroupResponse)
        /// Nobody waits for it.
        case nothing
    }

    public let id: String
    let limits: GroupLimits
    public internal(set) var state = State.empty
    /// When the state changed last, by the wall clock, in milliseconds since 1970.
    public internal(set) var stateSince: Int64
    public internal(set) var generation: Int32 = 0
    /// "consumer", mostly. Nil: nobody has said.
    public internal(set) var protocolType: String?
    /// The assignor that this generation uses; nil: there is none.
    public internal(set) var protocolName: String?
    public internal(set) var leader: String?
    public internal(set) var members: [String: GroupMember] = [:]
    /// The static members, by their instances.
    var instances: [String: String] = [:]
    /// Ids that were given out, whose members have not joined with them yet (KIP-394), and when they are forgotten.
    var awaited: [String: UInt64] = [:]
    var rebalance: Rebalance?
    /// Until when those who owe a SyncGroup may send it.
    var syncDeadline = UInt64.max
    var storing: [UInt64: (generation: Int32, Storing)] = [:]
    private var nextStoring: UInt64 = 1
    private var nextOrder: UInt64 = 1
    public internal(set) var effects: [GroupEffect] = []

    public init(id: String, limits: GroupLimits, wall: Int64) {
        self.id = id
        self.limits = limits
        stateSince = wall
    }

    /// What is to be done now; each is given out once.
    public mutating func takeEffects() -> [GroupEffect] {
        defer { effects = [] }
        return effects
    }

    public var isEmpty: Bool { state == .empty }

    /// Nobody is a member, or has been told with which id to become one.
    public var isUnattended: Bool { state == .empty && awaited.isEmpty }

    /// Nothing of the group is under way that its end would interrupt.
    public var isIdle: Bool { isUnattended && storing.isEmpty }

    /// The group is gone: it was deleted, or its coordinator is another broker now. Who waits is answered so.
    public mutating func end(_ error: ErrorCode, now: Moments) {
        for member in sorted {
            if let token = member.joining { effects.append(.joined(token, ConsumerGroup.refusal(error, memberId: member.id))) }
            if let token = member.syncing { effects.append(.synced(token, ConsumerGroup.refusal(error))) }
        }
        for case .replacement(let token, let answer) in storing.values.map(\.1) {
            effects.append(.joined(token, ConsumerGroup.refusal(error, memberId: answer.memberId)))
        }
        (members, instances, awaited, storing) = ([:], [:], [:], [:])
        (rebalance, syncDeadline, leader) = (nil, .max, nil)
        change(to: .dead, now)
    }

    // MARK: Times

    /// The two clocks.
    public struct Moments: Sendable {
        public var monotonic: UInt64
        /// In milliseconds since 1970.
        public var wall: Int64

        public init(monotonic: UInt64, wall: Int64) {
            self.monotonic = monotonic
            self.wall = wall
        }
    }

    /// When `expire` is to be called, if nothing happens before. It costs a look at all members.
    public var deadline: UInt64 {
        var deadline = min(rebalance?.deadline ?? .max, syncDeadline, awaited.values.min() ?? .max)
        for member in members.values { deadline = min(deadline, member.expiresAt) }
        return deadline
    }

    /// What has not come in time is not waited for any longer.
    public mutating func expire(_ now: Moments) {
        for (id, deadline) in awaited where now.monotonic >= deadline { awaited[id] = nil }
        for member in sorted where now.monotonic >= member.expiresAt && members[member.id] != nil { remove(member.id, .unknownMemberId, now) }
        if now.monotonic >= syncDeadline {
            syncDeadline = .max
            for member in sorted where member.owesSync && members[member.id] != nil { remove(member.id, .unknownMemberId, now) }
        }
        completeJoinIfDue(now)
    }

    // MARK: Members

    /// In the order in which they came.
    var sorted: [GroupMember] { members.values.sorted { $0.order < $1.order } }

    mutating func add(_ member: GroupMember) {
        var member = member
        member.order = nextOrder
        nextOrder += 1
        members[member.id] = member
        if let instance = member.instanceId { instances[instance] = member.id }
        if leader == nil { leader = member.id }
    }

    /// The member is gone; who is left rebalances.
    mutating func remove(_ id: String, _ error: ErrorCode, _ now: Moments) {
        guard let member = members.removeValue(forKey: id) else { return }
        if let token = member.joining { effects.append(.joined(token, ConsumerGroup.refusal(error, memberId: id))) }
        if let token = member.syncing { effects.append(.synced(token, ConsumerGroup.refusal(error))) }
        if let instance = member.instanceId, instances[instance] == id { instances[instance] = nil }
        if leader == id { leader = sorted.first?.id }
        switch state {
        case .stable, .completingRebalance: prepareRebalance(now)
        case .preparingRebalance: completeJoinIfDue(now)
        case .empty, .dead: break
        }
    }

    /// The member was heard of. Who waits for an answer to a JoinGroup or a SyncGroup is not expected to say more: the rebalance's own time-outs bound that.
    mutating func touch(_ id: String, _ now: Moments) {
        guard let member = members[id], member.joining == nil else { return }
        members[id]!.expiresAt = member.syncing == nil ? now.monotonic + member.sessionTimeout : .max
    }

    /// Who says to be that member, in that generation; nil: it is so.
    /// - Parameter generation: nil: it does not matter.
    func flaw(of member: String, instance: String?, generation: Int32?) -> ErrorCode? {
        if let instance {
            guard let known = instances[instance] else { return .unknownMemberId }
            guard known == member else { return .fencedInstanceId }
        }
        guard members[member] != nil else { return .unknownMemberId }
        if let generation, generation != self.generation { return .illegalGeneration }
        return nil
    }

    mutating func change(to next: State, _ now: Moments) {
        state = next
        stateSince = now.wall
    }

    // MARK: Storing

    mutating func store(_ then: Storing) {
        storing[nextStoring] = (generation, then)
        effects.append(.store(nextStoring))
        nextStoring += 1
    }

    /// The group has been stored, as it was when that was asked for; or can't be.
    public mutating func stored(_ number: UInt64, _ error: ErrorCode, now: Moments) {
        guard let (generation, then) = storing.removeValue(forKey: number) else { return }
        switch then {
        case .nothing: break
        case .replacement(let token, let answer):
            effects.append(.joined(token, error == .none ? answer : ConsumerGroup.refusal(error, memberId: answer.memberId)))
        case .assignments(let assignments):
            // A rebalance has begun meanwhile: who waits has been told.
            guard generation == self.generation, state == .completingRebalance else { return }
            if error == .none { assign(assignments, now) } else { giveUpAssignment(error, now) }
        }
    }

    static func refusal(_ error: ErrorCode, memberId: String) -> JoinGroupResponse {
        var answer = JoinGroupResponse()
        answer.errorCode = error
        answer.memberId = memberId
        answer.generationId = -1
        return answer
    }

    static func refusal(_ error: ErrorCode) -> SyncGroupResponse {
        var answer = SyncGroupResponse()
        answer.errorCode = error
        return answer
    }
}
