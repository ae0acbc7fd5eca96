// Unsafe on purpose: recovery shows frames where they lie in the journal's memory.

import Glibc
import Host
import IO
import Logging

/// One partition group's journal, recovered and ready to be written to.
public struct OpenedJournal {
    public let cache: JournalCache
    public let positions: JournalPositions
    public let paths: JournalPaths
    public let recovered: RecoveredJournal
    /// The segment that the writer goes on with.
    public let current: LoadedSegment
    /// The index of that segment.
    public let active: SegmentIndex
    /// The journal's directory, open.
    public let directory: Int32
    /// Files of the segments behind the current one that stand ready.
    public let prepared: [Int32]
}

/// What a journal is opened with.
public struct JournalOptions: Sendable {
    public var segmentBytes: Int
    public var cacheSegments: Int
    /// Lock the cache's memory.
    public var locksMemory: Bool

    public init(segmentBytes: Int, cacheSegments: Int, locksMemory: Bool) {
        self.segmentBytes = segmentBytes
        self.cacheSegments = cacheSegments
        self.locksMemory = locksMemory
    }
}

/// Takes each batch in that recovery finds, and says what the index holds of it.
public protocol JournalReplay: AnyObject {
    /// Begins with the state of a checkpoint. False: it can't be read, and recovery starts from the beginning.
    func restore(_ state: [UInt8]) -> Bool
    /// Takes in a batch. `isKnown`: the checkpoint's state holds it already.
    func apply(_ header: FrameHeader, batch: UnsafeRawPointer, isKnown: Bool) -> IndexEntry
    /// By partition number the next offsets.
    var offsets: [Int64] { get }
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

    public func open(group: UInt16, directory path: String, node: Int?, replay: any JournalReplay) throws -> OpenedJournal {
        try blocking.files.makeDirectory(path)
        let paths = JournalPaths(directory: path)
        let cache = try makeCache(node: node)
        let checkpoint = try usableCheckpoint(paths, cache, replay)
        let recovery = Recovery(blocking: blocking, cache: cache, paths: paths, group: group, logger: logger)
        let start = checkpoint?.position ?? 0
        var index: SegmentIndex?
        let recovered = try recovery.run(from: checkpoint) { header, payload in
            let segment = cache.segment(of: header.position)
            if index == nil { index = SegmentIndex(segment: segment, startOffsets: replay.offsets) }
            try roll(&index!, to: segment, paths)
            if header.kind == .batch {
                let entry = replay.apply(header, batch: payload, isKnown: header.position < start)
                index!.append(entry, partition: Int(header.partition))
            }
        }
        var active = index ?? SegmentIndex(segment: recovered.currentSegment, startOffsets: replay.offsets)
        try roll(&active, to: recovered.currentSegment, paths)
        try CheckpointFile.write(
            Checkpoint(
                position: recovered.position, previous: recovered.previous, epoch: recovered.highestEpoch,
                state: replay.encode()), paths: paths, blocking: blocking)
        cache.admit(recovered.currentSegment, slot: 0)
        let file = try blocking.files.open(paths.segment(recovered.currentSegment), .direct)
        let prepared = try (0..<recovered.preparedSegments).map {
            try blocking.files.open(paths.segment(recovered.currentSegment + 1 + UInt64($0)), .direct)
        }
        logger.info(
            "\(path): recovered \(recovered.frames) frames up to position \(recovered.position), flushed position known \(recovered.flushed)")
        return OpenedJournal(
            cache: cache, positions: JournalPositions(start: recovered.position), paths: paths, recovered: recovered,
            current: LoadedSegment(number: recovered.currentSegment, slot: 0, file: file), active: active,
            directory: try blocking.files.open(path, .directory), prepared: prepared)
    }

    private func makeCache(node: Int?) throws -> JournalCache {
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

    /// A checkpoint is a shortcut only where all older segments have their index files.
    private func usableCheckpoint(
        _ paths: JournalPaths, _ cache: JournalCache, _ replay: any JournalReplay
    ) throws -> Checkpoint? {
        guard let checkpoint = try CheckpointFile.read(paths: paths, blocking: blocking) else { return nil }
        let names = Set(try blocking.files.list(paths.directory))
        let segments = names.compactMap { JournalPaths.number(in: $0, suffix: ".segment") }
        for number in segments where number < cache.segment(of: checkpoint.position) {
            guard names.contains(String(paths.index(number).dropFirst(paths.directory.count + 1))) else {
                logger.notice("\(paths.index(number)) is missing: the whole journal is read again")
                return nil
            }
        }
        guard replay.restore(checkpoint.state) else {
            logger.notice("\(paths.checkpoint) is of another format: the whole journal is read again")
            return nil
        }
        return checkpoint
    }

    /// Writes the index files of the segments that lie behind.
    private func roll(_ index: inout SegmentIndex, to segment: UInt64, _ paths: JournalPaths) throws {
        while index.segment < segment {
            try blocking.replace(
                paths.index(index.segment), by: paths.unfinishedIndex, in: paths.directory,
                with: IndexFile.image(of: index))
            index = SegmentIndex(segment: index.segment + 1, startOffsets: index.nextOffsets)
        }
    }
}
