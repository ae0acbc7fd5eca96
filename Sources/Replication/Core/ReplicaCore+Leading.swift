// Rules 6 to 8 of docs/REPLICATION.md: what a leader does.

extension ReplicaCore {
    mutating func beginLeading(_ epoch: UInt32, _ now: UInt64) {
        let promised = promises.keys.sorted()
        promises = [:]
        plan = nil
        epochFrameEnd = nil
        isServing = false
        proposed = nil
        followers = [:]
        effects.append(.beginEpoch(epoch))
        takeSet(now)
        beginInSync(promised, now)
    }

    /// The epoch's frame has been appended; it ends there.
    public mutating func begunEpoch(frameEnd: UInt64, now: UInt64) {
        guard case .leader = role, epochFrameEnd == nil else { return }
        epochFrameEnd = frameEnd
        appended = max(appended, frameEnd)
        for replica in followers.keys.sorted() { begin(with: replica, now) }
        advance(now)
    }

    /// Streams to those who are in the set, or may be.
    mutating func takeSet(_ now: UInt64) {
        let wanted = Set(assignment.replicas + (proposed ?? []) + learners).subtracting([own])
        for replica in followers.keys where !wanted.contains(replica) { followers[replica] = nil }
        for replica in wanted.sorted() where followers[replica] == nil {
            followers[replica] = FollowerProgress(heard: now)
            if epochFrameEnd != nil { begin(with: replica, now) }
        }
        updateInSync(now)
    }

    /// Tells a follower the log's history.
    mutating func begin(with replica: ReplicaID, _ now: UInt64) {
        guard case .leader(let epoch) = role, followers[replica] != nil else { return }
        nextSession &+= 1
        followers[replica]!.session = nextSession
        followers[replica]!.state = .matching
        followers[replica]!.spoken = now
        send(.follow(epoch: epoch, session: followers[replica]!.session, start: start, record.history), to: replica)
    }

    /// The way to a replica was broken, and is there again.
    public mutating func connected(_ replica: ReplicaID, now: UInt64) {
        if epochFrameEnd != nil { begin(with: replica, now) }
    }

    mutating func takeMatched(_ epoch: UInt32, _ session: UInt32, end: UInt64, from: ReplicaID, _ now: UInt64) {
        guard role == .leader(epoch: epoch), var progress = followers[from], progress.session == session, end <= appended else { return }
        guard progress.state != .streaming else {
            // It has begun again, by a late copy of what it was told before.
            if end < progress.received { begin(with: from, now) }
            return
        }
        progress.state = .streaming
        progress.sent = end
        progress.received = end
        progress.heard = now
        progress.begin(end: end, appended: appended, now: now)
        followers[from] = progress
        stream(to: from, now)
    }

    mutating func takeBehind(_ epoch: UInt32, _ session: UInt32, end: UInt64, from: ReplicaID, _ now: UInt64) {
        guard role == .leader(epoch: epoch), followers[from]?.session == session, followers[from]?.state == .matching else { return }
        followers[from]!.state = .behind
        followers[from]!.heard = now
    }

    mutating func takeAck(
        _ epoch: UInt32, _ session: UInt32, received: UInt64, persisted: UInt64, isUnsure: Bool, from: ReplicaID, _ now: UInt64
    ) {
        guard role == .leader(epoch: epoch), var progress = followers[from], progress.session == session, received <= appended,
            progress.state == .streaming
        else { return }
        let reached = max(progress.received, min(received, progress.sent))
        if reached > progress.received { progress.moved = now }
        progress.received = reached
        progress.persisted = max(progress.persisted, min(persisted, reached))
        progress.heard = now
        progress.isUnsure = isUnsure
        progress.acknowledged(appended: appended, patience: times.silence, now: now)
        followers[from] = progress
        advance(now)
        if !inSync.contains(from) { updateInSync(now) }
    }

    /// The log, or a follower, has come further.
    mutating func advance(_ now: UInt64) {
        for replica in followers.keys.sorted() { stream(to: replica, now) }
        guard case .leader(let epoch) = role, let epochFrameEnd else { return }
        let reached = assignment.majorityReached { reach($0) }
        let both = proposed.map { min(reached, GroupAssignment(replicas: $0).majorityReached { reach($0) }) } ?? reached
        guard both >= epochFrameEnd else { return }
        moveCommitted(to: both)
        if !isServing {
            isServing = true
            effects.append(.serve(epoch))
        }
    }

    func reach(_ replica: ReplicaID) -> UInt64 { replica == own ? persisted : followers[replica]?.persisted ?? 0 }

    /// How far a majority has the journal in memory, and keeps it whoever leads next. Who has not recorded the epoch yet would drop what is in it.
    public var replicated: UInt64 {
        guard case .leader = role, let epochFrameEnd else { return 0 }
        func reach(_ replica: ReplicaID) -> UInt64 {
            guard replica != own, let progress = followers[replica] else { return replica == own ? appended : 0 }
            return progress.persisted >= epochFrameEnd ? progress.received : progress.persisted
        }
        let reached = min(
            assignment.majorityReached(reach), proposed.map { GroupAssignment(replicas: $0).majorityReached(reach) } ?? .max)
        return reached >= epochFrameEnd ? reached : 0
    }

    /// Sends what fits into the window.
    private mutating func stream(to replica: ReplicaID, _ now: UInt64) {
        guard case .leader(let epoch) = role, var progress = followers[replica], progress.state == .streaming else { return }
        // What it needs has been freed.
        guard progress.sent >= start else { return begin(with: replica, now) }
        while progress.sent < appended, progress.inFlight < times.window {
            let end = min(appended, progress.sent + min(times.message, times.window - progress.inFlight))
            send(.append(epoch: epoch, session: progress.session, progress.sent..<end, committed: committed), to: replica)
            if progress.inFlight == 0 { progress.moved = now }
            progress.sent = end
            progress.spoken = now
        }
        followers[replica] = progress
    }

    /// Signs of life; what has got lost; and whether a majority is still heard of.
    mutating func lead(_ now: UInt64) {
        guard case .leader(let epoch) = role, epochFrameEnd != nil else {
            if case .leader = role, now >= deadline { leaveEpoch(now) }
            return
        }
        for replica in followers.keys.sorted() {
            let progress = followers[replica]!
            switch progress.state {
            case .matching: if now >= progress.spoken + times.retry { begin(with: replica, now) }
            // It hears that there is a leader; and once it has a snapshot, it says so.
            case .behind: if now >= progress.spoken + times.heartbeat { begin(with: replica, now) }
            case .streaming:
                if progress.inFlight > 0, now >= progress.moved + times.retry {
                    begin(with: replica, now)
                } else if now >= progress.spoken + times.heartbeat {
                    followers[replica]!.spoken = now
                    send(
                        .append(epoch: epoch, session: progress.session, progress.sent..<progress.sent, committed: committed), to: replica)
                }
            }
        }
        let near = assignment.replicas.count { isNear($0, now) }
        if near < assignment.majority { return leaveEpoch(now) }
        updateInSync(now)
        propose()
        if isResigning, swapping == nil { return leaveEpoch(now) }
        changeSet(now)
        elect(now)
        renewEpoch()
    }

    /// A follower that has begun anew in this epoch, and does not know how far it had come, knows it again in the next one: without it, it would be of
    /// little use as a voter. So the leader asks for another epoch.
    private mutating func renewEpoch() {
        guard isServing, swapping == nil, proposed == nil, assignment.epoch == role.epoch, assignment.leader == own, let epochFrameEnd,
            record.promised < ReplicaCore.highestEpoch - 1,
            followers.values.contains(where: { $0.isUnsure && $0.state == .streaming && $0.persisted >= epochFrameEnd })
        else { return }
        var value = assignment
        value.epoch = max(value.epoch, record.promised) + 1
        swap(value)
    }

    private func isNear(_ replica: ReplicaID, _ now: UInt64) -> Bool {
        replica == own || followers[replica].map { now < $0.heard + times.silence } ?? false
    }

    /// Those who are streamed to and have the log up to there on stable storage.
    public func holders(of position: UInt64) -> [ReplicaID] {
        followers.filter { $0.value.state == .streaming && $0.value.persisted >= position }.keys.sorted()
    }

    /// Leading: where the journal begins that some follower does not have yet, as far as it is known to have any; else nil.
    public var neededByFollowers: UInt64? {
        if case .leader = role { followers.values.map(\.persisted).min() } else { nil }
    }

    // MARK: The set

    /// Disks of the target's brokers that are there and not in the set: of brokers that are to have the group, or whose disk was wiped.
    var learners: [ReplicaID] {
        target.brokers.compactMap { broker in
            guard let incarnation = live[broker] else { return nil }
            let learner = ReplicaID(broker: broker, incarnation: incarnation)
            return assignment.replicas.contains(learner) ? nil : learner
        }
    }

    /// What is in the set and not to be: replicas of brokers that the target does not name, and what a wiped disk was before. First those that are not
    /// there. A broker of the target that is away keeps its place.
    private var surplus: [ReplicaID] {
        let unwanted = assignment.replicas.filter { replica in
            !target.brokers.contains(replica.broker) || live[replica.broker].map { $0 != replica.incarnation } ?? false
        }
        return unwanted.filter { live[$0.broker] != $0.incarnation } + unwanted.filter { live[$0.broker] == $0.incarnation }
    }

    /// Makes the set what it is to be: a replica more once it has caught up, then one less, until all are of the target. Not in one step: majorities of
    /// sets that differ by two replicas need not meet. A leader does not take itself out: it lets another lead, who does.
    private mutating func changeSet(_ now: UInt64) {
        guard proposed == nil, swapping == nil else { return }
        let surplus = surplus
        guard assignment.replicas.count <= target.brokers.count || surplus.isEmpty else {
            for replica in surplus where replica != own {
                if change(to: assignment.replicas.filter { $0 != replica }, now: now) { return }
            }
            if surplus == [own] { _ = handOver(to: successor(except: own, now), now) }
            return
        }
        for learner in learners where followers[learner]?.state == .streaming && followers[learner]!.persisted >= committed {
            _ = change(to: assignment.replicas + [learner], now: now)
            return
        }
    }

    /// Asks for a replica more, or one less. One change at a time, and none before the one before is known and all that is committed is
    /// persisted by a majority of the set: false.
    public mutating func change(to replicas: [ReplicaID], now: UInt64) -> Bool {
        guard isServing, swapping == nil, proposed == nil, assignment.epoch == role.epoch, assignment.leader == own, replicas.contains(own),
            assignment.majorityReached({ reach($0) }) >= committed
        else { return false }
        let change = Set(replicas).symmetricDifference(assignment.replicas)
        guard change.count == 1, let changed = change.first, Set(replicas).count == replicas.count else { return false }
        // Who is to count must have what is committed; and who is left must be able to go on.
        if replicas.contains(changed), followers[changed]?.persisted ?? 0 < committed { return false }
        let next = GroupAssignment(replicas: replicas)
        guard next.majorityReached({ isNear($0, now) ? reach($0) : 0 }) >= committed else { return false }
        proposed = replicas
        propose()
        takeSet(now)
        return true
    }

    /// Tries until the outcome is known: meanwhile both sets count.
    private mutating func propose() {
        guard let proposed, swapping == nil else { return }
        var value = assignment
        value.replicas = proposed
        swap(value)
    }

    // MARK: Who is to lead

    /// The first replica of the target, but for `except`, that is there and keeps up; this one does.
    func successor(except: ReplicaID? = nil, _ now: UInt64) -> ReplicaID? {
        target.brokers.lazy.compactMap { broker in
            self.live[broker].map { ReplicaID(broker: broker, incarnation: $0) }
        }.first { replica in
            replica != except && self.assignment.replicas.contains(replica)
                && (replica == self.own || self.followers[replica]?.keepsUp(lag: self.times.silence, silence: self.times.silence, now: now) ?? false)
        }
    }

    /// Gives the next epoch to another replica, by the swap that it would stand with; this one leads on until the store says so, or until the other asks for
    /// its promise. Returns whether that is tried: it is not while another swap's outcome is unknown.
    mutating func handOver(to replica: ReplicaID?, _ now: UInt64) -> Bool {
        guard let replica, replica != own, case .leader(let epoch) = role, isServing, swapping == nil, proposed == nil,
            assignment.epoch == epoch, assignment.leader == own, record.promised < ReplicaCore.highestEpoch - 1
        else { return false }
        var value = assignment
        value.epoch = max(epoch, record.promised) + 1
        value.leader = replica
        swap(value)
        return true
    }

    /// Lets another lead, because of what this one can't do. Returns whether that is tried.
    public mutating func letLead(_ replica: ReplicaID, now: UInt64) -> Bool {
        guard followers[replica]?.keepsUp(lag: times.silence, silence: times.silence, now: now) ?? false else { return false }
        return handOver(to: replica, now)
    }

    /// Lets the one lead that is to, if that is another and it has kept up for a while. Returns whether that is tried.
    public mutating func balance(now: UInt64) -> Bool {
        guard case .leader = role, let replica = successor(now), replica != own, now >= followers[replica]!.keepsUpSince + times.steady
        else { return false }
        return handOver(to: replica, now)
    }

    /// An operator has asked for the one that is to lead.
    private mutating func elect(_ now: UInt64) {
        guard isElectionAsked, isServing, swapping == nil, proposed == nil else { return }
        isElectionAsked = false
        _ = handOver(to: successor(now), now)
    }
}
