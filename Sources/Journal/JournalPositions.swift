import Host
import Synchronization

/// How far one partition group's journal has come, in each sense that an answer can wait for. Each position has one stage
/// that advances it.
public final class JournalPositions: Sendable {
    /// The end of what the write stage has put into the cache.
    public let appended: Position
    /// What is on this broker's stable storage; by the flush stage.
    public let flushed: Position
    /// What a majority of the replicas has in memory; by the replicate stage.
    public let replicated: Position
    /// What a majority of the replicas has on stable storage; by the replicate stage. Consumers see nothing beyond it.
    public let committed: Position

    /// What all replicas in sync have on stable storage, of what is committed; by the replicate stage, once somebody waits for it. Who reads it,
    /// and `inSyncReplicas` afterwards, knows that so many have it.
    public let inSync: Position
    /// How many replicas are in sync, and how many of all are a majority; by the replicate stage.
    public let inSyncReplicas = Position(1)
    public let majority = Position(1)
    /// 1 from when an answer waits for `inSync`; by the write stage.
    public let awaitsInSync = Position(0)

    /// The end of the last answer that has left; by the respond stages, and for watchers only.
    public let answered = Atomic<UInt64>(0)

    /// Where recovery begins should the newest checkpoint be damaged; by the archive stage. What lies in earlier segments may be
    /// freed.
    public let recoverable: Position

    /// Where the journal begins: what came before is in archives, or deleted. By the archive stage, before it is freed.
    public let start = Position(0)
    /// What stands from there on some replica lacks, and is to be given from the journal; by the replicate stage.
    public let needed = Position(nothingNeeded)
    /// No replica lacks anything, as far as is known here.
    public static let nothingNeeded = UInt64(Int64.max)

    /// The epoch in which this broker leads the partition group and serves its clients; 0: it does not. By the replicate stage; of a
    /// broker that is alone it never changes.
    public let serving = Position(0)

    private let history = Mutex(EpochHistory())

    /// The epochs of the journal, as they were when this broker began to serve.
    public var epochs: EpochHistory { history.withLock { $0 } }

    /// Clients are served from here on.
    /// - Parameter epochs: the journal's; the last one is the one that it is served in.
    public func serve(_ epochs: EpochHistory) {
        history.withLock { $0 = epochs }
        serving.advance(to: UInt64(epochs.starts.last?.epoch ?? 0))
    }

    /// Advanced once, to an errno, when storage has failed.
    public let failed = Position(0)

    /// - Parameter start: what recovery found to be there.
    public init(start: UInt64) {
        appended = Position(start, keepsTimes: true)
        flushed = Position(start, keepsTimes: true)
        replicated = Position(start, keepsTimes: true)
        committed = Position(start, keepsTimes: true)
        inSync = Position(start)
        recoverable = Position(start)
    }

    /// The journal was opened anew, while no stage was at work on it.
    /// - Parameters:
    ///   - start: where the journal begins.
    ///   - end: what recovery found to be there.
    ///   - committed: what is known of that to be committed.
    ///   - recoverable: where recovery would begin should the newest checkpoint be damaged.
    func reopen(start: UInt64, end: UInt64, committed: UInt64, recoverable: UInt64) {
        self.start.advance(to: start)
        appended.advance(to: end)
        flushed.advance(to: end)
        replicated.advance(to: committed)
        self.committed.advance(to: committed)
        inSync.advance(to: committed)
        self.recoverable.advance(to: recoverable)
        answered.store(min(answered.load(ordering: .relaxed), end), ordering: .relaxed)
        hasSpace = true
    }

    /// The set has so many replicas in sync, and what all of them have on stable storage reaches to that position. By the replicate stage.
    public func setInSync(_ count: Int, majority: Int, reached: @autoclosure () -> UInt64) {
        // The number first: who reads the new position must not take it for what more replicas had.
        if inSyncReplicas.load() != UInt64(count) { inSyncReplicas.advance(to: UInt64(count)) }
        if self.majority.load() != UInt64(majority) { self.majority.advance(to: UInt64(majority)) }
        guard awaitsInSync.load() != 0 else { return }
        let reached = reached()
        if reached > inSync.load() { inSync.advance(to: reached) }
    }

    /// When a piece of a snapshot was given last, by the broker's monotonic clock; 0: never.
    public let snapshotGiven = Position(0)

    /// The checksum of the journal's last frame when the write stage gave its epoch up; by that.
    public let lastChecksum = Position(0)

    /// The errno with which storage failed; nil: it did not. A failure is final: what could not be made stable may be lost
    /// though a later sync succeeds, so nothing is acknowledged any more (docs/decisions/flush-errors.md).
    public var failure: Int32? {
        let code = failed.load()
        return code == 0 ? nil : Int32(code)
    }

    /// 1, or 0 while the loader can't make segments.
    public let space = Position(1)

    /// False while the loader can't make the next segment: mostly, because the disk is full.
    public var hasSpace: Bool {
        get { space.load() != 0 }
        set { space.advance(to: newValue ? 1 : 0) }
    }

    public func fail(_ code: Int32) { failed.advance(to: UInt64(code)) }
}
