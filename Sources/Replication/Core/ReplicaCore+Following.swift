// Rule 5 of docs/REPLICATION.md: how a follower's log becomes the leader's.

extension ReplicaCore {
    /// A message of another replica has come.
    public mutating func take(_ message: ReplicaMessage, from: ReplicaID, now: UInt64) {
        switch message {
        case .prepare(let epoch): takePrepare(epoch, from: from, now)
        case .promise(let epoch, let shape): takePromise(epoch, shape, from: from, now)
        case .refuse(let promised):
            if let mine = role.epoch, promised > mine { leaveEpoch(now) }
        case .read(let epoch, let range): takeRead(epoch, range, from: from, now)
        case .bytes(let epoch, let range): takeBytes(epoch, range, from: from, now)
        case .unreadable(let epoch, let range, _): takeUnreadable(epoch, range, from: from, now)
        case .follow(let epoch, let session, let start, let history):
            takeFollow(epoch, session, start: start, history, from: from, now)
        case .append(let epoch, let session, let range, let committed):
            takeAppend(epoch, session, range, committed: committed, from: from, now)
        case .matched(let epoch, let session, let end): takeMatched(epoch, session, end: end, from: from, now)
        case .behind(let epoch, let session, let end): takeBehind(epoch, session, end: end, from: from, now)
        case .ack(let epoch, let session, let received, let persisted, let isUnsure):
            takeAck(epoch, session, received: received, persisted: persisted, isUnsure: isUnsure, from: from, now)
        // Of snapshots only what comes of them matters here.
        case .fetch, .file: break
        }
    }

    private mutating func takeFollow(
        _ epoch: UInt32, _ session: UInt32, start: UInt64, _ history: LogHistory, from: ReplicaID, _ now: UInt64
    ) {
        guard epoch >= record.promised, role.epoch ?? 0 < epoch else { return send(.refuse(promised: record.promised), to: from) }
        guard epoch < ReplicaCore.highestEpoch else { return }
        promise(epoch, now)
        heard = now
        standAt = nil
        if let following, following.epoch == epoch {
            // A late copy of what was answered before.
            guard session > following.session else { return }
            guard !lacks(start, common: appended) else { return fallBehind(epoch, session, history, common: appended, from) }
            self.following!.session = session
        } else {
            // In the leader's own epoch its log goes on without end: what a follower has of it is part of it.
            let common = record.history.common(end: appended, with: history, otherEnd: .max)
            guard common >= min(committed, appended) else {
                return effects.append(.alarm("the leader of epoch \(epoch) has the log up to \(common), though \(committed) is committed"))
            }
            guard !lacks(start, common: common) else { return fallBehind(epoch, session, history, common: common, from) }
            lacking = nil
            var kept = record.history
            kept.cut(at: common)
            let ahead = history.starts.filter { !kept.starts.contains($0) }
            // No leader's history says otherwise; what does is not taken for one.
            guard ahead.allSatisfy({ $0.position >= common && $0.epoch > kept.lastEpoch && $0.epoch <= epoch }) else { return }
            cut(at: common)
            following = Following(epoch: epoch, session: session, leader: from, ahead: ahead)
        }
        sendPromised(.matched(epoch: epoch, session: session, end: appended), to: from)
        store()
    }

    /// Whether a leader whose journal begins there no longer has what the log lacks of its own, of which it is part up to `common`.
    private func lacks(_ start: UInt64, common: UInt64) -> Bool { min(common, damaged.first?.lowerBound ?? .max, rot ?? .max) < start }

    private mutating func fallBehind(_ epoch: UInt32, _ session: UInt32, _ history: LogHistory, common: UInt64, _ leader: ReplicaID) {
        unfollow()
        lacking = Lacking(epoch: epoch, leader: leader, history: history, common: min(common, appended))
        effects.append(.needSnapshot(from: leader, epoch: epoch, history))
        sendPromised(.behind(epoch: epoch, session: session, end: common), to: leader)
        store()
    }

    // MARK: Snapshots

    /// A snapshot of the leader's log up to `end` is complete. Returns whether it may take the log's place: it may while that leader's epoch is the one
    /// that is promised, and if it has all that the log has of that leader's log.
    public mutating func install(epoch: UInt32, end: UInt64) -> Bool {
        guard let lacking, lacking.epoch == epoch, record.promised == epoch, end >= lacking.common, role == .follower, swapping == nil,
            recording == nil, stored == record, !isInstalling
        else { return false }
        isInstalling = true
        // As if the log had been streamed up to there: what began before is part of it.
        record.history = lacking.history
        record.history.cut(at: end)
        if record.history.lastEpoch > stored.history.lastEpoch { record.isUnsure = false }
        recording = record
        effects.append(.install(record))
        return true
    }

    /// The snapshot has taken the place of log and record; this is what was found there.
    /// - Parameter committed: so much of it is known to be committed.
    public mutating func installed(
        start: UInt64, end: UInt64, committed: UInt64, damaged: [Range<UInt64>], isUnsure: Bool = false, now: UInt64
    ) {
        isInstalling = false
        (lacking, rot) = (nil, nil)
        if let recording { stored = recording }
        recording = nil
        (appended, flushed) = (end, end)
        moveCommitted(to: min(committed, end))
        reopened(start: start, end: end, damaged: damaged, isUnsure: isUnsure, now: now)
        takeOver(from: nil, now)
    }

    private mutating func takeAppend(
        _ epoch: UInt32, _ session: UInt32, _ range: Range<UInt64>, committed: UInt64, from: ReplicaID, _ now: UInt64
    ) {
        guard epoch >= record.promised else { return send(.refuse(promised: record.promised), to: from) }
        guard let following, following.epoch == epoch, following.session == session else { return }
        heard = now
        // What comes twice is left; what comes too early will be sent again.
        if range.lowerBound <= appended, range.upperBound > appended {
            let new = appended..<range.upperBound
            appended = new.upperBound
            effects.append(.take(new))
        }
        moveCommitted(to: min(committed, appended))
        acknowledge(isAsked: true)
    }

    /// Tells the leader how far the log has come, if that is news, or a sign of life is to be answered.
    mutating func acknowledge(isAsked: Bool = false) {
        guard let following, following.leader != own, role == .follower || role == .standing else { return }
        guard isAsked || appended != following.toldReceived || persisted != following.toldPersisted else { return }
        self.following!.toldReceived = appended
        self.following!.toldPersisted = persisted
        let message = ReplicaMessage.ack(
            epoch: following.epoch, session: following.session, received: appended, persisted: persisted, isUnsure: stored.isUnsure)
        // One that has not been sent yet says less.
        if case .send(.ack(following.epoch, following.session, _, _, _), to: following.leader)? = effects.last { effects.removeLast() }
        sendPromised(message, to: following.leader)
    }

    /// Epochs whose starts the log has come to, on stable storage, are recorded.
    mutating func recordEpochs() {
        while let next = following?.ahead.first, flushed >= next.position {
            beginHistory(next.epoch, at: next.position)
            following!.ahead.removeFirst()
        }
        store()
    }

    /// The log goes on with that epoch: whose leader had everything that may have been acknowledged before.
    mutating func beginHistory(_ epoch: UInt32, at position: UInt64) {
        record.history.begin(epoch, at: position)
        record.isUnsure = false
    }

    mutating func moveCommitted(to position: UInt64) {
        guard position > committed else { return }
        committed = position
        effects.append(.commit(position))
    }

    /// Damage in a log that is part of the leader's is mended with the leader's bytes.
    mutating func repairFollowing(_ now: UInt64) {
        guard let following, following.leader != own, let first = damaged.first, stored.isUnsure == record.isUnsure else { return }
        guard now >= askAt || askAt > now + times.retry else { return }
        askAt = now + times.retry
        let end = min(first.upperBound, first.lowerBound + times.read)
        send(.read(epoch: following.epoch, first.lowerBound..<end), to: following.leader)
    }

    /// Another wants the journal's bytes: of who has promised its epoch, or leads in it.
    private mutating func takeRead(_ epoch: UInt32, _ range: Range<UInt64>, from: ReplicaID, _ now: UInt64) {
        guard epoch == record.promised, stored.promised == epoch else { return }
        // A follower is told where the journal begins by now.
        if role == .leader(epoch: epoch), range.lowerBound < start { begin(with: from, now) }
        let isThere = range.lowerBound >= start && range.upperBound <= appended && !damaged.contains { $0.overlaps(range) }
        send(isThere ? .bytes(epoch: epoch, range) : .unreadable(epoch: epoch, range, start: start), to: from)
    }
}
