import Journal

/// What replicas of one partition group say to each other. `bytes` and `append` are followed by the journal's bytes, which the
/// core never sees.
public enum ReplicaMessage: Hashable, Sendable {
    /// A candidate asks to promise its epoch.
    case prepare(epoch: UInt32)
    /// The promise, with the log as it is.
    case promise(epoch: UInt32, LogShape)
    /// What was asked for belongs to an epoch below the one that was promised.
    case refuse(promised: UInt32)

    /// A candidate asks for the journal's bytes, to make its log the best one.
    case read(epoch: UInt32, Range<UInt64>)
    case bytes(epoch: UInt32, Range<UInt64>)
    /// It can't be read here, where the journal begins at `start`: what comes before that is archived.
    case unreadable(epoch: UInt32, Range<UInt64>, start: UInt64)

    /// A leader tells its history; what it streams from now on belongs to this session.
    case follow(epoch: UInt32, session: UInt32, start: UInt64, LogHistory)
    /// The follower's log is the leader's up to `end`.
    case matched(epoch: UInt32, session: UInt32, end: UInt64)
    /// The follower's log, which is the leader's up to `end`, lacks what comes before the leader's journal starts: a snapshot is to take its place.
    case behind(epoch: UInt32, session: UInt32, end: UInt64)
    /// A follower that is behind asks for a stretch of a snapshot's file.
    case fetch(epoch: UInt32, SnapshotStretch)
    /// The stretch, or what there is of it, and how many bytes the file has; none: it is not there any more.
    case file(epoch: UInt32, SnapshotStretch, size: UInt64, [UInt8])
    /// The journal's next bytes, none in a sign of life; and how far the journal is committed.
    case append(epoch: UInt32, session: UInt32, Range<UInt64>, committed: UInt64)
    /// How far the follower has the journal: in memory, and on stable storage; and whether it is unsure what it had before.
    case ack(epoch: UInt32, session: UInt32, received: UInt64, persisted: UInt64, isUnsure: Bool)

    /// The epoch that the sender speaks for, or has promised.
    public var epoch: UInt32 {
        switch self {
        case .prepare(let epoch), .promise(let epoch, _), .refuse(let epoch), .read(let epoch, _), .bytes(let epoch, _),
            .unreadable(let epoch, _, _), .follow(let epoch, _, _, _), .matched(let epoch, _, _), .behind(let epoch, _, _),
            .append(let epoch, _, _, _), .ack(let epoch, _, _, _, _), .fetch(let epoch, _), .file(let epoch, _, _, _):
            epoch
        }
    }
}

/// What a replica keeps on stable storage besides its journal. It is replaced whole.
public struct ReplicaRecord: Hashable, Codable, Sendable {
    /// Nothing is taken from a lower epoch.
    public var promised: UInt32
    public var history: LogHistory
    /// The log's end was found to be unreadable in its last epoch: the log may have gone on, and what was there may have been acknowledged.
    public var isUnsure: Bool

    public init(promised: UInt32 = 0, history: LogHistory = LogHistory(), isUnsure: Bool = false) {
        self.promised = promised
        self.history = history
        self.isUnsure = isUnsure
    }
}

/// What the core wants done.
public enum ReplicaEffect: Hashable, Sendable {
    case send(ReplicaMessage, to: ReplicaID)
    /// Put the record on stable storage, then call `recorded`. One at a time.
    case record(ReplicaRecord)
    /// The log ends here from now on: what is behind is taken out of memory, index and state, and not written any more.
    case cut(at: UInt64)
    /// The bytes that came with the message are taken in at the log's end, where the range begins.
    case take(Range<UInt64>)
    /// The bytes that came with the message take the place of damage; then call `mended`.
    case mend(Range<UInt64>)
    /// What is committed would have to be cut off: more was lost than replication can stand. The replica stops taking part.
    case alarm(String)
    /// Append the epoch's frame.
    case beginEpoch(UInt32)
    /// The epoch's frame is committed: clients are served.
    case serve(UInt32)
    /// The epoch is over here: what is pending fails, and nothing is appended any more.
    case stop(UInt32)
    /// The journal is committed up to here.
    case commit(UInt64)
    /// Try to put the value into the store in place of the one of that revision, then call `swapped`.
    case swap(GroupAssignment, revision: Int64)
    /// To be told: what was at these positions can't be read by anyone, and was not committed. The journal goes on without it.
    case leftOut(Range<UInt64>)
    /// A snapshot of that leader's log, of that epoch, with that history, is needed. Said again and again; when it is there, call `install`.
    case needSnapshot(from: ReplicaID, epoch: UInt32, LogHistory)
    /// Put the snapshot and the record in the place of log and record, then call `installed`.
    case install(ReplicaRecord)
}
