// Unsafe on purpose: it reads a batch's header where it lies, and it owns the memory of the entries that it gathers.

import Host
import IO
import Wire

/// Where one record batch is, and what a reader wants to know of it before reading it.
public struct IndexEntry: BitwiseCopyable, Sendable, Equatable {
    /// The offset of its first record.
    public var baseOffset: Int64
    /// The position of its frame in the journal; or, of an archived batch, where its frame begins in the archive's file, with
    /// `archived` set.
    public var position: UInt64
    /// The greatest timestamp in it, in milliseconds since 1970.
    public var maxTimestamp: Int64
    /// The batch's length in bytes, without the frame.
    public var bytes: UInt32
    /// Its last record's offset, less the first's.
    public var lastOffsetDelta: UInt32

    public init(baseOffset: Int64, position: UInt64, maxTimestamp: Int64, bytes: UInt32, lastOffsetDelta: UInt32) {
        self.baseOffset = baseOffset
        self.position = position
        self.maxTimestamp = maxTimestamp
        self.bytes = bytes
        self.lastOffsetDelta = lastOffsetDelta
    }

    /// Of the batch in a frame.
    /// - Parameter batch: at least a batch header of memory.
    public init(_ header: FrameHeader, batch: UnsafeRawPointer) {
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type) -> T {
            T(bigEndian: batch.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        self.init(
            baseOffset: get(RecordBatch.Field.baseOffset, Int64.self), position: header.position,
            maxTimestamp: get(RecordBatch.Field.maxTimestamp, Int64.self), bytes: UInt32(header.payloadBytes),
            lastOffsetDelta: get(RecordBatch.Field.lastOffsetDelta, UInt32.self))
    }

    /// The offset behind its last record.
    public var nextOffset: Int64 { baseOffset &+ Int64(lastOffsetDelta) &+ 1 }
    /// How long its frame is, with what fills it up.
    public var stride: Int { Frame.stride(Frame.headerBytes + Int(bytes)) }
    /// The position behind its frame.
    public var end: UInt64 { position + UInt64(stride) }

    /// Set in `position` of an entry whose batch is in an archive: there stand then the lowest bits of the file's edition, since a file
    /// may be replaced while the entry is used, and where in it the frame begins.
    private static let archived: UInt64 = 1 << 63
    private static let editionAt: UInt64 = 40
    private static let editions: UInt64 = 1 << (63 - editionAt)

    public var isArchived: Bool { position & IndexEntry.archived != 0 }
    /// Where an archived batch's frame begins in its file.
    public var archiveOffset: UInt64 { position & ((1 << IndexEntry.editionAt) - 1) }

    /// Says that the batch is in that edition of an archive's file.
    public mutating func markArchived(_ edition: UInt32) {
        position |= IndexEntry.archived | (UInt64(edition) % IndexEntry.editions) << IndexEntry.editionAt
    }

    public func isArchived(in file: ArchiveKey) -> Bool {
        isArchived && position >> IndexEntry.editionAt % IndexEntry.editions == UInt64(file.edition) % IndexEntry.editions
    }
}

/// A partition's share of one segment.
public struct IndexRow: BitwiseCopyable, Sendable, Equatable {
    public var partition: UInt32
    /// Its entries are those from `firstEntry` on, `count` of them.
    public var count: UInt32
    public var firstEntry: UInt32
    var reserved: UInt32 = 0
    /// The offset of its first record here.
    public var startOffset: Int64
    /// The offset behind its last record here.
    public var endOffset: Int64
    /// The greatest timestamp among them.
    public var maxTimestamp: Int64
    /// What its batches' frames and index entries take on disk, in bytes.
    public var bytes: UInt64

    public init(
        partition: UInt32, count: UInt32, firstEntry: UInt32, startOffset: Int64, endOffset: Int64, maxTimestamp: Int64,
        bytes: UInt64
    ) {
        self.partition = partition
        self.count = count
        self.firstEntry = firstEntry
        self.startOffset = startOffset
        self.endOffset = endOffset
        self.maxTimestamp = maxTimestamp
        self.bytes = bytes
    }
}

/// What each partition has in one full segment: the rows of its index file, which are kept in memory.
public struct SegmentSummary: Sendable {
    /// The segment's number.
    public let segment: UInt64
    /// By partition number, ascending.
    public let rows: ContiguousArray<IndexRow>

    public init(segment: UInt64, rows: ContiguousArray<IndexRow>) {
        self.segment = segment
        self.rows = rows
    }

    /// Nil where the partition has nothing here.
    public func row(partition: UInt32) -> IndexRow? {
        let index = rows.firstIndex(bisecting: { $0.partition >= partition })
        return index < rows.count && rows[index].partition == partition ? rows[index] : nil
    }
}

/// The index of one segment while it grows in memory: for each partition its batches, in order. Bounded, because a
/// segment is. When the segment is full, it goes to a file (`IndexFile`).
///
/// It is of one thread at a time. Entries never move once they are there, and a partition's take memory in pieces that grow with
/// their number: what is freed with one segment's index fits the next one's.
public final class SegmentIndex: @unchecked Sendable {
    /// A partition's entries. The pieces have 16, 32, ... 512 entries, and then 512 each.
    private struct List {
        static let firstBits = 4
        static let lastBits = 9
        var next: UnsafeMutablePointer<IndexEntry>?
        var end: UnsafeMutablePointer<IndexEntry>?
        var count = 0
        var maxTimestamp = Int64.min
        var bytes: UInt64 = 0
        var pieces: [UnsafeMutablePointer<IndexEntry>] = []

        @inline(never)
        mutating func addPiece() {
            let capacity = 1 << min(List.firstBits + pieces.count, List.lastBits)
            let piece = UnsafeMutablePointer<IndexEntry>.allocate(capacity: capacity)
            pieces.append(piece)
            next = piece
            end = piece + capacity
        }

        @inline(__always)
        mutating func append(_ entry: IndexEntry) {
            if next == end { addPiece() }
            next!.initialize(to: entry)
            next! += 1
            count += 1
            maxTimestamp = max(maxTimestamp, entry.maxTimestamp)
            bytes += UInt64(entry.stride + MemoryLayout<IndexEntry>.size)
        }

        /// Where an entry is, and how many more lie behind it.
        func place(_ number: Int) -> (at: UnsafeMutablePointer<IndexEntry>, count: Int) {
            precondition(number >= 0 && number < count, "there is no such entry")
            // With 16 more, the pieces that double begin at powers of two.
            let place = number + 1 << List.firstBits
            let bits = min(Int.bitWidth - 1 - place.leadingZeroBitCount, List.lastBits)
            let beyond = place - 1 << bits
            let piece = bits - List.firstBits + beyond >> List.lastBits
            let within = bits < List.lastBits ? beyond : beyond & (1 << List.lastBits - 1)
            return (pieces[piece] + within, min(1 << bits - within, count - number))
        }

        subscript(number: Int) -> IndexEntry { place(number).at.pointee }
    }

    private struct State: ~Copyable {
        var lists = OwnedArray<List>()
        var count = 0
    }

    /// The segment's number.
    public let segment: UInt64
    /// Apart, because access to a class's own variables is checked at run time.
    private let state = UnsafeMutablePointer<State>.allocate(capacity: 1)

    public init(segment: UInt64) {
        self.segment = segment
        state.initialize(to: State())
    }

    deinit {
        for partition in 0..<state.pointee.lists.count {
            for piece in state.pointee.lists[partition].pieces { piece.deallocate() }
        }
        state.deinitialize(count: 1)
        state.deallocate()
    }

    /// How many entries it has, of all partitions.
    public var count: Int { state.pointee.count }

    public func append(_ entry: IndexEntry, partition: Int) {
        while state.pointee.lists.count <= partition { state.pointee.lists.append(List()) }
        state.pointee.lists.pointer(partition).pointee.append(entry)
        state.pointee.count += 1
    }

    private func count(_ partition: Int) -> Int {
        partition < state.pointee.lists.count ? state.pointee.lists[partition].count : 0
    }

    /// Up to `limit` entries of the partition from the one that holds `offset` on, or the next behind it; empty where there is
    /// none.
    public func run(partition: Int, offset: Int64, limit: Int) -> ArraySlice<IndexEntry> {
        let first = (0..<count(partition)).firstIndex(bisecting: { state.pointee.lists[partition][$0].nextOffset > offset })
        return entries(partition, first..<min(first + limit, count(partition)))
    }

    /// Nil where the partition has nothing here.
    public func row(partition: Int, firstEntry: Int = 0) -> IndexRow? {
        let count = count(partition)
        guard count > 0 else { return nil }
        return IndexRow(
            partition: UInt32(partition), count: UInt32(count), firstEntry: UInt32(firstEntry),
            startOffset: state.pointee.lists[partition][0].baseOffset,
            endOffset: state.pointee.lists[partition][count - 1].nextOffset,
            maxTimestamp: state.pointee.lists[partition].maxTimestamp, bytes: state.pointee.lists[partition].bytes)
    }

    /// All rows, ascending by partition number.
    public var summary: SegmentSummary {
        var rows = ContiguousArray<IndexRow>()
        var number = 0
        for partition in 0..<state.pointee.lists.count {
            guard let row = row(partition: partition, firstEntry: number) else { continue }
            rows.append(row)
            number += Int(row.count)
        }
        return SegmentSummary(segment: segment, rows: rows)
    }

    private func entries(_ partition: Int, _ range: Range<Int>) -> ArraySlice<IndexEntry> {
        guard !range.isEmpty else { return [] }
        return ArraySlice(range.lazy.map { self.state.pointee.lists[partition][$0] })
    }

    /// Copies entries of the partition to memory that has room for them.
    func copy(partition: Int, _ range: Range<Int>, to base: UnsafeMutableRawPointer) {
        var number = range.lowerBound
        while number < range.upperBound {
            let (at, together) = state.pointee.lists[partition].place(number)
            let count = min(together, range.upperBound - number)
            (base + (number - range.lowerBound) * MemoryLayout<IndexEntry>.size)
                .copyMemory(from: at, byteCount: count * MemoryLayout<IndexEntry>.size)
            number += count
        }
    }
}

extension RandomAccessCollection where Index == Int {
    /// The first index whose element fulfils the condition, by bisection; `endIndex` where none does. The condition must
    /// hold for all elements from some point on.
    public func firstIndex(bisecting condition: (Element) -> Bool) -> Int {
        var low = startIndex
        var high = endIndex
        while low < high {
            let middle = low + (high - low) / 2
            if condition(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
