import Journal

/// A partition group's journal that was opened here, for the replicate stage.
public struct OpenedReplica: Sendable {
    public var stored: StoredReplica
    /// The journal's first position, its end, and the checksum and the epoch of its last frame.
    public var start: UInt64
    public var end: UInt64
    public var previous: UInt32
    public var epoch: UInt32
    /// What of it can't be read. While there is any, no stage works on the journal.
    public var damaged: [Range<UInt64>]
    /// So much of it is known to be committed.
    public var committed: UInt64
    /// Its end can't be read: it may have gone on.
    public var isUnsure: Bool
    /// The journal's directory, to replace the record in.
    public var directory: String

    public init(
        stored: StoredReplica, start: UInt64, end: UInt64, previous: UInt32, epoch: UInt32, committed: UInt64, damaged: [Range<UInt64>],
        isUnsure: Bool, directory: String
    ) {
        self.committed = committed
        self.isUnsure = isUnsure
        self.stored = stored
        self.start = start
        self.end = end
        self.previous = previous
        self.epoch = epoch
        self.damaged = damaged
        self.directory = directory
    }
}

/// What the replicate stage of a cluster's broker is told.
public enum ReplicaNews: Sendable {
    /// A partition group's journal is open, for the first time or anew.
    case opened(group: Int, OpenedReplica)
    /// What took the place of damage is on stable storage.
    case mended(group: Int, Range<UInt64>)
    /// In a segment that is no longer written to these ranges, of whole frames, are not what they were.
    case damage(group: Int, [Range<UInt64>])
    /// What took its place is on stable storage, or nothing can be put there.
    case repaired(group: Int, Range<UInt64>)
    /// What came of something that was wanted of a snapshot.
    case snapshot(group: Int, SnapshotNews)
    /// It can't be opened: the replica takes no part.
    case failed(group: Int, reason: String)
    /// The group is not to be here any more: the replica takes no part, and its journal is let go of; `released` follows at the host.
    case release(group: Int)
    /// The store's value of a group, and what operators want of it, of that revision.
    case assignment(group: Int, GroupAssignment, GroupTarget, revision: Int64)
    /// What came of trying to put the value into the store: what it has now; nil: it is not known.
    case swapped(group: Int, tried: GroupAssignment, GroupAssignment?, GroupTarget, revision: Int64)
    /// The brokers that live, with the incarnations of their disks by group.
    case live([Int32: [UInt16: UInt64]])
    /// There is a connection to the broker.
    case connected(broker: Int32, socket: Int32)
    /// Another broker is to lead, if this one does.
    case resign(group: Int)
}

/// What the replicate stage wants done elsewhere, where waiting is allowed.
public protocol ReplicaHost: AnyObject {
    /// Close the group's journal, cut it off (from where on, and what its end was) and open it again; `opened` follows.
    func reopen(group: Int, cut: Range<UInt64>?, committed: UInt64)
    /// Put the bytes in the place of damage, in a journal that no stage works on; `mended` follows.
    func mend(group: Int, _ range: Range<UInt64>, _ bytes: [UInt8])
    /// The frame at that position of an open journal may have rotted; `damage` follows if so.
    func examine(group: Int, position: UInt64)
    /// Put the bytes in the place of what has rotted in an open journal; `repaired` follows.
    func repair(group: Int, _ range: Range<UInt64>, _ bytes: [UInt8])
    /// Do something about a snapshot; `ReplicaNews.snapshot` follows, but where it is dropped.
    func snapshot(group: Int, _ order: SnapshotOrder)
    /// Try to put the value into the store in place of the one of that revision; `swapped` follows.
    func swap(group: Int, _ value: GroupAssignment, revision: Int64)
    /// Nothing of the group's journal is used by the replicate stage any more, and nobody is told that anything is persisted here.
    func released(group: Int)
    /// Who leads the group as far as its replica here has heard, and in which epoch.
    func heard(group: Int, leader: Int32?, epoch: UInt32)
    /// Which brokers' replicas keep up with this one's, its own among them, in the epoch in which it leads the group. Told when it changes, and
    /// again now and then.
    func inSync(group: Int, _ brokers: [Int32], epoch: UInt32)
    /// There is no way to the broker (any more).
    func connect(to broker: Int32)
}
