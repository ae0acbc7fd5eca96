// Unsafe on purpose: it walks frames in raw memory, within the segment that was read.

import Glibc
import IO
import Logging

/// Why a journal can't be opened, in a sentence that says what to do.
public struct JournalError: Error, CustomStringConvertible {
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
    public var description: String { reason }
}

/// The state of a journal at a position from which recovery may start instead of from its beginning.
public struct Checkpoint: Sendable {
    public var position: UInt64
    /// The checksum of the last frame before `position`.
    public var previous: UInt32
    public var epoch: UInt32
    /// What the write stage knew at that position, as it encoded it.
    public var state: [UInt8]

    public init(position: UInt64, previous: UInt32, epoch: UInt32, state: [UInt8]) {
        self.position = position
        self.previous = previous
        self.epoch = epoch
        self.state = state
    }
}

/// What recovery found.
public struct RecoveredJournal: Sendable {
    /// Where the journal ends, and the next frame goes.
    public var position: UInt64
    /// The checksum of the last frame.
    public var previous: UInt32
    /// The highest epoch that any frame bears, those that were cut off included.
    public var highestEpoch: UInt32
    /// The oldest segment there is.
    public var firstSegment: UInt64
    /// The segment that holds `position`; it is loaded in slot 0.
    public var currentSegment: UInt64
    /// Segments behind the current one that stand ready, zeroed or stale.
    public var preparedSegments: Int
    /// The greatest flushed position that a valid frame carries.
    public var flushed: UInt64
    /// The end of what looked like frames behind `position`, where something was cut off; else nil.
    public var cutOffEnd: UInt64?
    public var frames: Int
}

/// Finds out what a journal holds after a stop of any kind.
///
/// The walk goes from frame to frame. A frame counts if it is valid by itself, stands at its own position, belongs to the
/// chain (its predecessor's checksum) and its epoch does not go back. At the first that doesn't, the rest is searched for
/// valid frames: if one carries a flushed position beyond that point, durable data is damaged, and nothing is touched; else it
/// is a tail that was never promised to anyone, and the journal ends there.
public struct Recovery {
    private let blocking: BlockingFiles
    private let cache: JournalCache
    private let paths: JournalPaths
    private let group: UInt16
    private let logger: Logger
    private var segmentBytes: Int { cache.segmentBytes }

    public init(blocking: BlockingFiles, cache: JournalCache, paths: JournalPaths, group: UInt16, logger: Logger) {
        self.blocking = blocking
        self.cache = cache
        self.paths = paths
        self.group = group
        self.logger = logger
    }

    /// Where the walk is.
    private struct Walk {
        var position: UInt64
        var previous: UInt32?
        var epoch: UInt32
        var checkpoint: Checkpoint?
        var flushed: UInt64 = 0
        var frames = 0
    }

    /// Walks the journal from the beginning of the checkpoint's segment, or from its own, and shows each frame to `visit`;
    /// a new journal gets its first segment. The last segment is left in the cache's slot 0, not yet admitted.
    /// - Parameter visit: given the header, the payload, and the number of the frame's segment.
    public func run(
        from checkpoint: Checkpoint?, visit: (FrameHeader, UnsafeRawPointer) throws -> Void
    ) throws -> RecoveredJournal {
        let numbers = try segments()
        guard let first = numbers.first, let last = numbers.last else { return try fresh(checkpoint) }
        var number = checkpoint.map { cache.segment(of: $0.position) } ?? first
        guard numbers.contains(number) || number == last + 1 else {
            throw JournalError("\(paths.directory): the checkpoint is in segment \(number), but that is not there")
        }
        var walk = Walk(position: number * UInt64(segmentBytes), previous: nil, epoch: 0, checkpoint: checkpoint)
        walk.flushed = checkpoint?.position ?? 0
        if number > last { walk.previous = checkpoint?.previous }
        let memory = cache.base(slot: 0)
        while number <= last {
            try load(number, into: memory)
            let whole = try self.walk(&walk, segment: number, memory: memory, visit: visit)
            if !whole { break }
            number += 1
        }
        var found = RecoveredJournal(
            position: walk.position, previous: walk.previous ?? 0, highestEpoch: walk.epoch, firstSegment: first,
            currentSegment: cache.segment(of: walk.position), preparedSegments: 0, flushed: walk.flushed,
            cutOffEnd: nil, frames: walk.frames)
        if found.currentSegment > last {
            try makeSegment(found.currentSegment)
            try load(found.currentSegment, into: memory)
        } else {
            try judgeTail(&found, memory: memory, last: last)
            found.preparedSegments = Int(last - found.currentSegment)
        }
        try sync(found)
        return found
    }

    // MARK: Walking

    /// Walks to the segment's end; false where it stopped before.
    private func walk(
        _ walk: inout Walk, segment number: UInt64, memory: UnsafeMutableRawPointer,
        visit: (FrameHeader, UnsafeRawPointer) throws -> Void
    ) throws -> Bool {
        let end = (number + 1) * UInt64(segmentBytes)
        while walk.position < end {
            let left = Int(end - walk.position)
            guard left >= Frame.headerBytes else {
                walk.position = end
                break
            }
            let at = memory + cache.offset(of: walk.position)
            guard case .success(let header) = FrameHeader.read(at: at, available: left, position: walk.position),
                header.group == group, header.epoch >= walk.epoch,
                walk.previous == nil || header.previous == walk.previous!
            else { return false }
            if let checkpoint = walk.checkpoint, walk.position == checkpoint.position, walk.previous != nil,
                walk.previous != checkpoint.previous
            {
                throw JournalError(
                    "\(paths.directory): the journal at position \(walk.position) does not continue what the checkpoint says. Restore the directory from a copy.")
            }
            try visit(header, at + Frame.headerBytes)
            walk.previous = header.checksum
            walk.epoch = header.epoch
            walk.flushed = max(walk.flushed, header.flushed)
            walk.frames += 1
            walk.position = min(header.end, end)
        }
        return true
    }

    /// Searches all that lies behind the end for frames that are valid by themselves.
    private func judgeTail(_ found: inout RecoveredJournal, memory: UnsafeMutableRawPointer, last: UInt64) throws {
        var greatestFlushed = found.flushed
        search(
            memory, from: cache.offset(of: found.position), segment: found.currentSegment, found: &found,
            flushed: &greatestFlushed)
        if last > found.currentSegment {
            let other = AlignedBuffer(count: segmentBytes)
            for number in (found.currentSegment + 1)...last {
                try load(number, into: other.base)
                search(other.base, from: 0, segment: number, found: &found, flushed: &greatestFlushed)
            }
        }
        guard greatestFlushed <= found.position else {
            throw JournalError(
                "\(paths.directory): the journal is damaged at position \(found.position) (segment \(found.currentSegment), "
                    + "byte \(cache.offset(of: found.position))), below position \(greatestFlushed) which was known to be "
                    + "on stable storage. Nothing was changed. Restore this directory from a copy, or move it away to start empty.")
        }
        if let end = found.cutOffEnd {
            logger.notice(
                "\(paths.directory): the journal ends at position \(found.position); the unfinished tail up to \(end) is cut off")
        }
    }

    private func search(
        _ memory: UnsafeRawPointer, from: Int, segment number: UInt64, found: inout RecoveredJournal,
        flushed: inout UInt64
    ) {
        var offset = (from + 7) & ~7
        while offset + Frame.headerBytes <= segmentBytes {
            let position = number * UInt64(segmentBytes) + UInt64(offset)
            let read = FrameHeader.read(at: memory + offset, available: segmentBytes - offset, position: position)
            if case .success(let header) = read, header.group == group {
                flushed = max(flushed, header.flushed)
                found.highestEpoch = max(found.highestEpoch, header.epoch)
                found.cutOffEnd = header.end
                offset += Frame.stride(Int(header.length))
            } else {
                if case .failure(let flaw) = read, flaw != .noMagic, flaw != .otherPosition {
                    found.cutOffEnd = position + UInt64(Frame.headerBytes)
                }
                offset += 8
            }
        }
    }

    // MARK: Files

    /// What was found may have been written but never synced, and is about to count as durable.
    private func sync(_ found: RecoveredJournal) throws {
        let from = found.currentSegment > found.firstSegment ? found.currentSegment - 1 : found.currentSegment
        for number in from...found.currentSegment {
            let file = try blocking.files.open(paths.segment(number), .direct)
            defer { blocking.files.close(file) }
            try blocking.sync(file)
        }
    }

    /// The segments' numbers, without a gap, each of the right size.
    private func segments() throws -> [UInt64] {
        try? blocking.files.remove(paths.unfinishedSegment)
        try? blocking.files.remove(paths.unfinishedIndex)
        let names = try blocking.files.list(paths.directory)
        let numbers = names.compactMap { JournalPaths.number(in: $0, suffix: ".segment") }.sorted()
        for (expected, number) in zip((numbers.first ?? 0)..., numbers) where expected != number {
            throw JournalError(
                "\(paths.directory): segment \(expected) is missing, though later ones are there. Restore it, or the directory, from a copy.")
        }
        for number in numbers {
            let file = try blocking.files.open(paths.segment(number), .readDirect)
            defer { blocking.files.close(file) }
            let size = try blocking.files.size(file)
            if size != UInt64(segmentBytes) {
                throw JournalError(
                    "\(paths.segment(number)) has \(size) bytes, but journal.segment.bytes is \(segmentBytes). Set it to what the journal was made with.")
            }
        }
        return numbers
    }

    private func fresh(_ checkpoint: Checkpoint?) throws -> RecoveredJournal {
        guard checkpoint == nil else {
            throw JournalError("\(paths.directory): there is a checkpoint, but no segment. Restore the directory from a copy.")
        }
        try makeSegment(0)
        try load(0, into: cache.base(slot: 0))
        return RecoveredJournal(
            position: 0, previous: 0, highestEpoch: 0, firstSegment: 0, currentSegment: 0, preparedSegments: 0,
            flushed: 0, cutOffEnd: nil, frames: 0)
    }

    private func load(_ number: UInt64, into memory: UnsafeMutableRawPointer) throws {
        let file = try blocking.files.open(paths.segment(number), .readDirect)
        defer { blocking.files.close(file) }
        let count = try blocking.read(file, into: memory, count: segmentBytes, offset: 0)
        guard count == segmentBytes else {
            throw JournalError("\(paths.segment(number)): only \(count) of \(segmentBytes) bytes could be read")
        }
    }

    private func makeSegment(_ number: UInt64) throws {
        let zeros = AlignedBuffer(count: 1 << 20)
        let file = try blocking.files.open(paths.unfinishedSegment, .createDirect)
        defer { blocking.files.close(file) }
        try blocking.allocate(file, count: UInt64(segmentBytes))
        for offset in stride(from: 0, to: segmentBytes, by: zeros.count) {
            let count = min(zeros.count, segmentBytes - offset)
            try blocking.write(file, from: zeros.base, count: count, offset: UInt64(offset))
        }
        try blocking.sync(file)
        try blocking.files.rename(paths.unfinishedSegment, to: paths.segment(number))
        try blocking.syncDirectory(paths.directory)
    }
}
