// Unsafe on purpose: what has come is written from raw memory, within its checked length.

import Glibc
import IO
import Logging

/// Takes a snapshot in: into a directory of its own, file by file, each segment checked when it is whole. Nothing of it counts before it is complete and
/// has been put in the place of the replica's journal.
public final class SnapshotTarget {
    /// What comes next.
    public enum Step: Equatable, Sendable {
        case wants(SnapshotStretch)
        /// All is there, on stable storage: the journal would end there.
        case complete(end: UInt64)
        /// From that position on what came is not the journal's: it is to be asked for again.
        case spoilt(UInt64)
    }

    private let blocking: BlockingFiles
    private let paths: JournalPaths
    private let journal: JournalIdentity
    private let epochs: EpochHistory
    private let segmentBytes: Int
    private let reserveBytes: Int
    private let logger: Logger
    private var headBytes: [UInt8] = []
    private var head: SnapshotHead?
    /// The head's files; and which of them is being taken in, up to where.
    private var files: [(file: SnapshotFile, bytes: UInt64)] = []
    private var next = 0
    private var offset: UInt64 = 0
    private var open: Int32 = -1
    /// The files that were made, for this head or another, and how much there is of each that was left.
    private var made: Set<SnapshotFile> = []
    private var taken: [SnapshotFile: UInt64] = [:]
    /// The journal's last frame, as far as it has been checked.
    private var previous: (position: UInt64, checksum: UInt32)?

    /// - Parameters:
    ///   - directory: made anew.
    ///   - epochs: of the leader's log.
    ///   - reserveBytes: so much of the file system is left free.
    public init(
        blocking: BlockingFiles, directory: String, journal: JournalIdentity, epochs: EpochHistory, segmentBytes: Int, reserveBytes: Int, logger: Logger
    ) throws(IOError) {
        self.blocking = blocking
        paths = JournalPaths(directory: directory)
        self.journal = journal
        self.epochs = epochs
        self.segmentBytes = segmentBytes
        self.reserveBytes = reserveBytes
        self.logger = logger
        if (try? blocking.files.list(directory)) != nil { try blocking.removeTree(directory) }
        try blocking.files.makeDirectory(directory)
        try blocking.files.makeDirectory(paths.archive)
    }

    deinit { close() }

    private func close() {
        if open >= 0 { blocking.files.close(open) }
        open = -1
    }

    /// What is to be asked for first; and again, where what was asked for is not there any more.
    public func restart() -> Step {
        close()
        if next < files.count, offset < files[next].bytes { taken[files[next].file] = offset }
        (head, headBytes, files, next) = (nil, [], [], 0)
        return wantsHead
    }

    private var wantsHead: Step {
        .wants(SnapshotStretch(file: .head, offset: UInt64(headBytes.count), count: SnapshotStretch.mostBytes))
    }

    /// Takes in what was asked for.
    /// - Parameter size: of the whole file.
    /// - Throws: `JournalError` where it can't be used; `IOError` where it can't be kept: the same may be tried again.
    public func take(_ stretch: SnapshotStretch, _ bytes: [UInt8], size: UInt64) throws -> Step {
        guard stretch.file != .head else { return try takeHead(bytes, size: size) }
        guard next < files.count, files[next].file == stretch.file, offset == stretch.offset else { return try goOn() }
        let wanted = min(UInt64(stretch.count), files[next].bytes - offset)
        guard UInt64(bytes.count) >= wanted else { return restart() }
        try write(bytes.prefix(Int(wanted)))
        offset += wanted
        return try goOn()
    }

    private func takeHead(_ bytes: [UInt8], size: UInt64) throws -> Step {
        guard head == nil else { return try goOn() }
        guard size <= UInt64(SnapshotHead.mostBytes) else { throw JournalError("\(paths.directory): no snapshot's head has \(size) bytes") }
        headBytes += bytes
        guard UInt64(headBytes.count) >= size else { return wantsHead }
        guard let found = SnapshotHead(headBytes, group: journal.group, segmentBytes: segmentBytes) else {
            throw JournalError("\(paths.directory): another broker's snapshot can't be used: journal.segment.bytes must be the same for all brokers (here it is \(segmentBytes))")
        }
        headBytes = []
        head = found
        files = found.files
        next = 0
        forgetOthers()
        let lacking = files.reduce(UInt64(0)) { $0 + $1.bytes - min($1.bytes, taken[$1.file] ?? 0) }
        if let space = blocking.files.space(paths.directory), space.free < lacking + UInt64(reserveBytes) {
            head = nil
            throw IOError(code: ENOSPC, doing: "taking in a snapshot of \(lacking) bytes in \(paths.directory)")
        }
        logger.notice("\(paths.directory): a snapshot of the journal up to position \(found.end), \(lacking) bytes, is taken in")
        try begin()
        return try goOn()
    }

    /// What is not of this head, as it has been freed meanwhile, is not kept.
    private func forgetOthers() {
        for file in made.subtracting(files.map(\.file)) {
            try? blocking.files.remove(file.path(paths)!)
            taken[file] = nil
            made.remove(file)
        }
    }

    /// Goes on with the next file. What an earlier head gave of it is there: files only grow. But the last block of an archive's index may be another.
    private func begin() throws {
        close()
        guard next < files.count else { return }
        let (file, bytes) = files[next]
        offset = min(taken[file] ?? 0, bytes)
        if case .archiveIndex = file, offset < bytes { offset = 0 }
        offset = alignedDown(offset)
        let path = file.path(paths)!
        if offset == 0 {
            taken[file] = nil
            try? blocking.files.remove(path)
            open = try blocking.files.open(path, .createDirect)
            made.insert(file)
            if case .segment = file { try allocate() }
        } else {
            open = try blocking.files.open(path, .direct)
        }
    }

    /// A segment is whole from the beginning, and zeros where the journal has not come yet.
    private func allocate() throws(IOError) {
        try blocking.allocate(open, count: UInt64(segmentBytes))
        let zeros = AlignedBuffer(count: SnapshotStretch.mostBytes)
        let from = Int(alignedDown(files[next].bytes))
        for offset in stride(from: from, to: segmentBytes, by: zeros.count) {
            try blocking.write(open, from: zeros.base, count: min(zeros.count, segmentBytes - offset), offset: UInt64(offset))
        }
    }

    private func write(_ bytes: ArraySlice<UInt8>) throws(IOError) {
        let image = AlignedBuffer(count: Int(alignedUp(UInt64(bytes.count))))
        bytes.withUnsafeBytes { if let base = $0.baseAddress { image.base.copyMemory(from: base, byteCount: $0.count) } }
        try blocking.write(open, from: image.base, count: image.count, offset: offset)
    }

    private func goOn() throws -> Step {
        while next < files.count {
            let (file, bytes) = files[next]
            guard offset >= bytes else {
                let count = min(SnapshotStretch.mostBytes, Int(alignedUp(bytes - offset)))
                return .wants(SnapshotStretch(file: file, offset: offset, count: count))
            }
            if taken[file] != bytes {
                taken[file] = nil
                try blocking.sync(open)
                if case .segment(let number) = file, let spoilt = try check(number) {
                    try begin()
                    return .spoilt(spoilt)
                }
                taken[file] = bytes
            }
            next += 1
            try begin()
        }
        return try complete()
    }

    /// Whether the segment holds the journal's frames up to the snapshot's end, one behind the other. Returns where it does not.
    private func check(_ number: UInt64) throws -> UInt64? {
        let memory = AlignedBuffer(uninitialized: segmentBytes)
        let reader = SegmentReader(
            blocking: blocking, paths: paths, journal: journal, segmentBytes: segmentBytes, epochs: epochs, isReplica: true, memory: memory.base)
        try reader.load(number)
        let start = reader.start(of: number)
        let end = min(head!.end, start + UInt64(segmentBytes))
        let (position, checksum) = reader.walk(from: start, to: end, previous: previous?.position == start ? previous?.checksum : nil)
        guard position >= end else { return position }
        previous = (end, checksum ?? 0)
        return nil
    }

    private func complete() throws -> Step {
        guard let head else { return wantsHead }
        try CheckpointFile.write(head.checkpoint, paths: paths, blocking: blocking)
        for path in paths.catalogs {
            try blocking.replace(path, by: paths.unfinishedCatalog, in: paths.directory, with: head.catalog.image(group: journal.group))
        }
        try blocking.syncDirectory(paths.archive)
        try blocking.syncDirectory(paths.directory)
        return .complete(end: head.end)
    }
}
