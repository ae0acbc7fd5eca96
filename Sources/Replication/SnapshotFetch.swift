import Journal

/// A snapshot that a replica fetches because the leader's journal begins behind what it lacks: what is asked for next, and of whom. What comes is taken
/// in elsewhere, where waiting for the disk is allowed.
struct SnapshotFetch {
    let leader: ReplicaID
    let epoch: UInt32
    private var wanted: SnapshotStretch?
    private var askAt: UInt64 = 0
    /// Where the journal would end, once all is there.
    var completeEnd: UInt64?

    init(leader: ReplicaID, epoch: UInt32) {
        self.leader = leader
        self.epoch = epoch
    }

    /// That comes next, and is asked for from then on.
    mutating func want(_ stretch: SnapshotStretch, at time: UInt64) {
        wanted = stretch
        askAt = time
    }

    /// What to ask for now; nil: nothing.
    mutating func ask(_ times: ReplicaTimes, now: UInt64) -> SnapshotStretch? {
        guard let wanted, now >= askAt else { return nil }
        askAt = now + times.retry
        return wanted
    }

    /// Whether the stretch is what was asked for. It is not asked for again.
    mutating func take(_ stretch: SnapshotStretch) -> Bool {
        guard stretch == wanted else { return false }
        wanted = nil
        return true
    }
}

/// What the replicate stage wants of a snapshot, elsewhere.
public enum SnapshotOrder: Sendable {
    /// Take one of a log with that history in; one that is under way is given up.
    case begin(LogHistory)
    case take(SnapshotStretch, [UInt8], size: UInt64)
    /// What was asked for is not there any more, or the snapshot has been overtaken: go on with a new head.
    case restart
    /// It is not needed any more.
    case drop
    /// Put it in the place of the journal, with that record; `opened` follows.
    case install(StoredReplica)
    /// Read a stretch for another replica, of a journal that may be given up to `end`.
    case give(SnapshotStretch, end: UInt64, epoch: UInt32, to: ReplicaID)
}

/// What has come of a `SnapshotOrder`.
public enum SnapshotNews: Sendable {
    /// - Parameter isLate: something went wrong: not at once.
    case step(SnapshotTarget.Step, isLate: Bool)
    /// It can't be begun.
    case failed
    /// No bytes: it is not there.
    case given(SnapshotStretch, [UInt8], size: UInt64, epoch: UInt32, to: ReplicaID)
}
