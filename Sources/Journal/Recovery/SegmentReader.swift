// Unsafe on purpose: it reads whole segments into memory that it is given.

import Glibc
import IO

/// Reads a journal's segments, one at a time, and tells what stands at a position. For start-up and tools.
public final class SegmentReader {
    private let blocking: BlockingFiles
    private let paths: JournalPaths
    public let journal: JournalIdentity
    public let segmentBytes: Int
    private let epochs: EpochHistory
    let isReplica: Bool
    /// The segment in memory, from its first byte on.
    public let memory: UnsafeMutableRawPointer
    public private(set) var loaded: UInt64?
    /// Blocks of the loaded segment that the drive could not read, by their offset; they are zero in memory.
    public private(set) var unreadable: Set<Int> = []

    /// - Parameters:
    ///   - isReplica: what is of an epoch that is not among `epochs` was never acknowledged, and does not count
    ///     (docs/REPLICATION.md).
    ///   - memory: as much as a segment, aligned.
    public init(
        blocking: BlockingFiles, paths: JournalPaths, journal: JournalIdentity, segmentBytes: Int, epochs: EpochHistory,
        isReplica: Bool = false, memory: UnsafeMutableRawPointer
    ) {
        self.blocking = blocking
        self.paths = paths
        self.journal = journal
        self.segmentBytes = segmentBytes
        self.epochs = epochs
        self.isReplica = isReplica
        self.memory = memory
    }

    public func offset(of position: UInt64) -> Int { Int(position % UInt64(segmentBytes)) }
    public func start(of segment: UInt64) -> UInt64 { segment * UInt64(segmentBytes) }

    /// Brings the segment into memory, unless it is there. Blocks that can't be read are noted, not fatal.
    public func load(_ number: UInt64) throws {
        if loaded == number { return }
        loaded = nil
        unreadable = []
        let file = try blocking.files.open(paths.segment(number), .readDirect)
        defer { blocking.files.close(file) }
        var offset = 0
        while offset < segmentBytes {
            let count = min(1 << 20, segmentBytes - offset)
            if try !read(file, offset, count) {
                for block in stride(from: offset, to: offset + count, by: directAlignment) where try !read(file, block, directAlignment) {
                    (memory + block).initializeMemory(as: UInt8.self, repeating: 0, count: directAlignment)
                    unreadable.insert(block)
                }
            }
            offset += count
        }
        loaded = number
    }

    /// False where the drive reports an error, twice.
    private func read(_ file: Int32, _ offset: Int, _ count: Int) throws -> Bool {
        for _ in 0..<2 {
            let result = Result { () throws(IOError) in
                try blocking.read(file, into: memory + offset, count: count, offset: UInt64(offset))
            }
            switch result {
            case .success(count): return true
            case .success: throw JournalError("\(paths.directory): a segment has fewer than \(segmentBytes) bytes")
            case .failure(let error): if !isMediumError(error.code) { throw error }
            }
        }
        return false
    }

    /// What stands at the position, which must be of the loaded segment.
    /// - Parameters:
    ///   - previous: the checksum of the frame before it; nil: unknown.
    ///   - epoch: of the frame before it.
    public func look(_ position: UInt64, previous: UInt32?, epoch: UInt32) -> (Finding, FrameHeader?) {
        let at = offset(of: position)
        switch FrameHeader.read(at: memory + at, available: segmentBytes - at, position: position, of: journal) {
        case .success(let header):
            let least = epochs.least(at: position)
            let isRight = header.epoch >= max(epoch, least) && (!isReplica || header.epoch == least)
                && (header.kind != .batch || header.partition <= Frame.lastPartition)
            return isRight && (previous == nil || header.previous == previous) ? (.frame, header) : (.foreign, header)
        case .failure(let flaw):
            if isUnreadable(at) { return (.unreadable, nil) }
            switch flaw {
            case .noMagic: return (.nothing, nil)
            case .otherPlace: return (.otherPlace, nil)
            case .laterVersion: return (.laterVersion, nil)
            case .badLength, .badChecksum, .badBatch: return (.broken, nil)
            }
        }
    }

    /// Whether the frame that begins there reaches into a block that can't be read, as far as it tells its length.
    private func isUnreadable(_ at: Int) -> Bool {
        guard !unreadable.isEmpty else { return false }
        let length = (memory + at).loadUnaligned(fromByteOffset: 4, as: UInt32.self).littleEndian
        let end = at + min(max(Int(length), Frame.headerBytes), segmentBytes - at)
        return unreadable.contains { $0 < end && $0 + directAlignment > at }
    }

    /// What of the loaded segment, which is full, is no longer what was written: from where a frame should stand to the next sound one.
    public func damagedRanges() -> [Range<UInt64>] {
        guard let loaded else { return [] }
        let end = start(of: loaded + 1)
        var position = start(of: loaded)
        var found: [Range<UInt64>] = []
        while position + UInt64(Frame.headerBytes) <= end {
            if case (.frame, let header?) = look(position, previous: nil, epoch: 0) {
                position = header.end
            } else {
                let next = nextSound(from: position + 8, epoch: 0)?.position ?? end
                found.append(position..<next)
                position = next
            }
        }
        return found
    }

    /// Goes from frame to frame of the loaded segment as long as each is sound and continues the one before. Returns where that ends, at `end` at the
    /// latest, and the checksum of the last frame.
    /// - Parameter previous: the checksum of the frame before `start`; nil: unknown.
    func walk(from start: UInt64, to end: UInt64, previous: UInt32?) -> (position: UInt64, previous: UInt32?) {
        var (position, previous, epoch) = (start, previous, UInt32(0))
        while position < end, end - position >= UInt64(Frame.headerBytes),
            case (.frame, let header?) = look(position, previous: previous, epoch: epoch), header.end <= end
        {
            (position, previous, epoch) = (header.end, header.checksum, header.epoch)
        }
        // What is too short for a frame is skipped, at a segment's end.
        let isAtSegmentEnd = end % UInt64(segmentBytes) == 0 && end - position < UInt64(Frame.headerBytes)
        return (isAtSegmentEnd ? end : position, previous)
    }

    /// Whether what stands there, which is no frame, may have been one: then somebody may have been told so. Not where its header does not show, nor
    /// where it was not written to its end.
    func mayHaveBeenFrame(_ position: UInt64) -> Bool {
        let from = offset(of: position)
        return tellsItsPlace(from) && !isUnfinished(from)
    }

    /// Whether from some block of the drive's on there are still the zeros of a new segment. A few zeros prove nothing: batches may end so. Nor do zeros in
    /// place of what can't be read, nor those behind the header of padding, which always ends with the segment.
    private func isUnfinished(_ from: Int) -> Bool {
        let told = toldEnd(from)
        let isPadding = told == segmentBytes || (memory + from).loadUnaligned(fromByteOffset: 38, as: UInt8.self) == FrameKind.padding.rawValue
        let end = isPadding ? min(from + Frame.headerBytes, segmentBytes) : told
        guard !unreadable.contains(where: { $0 < end && $0 + directAlignment > from }) else { return false }
        // A header ends with its checksum.
        let least = isPadding ? MemoryLayout<UInt32>.size : SegmentReader.tellingZeros
        let last = (end - least) / SegmentReader.writtenAtOnce * SegmentReader.writtenAtOnce
        return last > from && isZero(last..<end)
    }

    private func isZero(_ range: Range<Int>) -> Bool {
        UnsafeRawBufferPointer(start: memory + range.lowerBound, count: range.count).allSatisfy { $0 == 0 }
    }

    private static let tellingZeros = 24
    /// What a drive writes as a whole whatever happens, in bytes.
    private static let writtenAtOnce = 512

    /// Where the frame ends that begins at that offset, by its header's length where that says that it belongs there.
    private func toldEnd(_ at: Int) -> Int {
        let length = tellsItsPlace(at) ? Int((memory + at).loadUnaligned(fromByteOffset: 4, as: UInt32.self).littleEndian) : 0
        return min(at + max(Frame.stride(length), Frame.headerBytes), segmentBytes)
    }

    /// Whether a header begins at that offset that says so.
    private func tellsItsPlace(_ at: Int) -> Bool {
        let magic = (memory + at).loadUnaligned(as: UInt32.self).littleEndian
        let position = (memory + at).loadUnaligned(fromByteOffset: 8, as: UInt64.self).littleEndian
        return magic == Frame.magic && position == start(of: loaded ?? 0) + UInt64(at)
    }

    /// Where what is broken there ends, as far as it tells: the frame, and every block behind it that can't be read.
    func brokenEnd(from position: UInt64) -> UInt64 {
        let at = offset(of: position)
        var end = toldEnd(at)
        for block in stride(from: at / directAlignment * directAlignment, to: segmentBytes, by: directAlignment) {
            if unreadable.contains(block) { end = max(end, block + directAlignment) } else if block >= end { break }
        }
        return start(of: position / UInt64(segmentBytes)) + UInt64(end)
    }

    /// The first position from `from` on, before the loaded segment's end, where a frame stands that is sound and of an epoch that
    /// it can be of.
    public func nextSound(from: UInt64, epoch: UInt32) -> FrameHeader? {
        let end = start(of: loaded! + 1)
        var position = (from + 7) & ~7
        while position + UInt64(Frame.headerBytes) <= end {
            if case (.frame, let header?) = look(position, previous: nil, epoch: epoch) { return header }
            position += 8
        }
        return nil
    }
}
