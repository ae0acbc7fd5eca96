import Host

/// Times and sizes of a replica, in nanoseconds and bytes.
public struct ReplicaTimes: Sendable {
    /// A leader that is not heard of for so long may be replaced.
    public var silence: UInt64 = 2_000_000_000
    /// A leader that has nothing to say says so that often.
    public var heartbeat: UInt64 = 250_000_000
    /// A candidate resigns that has not begun its epoch after so long.
    public var candidacy: UInt64 = 3_000_000_000
    /// Before standing, up to so long is waited besides, at random.
    public var backoff: UInt64 = 1_000_000_000
    /// A follower that has not caught up for so long is not in sync.
    public var lag: UInt64 = 10_000_000_000
    /// Who is to lead must have kept up for so long before it is given the lead.
    public var steady: UInt64 = 5_000_000_000
    /// That often a broker looks whether others should lead what it leads; nil: never.
    public var balance: UInt64? = 5_000_000_000
    /// What is unanswered is sent again.
    public var retry: UInt64 = 500_000_000
    /// So many bytes go to a follower before the first of them is acknowledged as received, and in one message.
    public var window: UInt64 = 8 << 20
    public var message: UInt64 = 1 << 20
    /// So many bytes are asked for at once of what a log lacks: at least the longest frame.
    public var read: UInt64 = 1 << 20

    public init() {}
}

/// One replica of a partition group, as a state machine: what has happened goes in, what is to be done is in `effects`. It
/// keeps no time, and touches no disk and no network. docs/REPLICATION.md has the rules, and why they are enough.
public struct ReplicaCore: Sendable, CustomStringConvertible {
    /// What the replica is doing.
    public enum Role: Equatable, Sendable {
        case follower
        /// The swap that makes it the next epoch's leader is under way.
        case standing
        /// It has won the epoch, and collects promises.
        case candidate(epoch: UInt32)
        /// It makes its log the best one.
        case recovering(epoch: UInt32)
        /// It appends.
        case leader(epoch: UInt32)

        /// The epoch that it has won; nil: none.
        public var epoch: UInt32? {
            switch self {
            case .follower, .standing: nil
            case .candidate(let epoch), .recovering(let epoch), .leader(let epoch): epoch
            }
        }
    }

    public let own: ReplicaID
    let times: ReplicaTimes
    public internal(set) var effects: [ReplicaEffect] = []
    public internal(set) var role = Role.follower

    // MARK: What is known of the store

    /// The store's value as it was seen last, and its revision.
    public internal(set) var assignment = GroupAssignment()
    public internal(set) var target = GroupTarget()
    var revision: Int64 = 0
    /// The brokers whose leases are there, with their disks' incarnations for this group.
    var live: [Int32: UInt64] = [:]
    /// What the swap under way puts into the store; nil: none is.
    var swapping: GroupAssignment?

    // MARK: The log

    /// The record as it is to be; and as it is on stable storage.
    public internal(set) var record: ReplicaRecord
    public internal(set) var stored: ReplicaRecord
    /// What is being stored; until it is, either may be what a crash leaves.
    var recording: ReplicaRecord?
    /// What is sent once the record is stored.
    var afterRecord: [(promised: UInt32, message: ReplicaMessage, to: ReplicaID)] = []
    public internal(set) var start: UInt64
    /// The log's end in memory, and on stable storage.
    public internal(set) var appended: UInt64
    public internal(set) var flushed: UInt64
    public internal(set) var damaged: [Range<UInt64>]
    /// Where what took the place of damage begins, until the log has been opened anew: only then it is known where its last frame ends.
    var mendedFrom: UInt64?
    /// Where what has rotted while the journal is in use begins, and is not mended yet; nil: nothing has.
    public var rot: UInt64?
    public internal(set) var committed: UInt64

    // MARK: Following

    /// The leader whose journal begins behind what this log lacks of it, and how far the log is part of that leader's; nil: there is none.
    public internal(set) var lacking: Lacking?
    public struct Lacking: Equatable, Sendable {
        public var epoch: UInt32
        public var leader: ReplicaID
        public var history: LogHistory
        public var common: UInt64
    }
    /// A snapshot is taking the log's place: until it has, nothing is told to anyone.
    public internal(set) var isInstalling = false
    /// The leader that is followed, and whose log this one is a part of; nil: none.
    var following: Following?
    struct Following: Equatable {
        var epoch: UInt32
        var session: UInt32
        var leader: ReplicaID
        /// The epochs of its log that this one has not come to, or not recorded.
        var ahead: [EpochStart]
        /// What the leader was told last.
        var toldReceived: UInt64 = 0
        var toldPersisted: UInt64 = 0
    }
    /// When the leader was heard of last, and when to stand if nothing changes.
    var heard: UInt64
    var standAt: UInt64?

    /// Who has been promised an epoch and is told of the log once all of that is on stable storage; nil: nobody waits.
    var promisedTo: (epoch: UInt32, candidate: ReplicaID)?

    // MARK: Leading

    var promises: [ReplicaID: LogShape] = [:]
    var plan: LogPlan?
    /// When the candidacy ends, and when what is unanswered is asked again.
    var deadline: UInt64 = 0
    var askAt: UInt64 = 0
    /// Who handed the epoch over, while its log is waited for, and until when: what it acknowledged alone shall not be lost by that.
    var predecessor: (replica: ReplicaID, until: UInt64)?
    var followers: [ReplicaID: FollowerProgress] = [:]
    /// Leading: the replicas of the set that keep up, this one among them; else empty.
    public internal(set) var inSync: [ReplicaID] = []
    var nextSession: UInt32 = 0
    /// Where the epoch's frame ends; nil: it has not been appended.
    var epochFrameEnd: UInt64?
    var isServing = false
    /// The set that a swap under way may have put in place of the known one: counted besides.
    var proposed: [ReplicaID]?
    /// An operator wants the one that is to lead to take over; and: this one is to lead no longer, whoever does.
    var isElectionAsked = false
    var isResigning = false
    var random: SeededRandom

    /// - Parameters:
    ///   - record: as it was found on stable storage.
    ///   - shape: the log as recovery found it.
    ///   - seed: for the times to wait before standing.
    public init(own: ReplicaID, record: ReplicaRecord, shape: LogShape, times: ReplicaTimes = ReplicaTimes(), seed: UInt64, now: UInt64) {
        self.own = own
        self.times = times
        self.record = record
        stored = record
        start = shape.start
        appended = shape.end
        flushed = shape.end
        damaged = shape.damaged
        committed = 0
        heard = now
        random = SeededRandom(seed: seed)
    }

    /// The log as others are told of it. What stands behind the start of an epoch that is not recorded yet does not count; what is
    /// damaged does, because it may have been acknowledged.
    var shape: LogShape {
        LogShape(start: start, history: stored.history, end: recordedEnd, damaged: damaged, isUnsure: isUnsure)
    }

    /// Whether the log may have gone on behind what could be read of it, and no epoch has begun since.
    public var isUnsure: Bool { stored.isUnsure || record.isUnsure }

    /// Behind it the stored history says something else than the log, or nothing yet.
    var recordedEnd: UInt64 {
        var end = min(flushed, following?.ahead.first?.position ?? .max)
        for other in [stored, recording ?? stored] where other.history != record.history {
            let differing = Set(other.history.starts).symmetricDifference(record.history.starts)
            end = differing.reduce(end) { min($0, $1.position) }
        }
        return end
    }

    /// How far the log may be called persisted.
    public var persisted: UInt64 { min(recordedEnd, damaged.first?.lowerBound ?? .max, mendedFrom ?? .max) }

    /// Who leads, and in which epoch, as far as this replica has heard; nobody, where it has promised an epoch that has not begun.
    public var knownLeader: (leader: ReplicaID?, epoch: UInt32) {
        if case .leader(let epoch) = role { return (own, epoch) }
        if let following, following.leader != own { return (following.leader, following.epoch) }
        return (nil, record.promised)
    }

    /// As `knownLeader`, but nobody where a leader has not been heard of for so long that it may be replaced.
    public func heardLeader(now: UInt64) -> (leader: ReplicaID?, epoch: UInt32) {
        let (leader, epoch) = knownLeader
        return (leader == own || now < heard + times.silence ? leader : nil, epoch)
    }

    /// Those to whom it streams, if it leads.
    public var followerIDs: [ReplicaID] { followers.keys.sorted() }

    var isVoter: Bool { assignment.replicas.contains(own) }

    /// For logs.
    public var description: String {
        let ways = followers.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value.state) sent \($0.value.sent) persisted \($0.value.persisted)" }
        return "\(own) \(role), promised \(stored.promised), log \(appended) flushed \(flushed) persisted \(persisted) committed \(committed), damaged \(damaged), follows \(following.map { "\($0.leader) in \($0.epoch)" } ?? "nobody"), \(ways)"
    }

    // MARK: What goes to the host

    /// What is to be done now, in order; each is given out once.
    public mutating func takeEffects() -> [ReplicaEffect] {
        defer { effects = [] }
        return effects
    }

    /// Takes the one effect out that fulfils the condition, if there is one: the host does it at once.
    public mutating func takeEffect(where isWanted: (ReplicaEffect) -> Bool) -> ReplicaEffect? {
        effects.firstIndex(where: isWanted).map { effects.remove(at: $0) }
    }

    /// To whom it is being handed over.
    public var handsOverTo: ReplicaID? { swapping.flatMap { $0.leader == own ? nil : $0.leader } }

    /// Whether the outcome of that swap is waited for.
    public func isSwapping(_ value: GroupAssignment) -> Bool { swapping == value }

    // MARK: What comes from the host

    /// The log has come so far.
    public mutating func moved(appended: UInt64, flushed: UInt64, now: UInt64) {
        precondition(flushed <= appended, "what is flushed was appended")
        self.appended = appended
        self.flushed = flushed
        goOn(now)
    }

    /// The log was closed and opened again; it has been found to be like that.
    /// - Parameter isUnsure: its end could not be read. The record says so before anything is mended.
    public mutating func reopened(start: UInt64, end: UInt64, damaged: [Range<UInt64>], isUnsure: Bool = false, now: UInt64) {
        if isUnsure {
            record.isUnsure = true
            store()
        }
        self.start = max(self.start, start)
        self.damaged = damaged
        mendedFrom = nil
        // What was chosen rests on what the log was taken for.
        if role.epoch != nil, end != appended || !damaged.isEmpty { leaveEpoch(now) }
        moved(appended: end, flushed: end, now: now)
    }

    /// Whether what that leader streams in that session would be taken in.
    public func follows(_ leader: ReplicaID, epoch: UInt32, session: UInt32) -> Bool {
        following.map { $0.leader == leader && $0.epoch == epoch && $0.session == session } ?? false
    }

    /// What took the place of damage is on stable storage. Once all damage is mended, the log is to be opened anew.
    public mutating func mended(_ range: Range<UInt64>, now: UInt64) {
        mendedFrom = min(range.lowerBound, mendedFrom ?? .max)
        damaged = damaged.flatMap { part in
            [part.lowerBound..<max(part.lowerBound, min(part.upperBound, range.lowerBound)),
             min(part.upperBound, max(part.lowerBound, range.upperBound))..<part.upperBound].filter { !$0.isEmpty }
        }
        switch role {
        case .recovering: finishRecovery(now)
        default:
            acknowledge()
            askAt = 0
            repairFollowing(now)
        }
    }

    /// The journal's beginning has been archived.
    public mutating func moved(start: UInt64) { self.start = max(self.start, start) }

    /// The record is on stable storage.
    public mutating func recorded(_ record: ReplicaRecord, now: UInt64) {
        recording = nil
        stored = record
        let waiting = afterRecord
        afterRecord = []
        for (promised, message, to) in waiting {
            // What has been overtaken by a higher promise is not said any more.
            if promised == stored.promised { effects.append(.send(fresh(message), to: to)) }
            if promised > stored.promised { afterRecord.append((promised, message, to)) }
        }
        store()
        goOn(now)
    }

    /// Log or record have come further: what that allows is done.
    private mutating func goOn(_ now: UInt64) {
        switch role {
        case .leader: advance(now)
        case .recovering: finishRecovery(now)
        case .candidate: choose(now)
        default:
            recordEpochs()
            givePromise()
            acknowledge()
        }
    }

    /// The store's value has changed; or has been read again.
    public mutating func saw(_ value: GroupAssignment, target: GroupTarget, revision: Int64, now: UInt64) {
        let before = assignment
        see(value, target, revision: revision, now)
        takeOver(from: before.leader, now)
    }

    private mutating func see(_ value: GroupAssignment, _ target: GroupTarget, revision: Int64, _ now: UInt64) {
        guard revision > self.revision else { return }
        let before = assignment
        if case .leader = role, target.elections > self.target.elections { isElectionAsked = true }
        self.revision = revision
        assignment = value
        self.target = target
        if let epoch = role.epoch, value.epoch > epoch || value.leader != own { stepDown(now) }
        if value.epoch != before.epoch || value.leader != before.leader {
            heard = now
            standAt = nil
        }
        if case .leader = role {
            // Either it is the set now, or the swap has failed for good: its revision has passed.
            proposed = nil
            takeSet(now)
        }
    }

    /// A swap has come to its end: `value` and its revision are what the store has now. Nil: the outcome is unknown; what came of
    /// it will be seen.
    public mutating func swapped(_ value: GroupAssignment?, target: GroupTarget, revision: Int64, now: UInt64) {
        swapping = nil
        if role == .standing { role = .follower }
        if let value { see(value, target, revision: revision, now) }
        takeOver(from: nil, now)
    }

    /// The brokers whose leases are there, with their disks' incarnations for this group.
    public mutating func saw(live: [Int32: UInt64], now: UInt64) {
        self.live = live
        if case .leader = role { takeSet(now) }
    }

    /// This replica can't go on, and says so in the store, so that another may lead.
    public mutating func giveUp(now: UInt64) {
        if role.epoch != nil { return leaveEpoch(now) }
        guard swapping == nil, assignment.leader == own else { return }
        var value = assignment
        value.leader = nil
        swap(value)
    }

    /// Another is to lead: at once one that keeps up, if there is any.
    public mutating func resign(now: UInt64) {
        guard role.epoch != nil else { return }
        isResigning = true
        if swapping == nil, !handOver(to: successor(except: own, now), now) { leaveEpoch(now) }
    }

    // MARK: Common to all roles

    mutating func send(_ message: ReplicaMessage, to: ReplicaID) { effects.append(.send(message, to: to)) }

    /// Has the record stored, if it differs from what is.
    mutating func store() {
        guard recording == nil, record != stored else { return }
        recording = record
        effects.append(.record(record))
    }

    /// Sends once the promise is stored.
    mutating func sendPromised(_ message: ReplicaMessage, to: ReplicaID) {
        if stored.promised == record.promised { return send(fresh(message), to: to) }
        afterRecord.append((record.promised, message, to))
        store()
    }

    /// What a promise tells of the log is what it is when it is sent.
    private func fresh(_ message: ReplicaMessage) -> ReplicaMessage {
        if case .promise(let epoch, _) = message { return .promise(epoch: epoch, shape) }
        return message
    }

    /// No epoch is so high: what says so is damaged, or not a replica.
    static let highestEpoch: UInt32 = 1 << 31

    /// Nothing is taken from epochs below that one any more.
    mutating func promise(_ epoch: UInt32, _ now: UInt64) {
        guard epoch > record.promised else { return }
        if let mine = role.epoch, mine < epoch { stepDown(now) }
        record.promised = epoch
        promisedTo = nil
        unfollow()
        lacking = nil
    }

    /// The leader is followed no more.
    mutating func unfollow() {
        // What stands behind the start of an epoch that is not recorded would be taken for the epoch's before. None of it is flushed.
        if let unrecorded = following?.ahead.first, unrecorded.position < appended { cut(at: unrecorded.position) }
        following = nil
    }

    /// A time to wait, at random, so that not all do the same at once.
    mutating func wait(upTo most: UInt64) -> UInt64 { .random(in: 0...most, using: &random) }

    /// The epoch is over here.
    mutating func stepDown(_ now: UInt64) {
        guard let epoch = role.epoch else { return }
        if case .leader = role { effects.append(.stop(epoch)) }
        role = .follower
        followers = [:]
        inSync = []
        promises = [:]
        plan = nil
        predecessor = nil
        proposed = nil
        isElectionAsked = false
        isResigning = false
        isServing = false
        epochFrameEnd = nil
        heard = now
        standAt = nil
    }

    /// As `stepDown`, and the store is told.
    mutating func leaveEpoch(_ now: UInt64) {
        guard let epoch = role.epoch else { return }
        stepDown(now)
        // Others first: whatever made this one leave may still be so.
        standAt = now + times.silence + wait(upTo: times.backoff)
        if swapping == nil, assignment.epoch == epoch, assignment.leader == own {
            var value = assignment
            value.leader = nil
            swap(value)
        }
    }

    mutating func swap(_ value: GroupAssignment) {
        precondition(swapping == nil, "one swap at a time")
        swapping = value
        effects.append(.swap(value, revision: revision))
    }
}
