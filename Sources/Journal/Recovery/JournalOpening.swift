// Unsafe on purpose: recovery shows frames where they lie in the journal's memory.

import Glibc
import Host
import IO
import Logging

/// One partition group's journal, recovered and ready to be written to.
public struct OpenedJournal {
    public let identity: JournalIdentity
    public let cache: JournalCache
    public let positions: JournalPositions
    public let paths: JournalPaths
    public let recovered: RecoveredJournal
    /// The segment that the writer goes on with.
    public let current: LoadedSegment
    /// The index of that segment.
    public let active: SegmentIndex
    /// What the older segments hold, oldest first.
    public let summaries: [SegmentSummary]
    public let catalog: ArchiveCatalog
    /// The journal's directory, open.
    public let directory: Int32
    /// Files of the segments behind the current one that stand ready.
    public let prepared: [Int32]
    /// Segments before the first that are still there, to be used again.
    public let free: [UInt64]
    /// By partition number the offset of the next record.
    public let nextOffsets: [Int64]
    /// By partition number the offset of the first record that is not deleted.
    public let logStarts: [Int64]
}

/// What a journal is opened with.
public struct JournalOptions: Sendable {
    public var segmentBytes: Int
    public var cacheSegments: Int
    /// Lock the cache's memory.
    public var locksMemory: Bool
    /// How much of a partition group's journal is kept before the oldest live batches go to the archive, in bytes.
    public var journalBytes: Int
    /// So much of the file system is left free: at it nothing is taken from producers.
    public var reserveBytes: Int
    /// Of each partition group.
    public var compaction: CompactionLimits

    public init(
        segmentBytes: Int, cacheSegments: Int, locksMemory: Bool, journalBytes: Int = 1 << 30, reserveBytes: Int = 0,
        compaction: CompactionLimits = CompactionLimits()
    ) {
        self.compaction = compaction
        self.segmentBytes = segmentBytes
        self.cacheSegments = cacheSegments
        self.locksMemory = locksMemory
        self.journalBytes = journalBytes
        self.reserveBytes = reserveBytes
    }

    /// How many segments the journal has before the oldest go to the archive: at least those that are being written, flushed
    /// and made ready.
    public var journalSegments: Int { max(journalBytes / segmentBytes, 4) }
}

/// A journal that is one of several replicas, while it is closed: what outlives its being opened.
public struct ReplicaJournal: Sendable {
    public let cache: JournalCache
    public let positions: JournalPositions
    /// What is to be cut off before it is opened: from where on, and what the journal's end was. Nil: nothing.
    public var cut: Range<UInt64>?
    /// What is known to be committed.
    public var committed: UInt64

    public init(cache: JournalCache, positions: JournalPositions, cut: Range<UInt64>?, committed: UInt64) {
        self.cache = cache
        self.positions = positions
        self.cut = cut
        self.committed = committed
    }
}

/// A replica's journal is damaged: it is to be mended from its peers before it is opened. Nothing was changed.
public struct DamagedReplica: Error {
    public let recovered: RecoveredJournal
}

/// Takes in what recovery finds.
public protocol JournalReplay: AnyObject {
    /// Begins with the state of a checkpoint. False: it can't be read, and recovery starts from the beginning.
    func restore(_ state: [UInt8]) -> Bool
    /// Takes in a frame. Returns what the index holds of it, if it is a batch.
    func apply(_ header: FrameHeader, payload: UnsafeRawPointer) -> IndexEntry?
    /// A range of the journal can't be read.
    func damaged(_ range: Range<UInt64>)
    /// There is no more.
    func finish()
    /// By partition number the next offsets.
    var offsets: [Int64] { get }
    /// By partition number the offset of the first record that is not deleted.
    var starts: [Int64] { get }
    /// The state for the next checkpoint.
    func encode() -> [UInt8]
}

/// Opens journals: makes their memory, recovers them, brings their index files up to date.
public struct JournalOpener {
    private let blocking: BlockingFiles
    private let options: JournalOptions
    private let logger: Logger

    public init(blocking: BlockingFiles, options: JournalOptions, logger: Logger) {
        self.blocking = blocking
        self.options = options
        self.logger = logger
    }

    /// - Parameter replica: of a journal that others have as well: damage is then an error (`DamagedReplica`), and what is found need not be
    ///   committed.
    public func open(
        _ identity: JournalIdentity, directory path: String, node: Int?, epochs: EpochHistory, replay: any JournalReplay,
        replica: ReplicaJournal? = nil
    ) throws -> OpenedJournal {
        try blocking.files.makeDirectory(path)
        let paths = JournalPaths(directory: path)
        try blocking.files.makeDirectory(paths.archive)
        let cache = try replica?.cache ?? makeCache(node: node)
        cache.evictAll()
        guard let slot = (0..<Int32(cache.slotCount)).first(where: { !cache.isPinned(slot: $0) }) else {
            throw JournalError("\(path): readers hold the whole journal cache")
        }
        let catalog = try ArchiveCatalog.read(paths: paths, group: identity.group, blocking: blocking, repairs: true)
            ?? ArchiveCatalog(generation: 0, firstSegment: 0, files: [:])
        let files = JournalFiles(blocking: blocking, paths: paths, segmentBytes: options.segmentBytes)
        var (free, segments) = try files.segments(first: catalog.firstSegment, removesUnfinished: true)
        if let cut = replica?.cut, let there = segments {
            try CheckpointFile.remove(beyond: cut.lowerBound, paths: paths, blocking: blocking)
            try files.erase(from: cut.lowerBound, end: cut.upperBound, segments: there)
            (free, segments) = try files.segments(first: catalog.firstSegment, removesUnfinished: false)
        }
        // First of all, for a full disk.
        try files.removeStrays(catalog)
        let checkpoint = try usableCheckpoint(paths, catalog, replay)
        let reader = SegmentReader(
            blocking: blocking, paths: paths, journal: identity, segmentBytes: options.segmentBytes, epochs: epochs,
            isReplica: replica != nil, memory: cache.base(slot: slot))
        if segments == nil {
            guard checkpoint == nil, catalog.generation == 0 else {
                throw JournalError("\(path): there is a checkpoint, but no segment. Restore the directory from a copy.")
            }
            try files.makeSegment(0)
        }
        let range = segments ?? 0...0
        var recovery = try Recovery(reader: reader, paths: paths, segments: range, checkpoint: checkpoint, isReplica: replica != nil)
        let from = checkpoint.map { $0.position / UInt64(options.segmentBytes) } ?? range.lowerBound
        var damaged: [Range<UInt64>] = []
        var summaries = try (range.lowerBound..<from).map { try files.summary($0, reader: reader, damaged: &damaged, logger: logger) }
        var builder = IndexBuilder(
            files: files, group: identity.group, first: from, replay: replay, known: checkpoint?.position ?? 0)
        var recovered = try recovery.run(&builder)
        // A frame may be found where a block could not be read to be erased, and now can. What still can't is unknown.
        let known = recovered.damaged.last.map { $0.upperBound == recovered.position ? $0.lowerBound : recovered.position } ?? recovered.position
        if let cut = replica?.cut, known >= cut.lowerBound + UInt64(Frame.headerBytes) {
            throw IOError(code: EIO, doing: "\(path): what was cut off from position \(cut.lowerBound) on is still there")
        }
        if replica != nil { recovered.damaged.insert(contentsOf: damaged, at: 0) }
        if replica != nil, !recovered.damaged.isEmpty { throw DamagedReplica(recovered: recovered) }
        replay.finish()
        try builder.roll(to: recovered.currentSegment)
        summaries += builder.summaries
        if recovered.currentSegment > range.upperBound {
            try files.makeSegment(recovered.currentSegment)
            try reader.load(recovered.currentSegment)
        }
        report(recovered, path)
        try files.sync(recovered)
        if let replica {
            // What is not committed may be cut off: no checkpoint of that.
            let known = try CheckpointFile.positions(paths: paths, blocking: blocking)
            // And all that a checkpoint knows is.
            replica.positions.reopen(
                start: range.lowerBound * UInt64(options.segmentBytes), end: recovered.position,
                committed: min(max(replica.committed, checkpoint?.position ?? 0), recovered.position),
                recoverable: known.reduce(.max) { min($0, $1 ?? 0) })
        } else {
            try CheckpointFile.write(
                Checkpoint(
                    position: recovered.position, previous: recovered.previous, epoch: recovered.highestEpoch,
                    state: replay.encode()), paths: paths, blocking: blocking)
        }
        cache.admit(recovered.currentSegment, slot: slot)
        let file = try blocking.files.open(paths.segment(recovered.currentSegment), .direct)
        let prepared = try (0..<recovered.preparedSegments).map {
            try blocking.files.open(paths.segment(recovered.currentSegment + 1 + UInt64($0)), .direct)
        }
        return OpenedJournal(
            identity: identity, cache: cache, positions: replica?.positions ?? JournalPositions(start: recovered.position), paths: paths,
            recovered: recovered, current: LoadedSegment(number: recovered.currentSegment, slot: slot, file: file),
            active: builder.index, summaries: summaries, catalog: catalog,
            directory: try blocking.files.open(path, .directory), prepared: prepared, free: free, nextOffsets: replay.offsets,
            logStarts: replay.starts)
    }

    /// Memory for a journal; nothing of it is touched.
    public func makeCache(node: Int?) throws -> JournalCache {
        guard let cache = JournalCache(segmentBytes: options.segmentBytes, slots: options.cacheSegments, node: node) else {
            throw JournalError(
                "no memory for a journal cache of \(options.cacheSegments) segments of \(options.segmentBytes) bytes: lower journal.cache.segments or journal.segment.bytes")
        }
        if options.locksMemory {
            let result = cache.lock()
            guard result == 0 else {
                let bytes = options.segmentBytes * options.cacheSegments
                throw JournalError(
                    "memory.lock is on, but \(bytes) bytes can't be locked (\(describe(errno: -result))): raise the limit (ulimit -l, LimitMEMLOCK=, --ulimit memlock=) or set memory.lock to false")
            }
        }
        return cache
    }

    private func usableCheckpoint(
        _ paths: JournalPaths, _ catalog: ArchiveCatalog, _ replay: any JournalReplay
    ) throws -> Checkpoint? {
        let (checkpoint, areAllLost) = try CheckpointFile.read(paths: paths, blocking: blocking)
        if let checkpoint, replay.restore(checkpoint.state) { return checkpoint }
        // What the segments that are no longer there have said stands nowhere else.
        guard catalog.firstSegment == 0 else {
            throw JournalError(
                "\(paths.checkpoints.joined(separator: " and ")) are missing, damaged or of another format, and the journal no longer begins at its beginning. Nothing was changed. Restore one of them from a copy.")
        }
        if checkpoint != nil || areAllLost {
            logger.notice("\(paths.directory): no checkpoint can be believed: the whole journal is read again")
        }
        return nil
    }

    private func report(_ found: RecoveredJournal, _ path: String) {
        for range in found.damaged {
            logger.error(
                "\(path): DAMAGED from position \(range.lowerBound) to \(range.upperBound) (segment \(range.lowerBound / UInt64(options.segmentBytes)), byte \(range.lowerBound % UInt64(options.segmentBytes))): what was there had been acknowledged. Readers of those offsets are refused, the rest is served")
        }
        if let end = found.cutOffEnd {
            logger.notice(
                "\(path): the journal ends at position \(found.position); the unfinished tail up to \(end) is cut off")
        }
        logger.info(
            "\(path): recovered \(found.frames) frames up to position \(found.position), flushed position known \(found.flushed)")
    }
}

/// Makes the indexes of the segments that recovery walks through.
struct IndexBuilder: JournalVisitor {
    private let files: JournalFiles
    private let group: UInt16
    private let replay: any JournalReplay
    private let known: UInt64
    private(set) var index: SegmentIndex
    private(set) var summaries: [SegmentSummary] = []

    /// - Parameters:
    ///   - first: the segment in which the walk begins.
    ///   - known: the replay knows what stands before this position.
    init(files: JournalFiles, group: UInt16, first: UInt64, replay: any JournalReplay, known: UInt64) {
        self.files = files
        self.group = group
        self.replay = replay
        self.known = known
        index = SegmentIndex(segment: first)
    }

    mutating func frame(_ header: FrameHeader, _ payload: UnsafeRawPointer) throws {
        try roll(to: files.segment(of: header.position))
        if header.position >= known {
            if let entry = replay.apply(header, payload: payload) { index.append(entry, partition: Int(header.partition)) }
        } else if header.kind == .batch {
            index.append(IndexEntry(header, batch: payload), partition: Int(header.partition))
        }
    }

    mutating func damaged(_ range: Range<UInt64>) {
        if range.upperBound > known { replay.damaged(range) }
    }

    /// Writes the index files of the segments that lie behind.
    mutating func roll(to segment: UInt64) throws {
        while index.segment < segment {
            try files.write(index, group: group)
            summaries.append(index.summary)
            index = SegmentIndex(segment: index.segment + 1)
        }
    }
}
