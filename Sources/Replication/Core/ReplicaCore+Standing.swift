// Rules 1 to 4 of docs/REPLICATION.md: how a replica comes to lead.

extension ReplicaCore {
    /// Time has passed.
    public mutating func tick(now: UInt64) {
        switch role {
        case .follower: considerStanding(now)
        case .standing: break
        case .candidate(let epoch), .recovering(let epoch):
            if now >= deadline { return leaveEpoch(now) }
            if let until = predecessor?.until, now >= until {
                predecessor = nil
                choose(now)
            }
            if now >= askAt { ask(epoch, now) }
        case .leader: lead(now)
        }
        repairFollowing(now)
    }

    // MARK: Standing

    private mutating func considerStanding(_ now: UInt64) {
        guard isVoter, swapping == nil, max(assignment.epoch, record.promised) < ReplicaCore.highestEpoch - 1, isLeaderGone(now) else {
            standAt = nil
            return
        }
        guard let standAt else {
            // Who has damage to mend lets others go first.
            let patience = times.backoff + (damaged.isEmpty ? 0 : times.silence)
            self.standAt = now + wait(upTo: patience)
            return
        }
        guard now >= standAt else { return }
        self.standAt = nil
        var value = assignment
        value.epoch = max(value.epoch, record.promised) + 1
        value.leader = own
        role = .standing
        swap(value)
    }

    private func isLeaderGone(_ now: UInt64) -> Bool {
        // The store may be away: who leads by now says so itself.
        if let following, following.epoch > assignment.epoch, now < heard + times.silence { return false }
        guard let leader = assignment.leader else { return true }
        // An epoch that this replica won in an earlier life, or by a swap whose outcome it never learned, nobody leads.
        if leader == own { return true }
        return live[leader.broker] != leader.incarnation && now >= heard + times.silence
    }

    /// An epoch that the store gives to this replica is its own to begin, whether it has swapped for it or another has handed it over: nobody else ever
    /// does, and that it is not promised shows that this one has not either, in no earlier life.
    mutating func takeOver(from former: ReplicaID?, _ now: UInt64) {
        guard role == .follower, !isInstalling, swapping == nil, isVoter, assignment.leader == own, assignment.epoch > record.promised,
            assignment.epoch < ReplicaCore.highestEpoch
        else { return }
        if let former, former != own { predecessor = (former, now + times.retry + times.heartbeat) }
        beginCandidacy(assignment.epoch, now)
    }

    // MARK: Promises

    mutating func beginCandidacy(_ epoch: UInt32, _ now: UInt64) {
        promise(epoch, now)
        role = .candidate(epoch: epoch)
        promises = [:]
        plan = nil
        deadline = now + times.candidacy
        store()
        ask(epoch, now)
    }

    /// Asks for what is not answered yet.
    private mutating func ask(_ epoch: UInt32, _ now: UInt64) {
        askAt = now + times.retry
        for replica in assignment.replicas where replica != own && promises[replica] == nil {
            sendPromised(.prepare(epoch: epoch), to: replica)
        }
        if case .candidate = role { choose(now) }
        if case .recovering = role { read() }
    }

    mutating func takePrepare(_ epoch: UInt32, from: ReplicaID, _ now: UInt64) {
        guard epoch >= record.promised, role.epoch ?? 0 < epoch else { return send(.refuse(promised: record.promised), to: from) }
        guard epoch < ReplicaCore.highestEpoch else { return }
        promise(epoch, now)
        heard = now
        standAt = nil
        promisedTo = (epoch, from)
        givePromise()
        store()
    }

    /// A promise tells of all that has come by then, so it waits until that is on stable storage: what is only in memory may have been acknowledged as
    /// replicated.
    mutating func givePromise() {
        guard let (epoch, candidate) = promisedTo, flushed == appended else { return }
        promisedTo = nil
        sendPromised(.promise(epoch: epoch, shape), to: candidate)
    }

    mutating func takePromise(_ epoch: UInt32, _ shape: LogShape, from: ReplicaID, _ now: UInt64) {
        guard role == .candidate(epoch: epoch) || role == .recovering(epoch: epoch), assignment.replicas.contains(from) else { return }
        // The first one stands: what was promised by then is all that can ever come of lower epochs.
        if promises[from] == nil { promises[from] = shape }
        choose(now)
    }

    // MARK: The best log

    mutating func choose(_ now: UInt64) {
        guard case .candidate(let epoch) = role, stored.promised == epoch, stored.isUnsure == record.isUnsure, flushed == appended else { return }
        if let predecessor, promises[predecessor.replica] == nil { return }
        promises[own] = shape
        switch LogChoice.make(own: own, promises: promises, replicas: assignment.replicas) {
        case .wait: break
        case .leaveTo: leaveEpoch(now)
        case .take(let plan):
            guard plan.keeps >= min(committed, appended), plan.end >= committed else {
                effects.append(.alarm("the best log of a majority ends at \(plan.end), though \(committed) is committed"))
                return leaveEpoch(now)
            }
            role = .recovering(epoch: epoch)
            self.plan = plan
            deadline = now + times.candidacy
            damaged = plan.reads.filter { $0.range.lowerBound < plan.keeps }.map(\.range)
            if let range = plan.leftOut { effects.append(.leftOut(range)) }
            cut(at: plan.keeps)
            following = Following(
                epoch: epoch, session: 0, leader: own,
                ahead: plan.history.starts.filter { !record.history.starts.contains($0) })
            read()
            finishRecovery(now)
        }
    }

    /// The log ends at `position` from here on; an epoch that had begun there, without a frame of its own, is not part of it either.
    mutating func cut(at position: UInt64) {
        precondition(position >= min(committed, recordedEnd), "nobody cuts off what it has persisted and is committed")
        record.history.cut(at: position)
        guard position < appended else { return }
        appended = position
        flushed = min(flushed, position)
        damaged = damaged.parts(within: 0..<position)
        effects.append(.cut(at: position))
    }

    /// Asks for what comes next of the plan.
    private mutating func read() {
        guard case .recovering(let epoch) = role, let next = plan?.reads.first else { return }
        let end = min(next.range.upperBound, next.range.lowerBound + times.read)
        send(.read(epoch: epoch, next.range.lowerBound..<end), to: next.source)
    }

    mutating func takeBytes(_ epoch: UInt32, _ range: Range<UInt64>, from: ReplicaID, _ now: UInt64) {
        if role == .recovering(epoch: epoch), let next = plan?.reads.first {
            guard range.lowerBound == next.range.lowerBound, range.upperBound <= next.range.upperBound, !range.isEmpty else { return }
            askAt = now + times.retry
            deadline = now + times.candidacy
            takeIn(range)
            plan!.reads[0].range = range.upperBound..<next.range.upperBound
            if plan!.reads[0].range.isEmpty { plan!.reads.removeFirst() }
            read()
            finishRecovery(now)
        } else if let following, following.epoch == epoch, following.leader == from, damaged.first?.lowerBound == range.lowerBound {
            effects.append(.mend(range.clamped(to: damaged[0])))
        }
    }

    /// The bytes go to the log's end, or take the place of damage.
    private mutating func takeIn(_ range: Range<UInt64>) {
        if range.lowerBound == appended {
            appended = range.upperBound
            effects.append(.take(range))
        } else {
            effects.append(.mend(range))
        }
    }

    /// Who was to be read from can't: others may be able to.
    mutating func takeUnreadable(_ epoch: UInt32, _ range: Range<UInt64>, from: ReplicaID, _ now: UInt64) {
        guard role == .recovering(epoch: epoch), plan?.reads.first?.source == from, plan?.reads.first?.range.lowerBound == range.lowerBound
        else { return }
        // What it has promised to have turns out to be damaged: the choice is made anew.
        promises[from]?.damaged.append(range)
        promises[from]?.damaged.sort { $0.lowerBound < $1.lowerBound }
        role = .candidate(epoch: epoch)
        plan = nil
        choose(now)
    }

    /// Begins the epoch once the log is the best one, on stable storage, and recorded.
    mutating func finishRecovery(_ now: UInt64) {
        guard case .recovering(let epoch) = role, let plan, plan.reads.isEmpty, appended == plan.end, flushed == appended, damaged.isEmpty
        else { return }
        recordEpochs()
        if record.history.lastEpoch != epoch {
            guard record.history == plan.history else { return }
            beginHistory(epoch, at: appended)
            store()
        }
        guard stored.history.lastEpoch == epoch else { return }
        following = nil
        role = .leader(epoch: epoch)
        beginLeading(epoch, now)
    }
}
