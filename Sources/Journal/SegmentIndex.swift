// Unsafe on purpose: it reads a batch's header where it lies.

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

    /// Set in `position` of an entry whose batch is in an archive.
    public static let archived: UInt64 = 1 << 63
    public var isArchived: Bool { position & IndexEntry.archived != 0 }
    /// Where an archived batch's frame begins in its file.
    public var archiveOffset: UInt64 { position & ~IndexEntry.archived }
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
public struct SegmentIndex: Sendable {
    /// The segment's number.
    public let segment: UInt64
    private var entries: [ContiguousArray<IndexEntry>] = []
    private var maxTimestamps: [Int64] = []
    private var bytes: [UInt64] = []
    public private(set) var count = 0

    public init(segment: UInt64) { self.segment = segment }

    public mutating func append(_ entry: IndexEntry, partition: Int) {
        while entries.count <= partition {
            entries.append([])
            maxTimestamps.append(.min)
            bytes.append(0)
        }
        entries[partition].append(entry)
        maxTimestamps[partition] = max(maxTimestamps[partition], entry.maxTimestamp)
        bytes[partition] += UInt64(entry.stride + MemoryLayout<IndexEntry>.size)
        count += 1
    }

    /// Up to `limit` entries of the partition from the one that holds `offset` on, or the next behind it; empty where there is
    /// none.
    public func run(partition: Int, offset: Int64, limit: Int) -> ArraySlice<IndexEntry> {
        guard partition < entries.count else { return [] }
        let mine = entries[partition]
        let first = mine.firstIndex(bisecting: { $0.nextOffset > offset })
        return ArraySlice(mine[first..<min(first + limit, mine.count)])
    }

    /// Nil where the partition has nothing here.
    public func row(partition: Int, firstEntry: Int = 0) -> IndexRow? {
        guard partition < entries.count, let first = entries[partition].first, let last = entries[partition].last
        else { return nil }
        return IndexRow(
            partition: UInt32(partition), count: UInt32(entries[partition].count), firstEntry: UInt32(firstEntry),
            startOffset: first.baseOffset, endOffset: last.nextOffset, maxTimestamp: maxTimestamps[partition],
            bytes: bytes[partition])
    }

    /// All rows, ascending by partition number.
    public var summary: SegmentSummary {
        var rows = ContiguousArray<IndexRow>()
        var number = 0
        for partition in entries.indices {
            guard let row = row(partition: partition, firstEntry: number) else { continue }
            rows.append(row)
            number += Int(row.count)
        }
        return SegmentSummary(segment: segment, rows: rows)
    }

    /// All entries of the partition, in order.
    public func all(partition: Int) -> ContiguousArray<IndexEntry> {
        partition < entries.count ? entries[partition] : []
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
