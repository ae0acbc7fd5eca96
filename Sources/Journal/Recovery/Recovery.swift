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

/// A checkpoint on its way from the write stage to the archive stage.
public final class CheckpointBox: Sendable {
    public let checkpoint: Checkpoint
    public init(_ checkpoint: Checkpoint) { self.checkpoint = checkpoint }
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
    /// The segment that holds `position`; it is in the reader's memory.
    public var currentSegment: UInt64
    /// Segments behind the current one that stand ready, zeroed or stale.
    public var preparedSegments: Int
    /// The greatest position that is known to have been on stable storage.
    public var flushed: UInt64
    /// The end of what looked like frames behind `position`, where something was cut off; else nil.
    public var cutOffEnd: UInt64?
    /// Ranges below the flushed position that can't be read.
    public var damaged: [Range<UInt64>] = []
    /// Of a replica: the journal's end can't be read. It may have gone on.
    public var isEndUnknown = false
    public var frames: Int
    /// The greatest wall time of a frame that was read, in milliseconds since 1970.
    public var time: Int64 = 0
    /// What was found at the end.
    public var ending = Finding.nothing
}

/// What recovery shows of a journal, in order.
public protocol JournalVisitor {
    mutating func frame(_ header: FrameHeader, _ payload: UnsafeRawPointer) throws
    mutating func damaged(_ range: Range<UInt64>) throws
}

/// Finds out what a journal holds after a stop of any kind; it changes nothing.
///
/// The walk goes from frame to frame. At the first place that does not continue the journal, everything behind is searched for
/// sound frames: the greatest flushed position that one of them carries, or that a checkpoint knows, divides what was
/// acknowledged from what was never promised. `RecoveryRule` says what follows. Behind damage the walk goes on at the next sound
/// frame. docs/JOURNAL.md has the table.
public struct Recovery {
    private let reader: SegmentReader
    private let paths: JournalPaths
    private let segments: ClosedRange<UInt64>
    private let checkpoint: Checkpoint?
    private let isReplica: Bool
    private var position: UInt64
    private var previous: UInt32?
    private var epoch: UInt32 = 0
    private var flushed: UInt64
    /// The greatest flushed position of the whole journal, once all has been searched.
    private var greatest: UInt64?
    private var found: RecoveredJournal

    /// - Parameters:
    ///   - segments: all that there are.
    ///   - checkpoint: where its segment begins the walk begins; nil: at the first.
    ///   - isReplica: others have the journal as well. What looks like a torn end is damage then: it may have been acknowledged, and they
    ///     know.
    public init(
        reader: SegmentReader, paths: JournalPaths, segments: ClosedRange<UInt64>, checkpoint: Checkpoint?, isReplica: Bool = false
    ) throws {
        self.reader = reader
        self.isReplica = isReplica
        self.paths = paths
        self.segments = segments
        self.checkpoint = checkpoint
        let first = checkpoint.map { $0.position / UInt64(reader.segmentBytes) } ?? segments.lowerBound
        guard first >= segments.lowerBound, first <= segments.upperBound + 1 else {
            throw JournalError(
                "\(paths.directory): the checkpoint is in segment \(first), but that is not there. Restore the directory from a copy.")
        }
        position = reader.start(of: first)
        flushed = checkpoint?.position ?? 0
        if let checkpoint, checkpoint.position == position { previous = checkpoint.previous }
        if position == 0 { previous = 0 }
        found = RecoveredJournal(
            position: 0, previous: 0, highestEpoch: checkpoint?.epoch ?? 0, firstSegment: segments.lowerBound,
            currentSegment: 0, preparedSegments: 0, flushed: 0, cutOffEnd: nil, frames: 0)
    }

    public mutating func run(_ visitor: inout some JournalVisitor) throws -> RecoveredJournal {
        while number <= segments.upperBound {
            try reader.load(number)
            if try !walk(&visitor) { break }
        }
        found.position = position
        if let end = found.cutOffEnd, end <= position { found.cutOffEnd = nil }
        found.previous = previous ?? 0
        found.flushed = max(flushed, min(greatest ?? 0, position))
        found.currentSegment = number
        found.highestEpoch = max(found.highestEpoch, epoch)
        found.preparedSegments = Int(max(segments.upperBound, number) - number)
        if number <= segments.upperBound { try reader.load(number) }
        return found
    }

    private var number: UInt64 { position / UInt64(reader.segmentBytes) }

    // MARK: Walking

    /// Walks on in the loaded segment. True: to its end, or to a place in another.
    private mutating func walk(_ visitor: inout some JournalVisitor) throws -> Bool {
        let end = reader.start(of: number + 1)
        while position < end {
            guard end - position >= UInt64(Frame.headerBytes) else {
                position = end
                break
            }
            try checkContinuity()
            let (finding, header) = reader.look(position, previous: previous, epoch: epoch)
            if finding == .frame, let header {
                try visitor.frame(header, reader.memory + reader.offset(of: position) + Frame.headerBytes)
                take(header)
                continue
            }
            let limit = try acknowledgedEnd(finding)
            switch RecoveryRule.verdict(finding, isDurable: position < limit) {
            case .take: preconditionFailure("only a frame is taken")
            case .damaged:
                try skipDamage(&visitor, limit: limit)
                return !found.isEndUnknown
            case .end, .cutOff:
                found.ending = finding
                return false
            case .refuse:
                throw JournalError(
                    "\(paths.directory): at position \(position) is a frame of a kind that only a later version knows. Nothing was changed. Start the version that wrote it.")
            }
        }
        return true
    }

    private mutating func take(_ header: FrameHeader) {
        previous = header.checksum
        epoch = header.epoch
        flushed = max(flushed, header.flushed)
        found.frames += 1
        found.time = max(found.time, header.time)
        position = min(header.end, reader.start(of: number + 1))
    }

    /// The checkpoint and the journal must tell the same story.
    private mutating func checkContinuity() throws {
        guard let checkpoint, position == checkpoint.position, let known = previous else { return }
        guard known == checkpoint.previous else {
            throw JournalError(
                "\(paths.directory): the journal at position \(position) does not continue what the checkpoint says. Restore the directory from a copy.")
        }
    }

    // MARK: Damage

    /// The end of what may have been acknowledged: what was flushed; of a replica, all that was written.
    private mutating func acknowledgedEnd(_ finding: Finding) throws -> UInt64 {
        let flushed = try greatestFlushed()
        guard isReplica else { return flushed }
        let written = max(flushed, found.cutOffEnd ?? 0)
        guard position >= written, finding == .unreadable || finding != .foreign && reader.mayHaveBeenFrame(position) else { return written }
        found.isEndUnknown = true
        return reader.brokenEnd(from: position)
    }

    /// Goes to the next sound frame, or to the end of what was acknowledged.
    private mutating func skipDamage(_ visitor: inout some JournalVisitor, limit: UInt64) throws {
        let from = position
        var next: UInt64?
        for segment in number...segments.upperBound where next == nil {
            try reader.load(segment)
            next = reader.nextSound(from: max(from + 8, reader.start(of: segment)), epoch: epoch)?.position
        }
        // A frame behind the limit follows on what was never promised: it is cut off with that.
        if let found = next, found <= limit { position = found } else { position = limit }
        previous = position == checkpoint?.position ? checkpoint?.previous : nil
        if let checkpoint, position >= checkpoint.position { epoch = max(epoch, checkpoint.epoch) }
        found.damaged.append(from..<position)
        try visitor.damaged(from..<position)
        if number <= segments.upperBound { try reader.load(number) }
    }

    /// What the frames behind the place where the walk has stopped know of what was flushed.
    private mutating func greatestFlushed() throws -> UInt64 {
        if let greatest { return greatest }
        let here = number
        var most = flushed
        for segment in here...segments.upperBound {
            try reader.load(segment)
            var from = max(position, reader.start(of: segment))
            while let header = reader.nextSound(from: from, epoch: 0) {
                most = max(most, header.flushed)
                found.highestEpoch = max(found.highestEpoch, header.epoch)
                found.cutOffEnd = header.end
                from = header.end
            }
        }
        try reader.load(here)
        greatest = most
        return most
    }
}
