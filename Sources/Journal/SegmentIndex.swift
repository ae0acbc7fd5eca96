import IO

/// Where one record batch is, and what a reader wants to know of it before reading it.
public struct IndexEntry: BitwiseCopyable, Sendable, Equatable {
    /// The offset of its first record.
    public var baseOffset: Int64
    /// The position of its frame.
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

    /// The offset behind its last record.
    public var nextOffset: Int64 { baseOffset + Int64(lastOffsetDelta) + 1 }
    /// The position behind its frame.
    public var end: UInt64 { position + UInt64(Frame.stride(Frame.headerBytes + Int(bytes))) }
}

/// A partition's share of one segment's index.
public struct IndexRow: BitwiseCopyable, Sendable, Equatable {
    /// The partition's next offset when the segment began.
    public var startOffset: Int64
    /// Its entries are those from this number on, `count` of them.
    public var firstEntry: UInt32
    public var count: UInt32
    /// The greatest timestamp among them; `Int64.min` where there are none.
    public var maxTimestamp: Int64
    var reserved: UInt64 = 0

    public static let bytes = 32

    public init(startOffset: Int64, firstEntry: UInt32, count: UInt32, maxTimestamp: Int64) {
        self.startOffset = startOffset
        self.firstEntry = firstEntry
        self.count = count
        self.maxTimestamp = maxTimestamp
    }
}

/// The index of one segment while it grows in memory: for each partition its batches, in order. Bounded, because a
/// segment is. When the segment is full, it goes to a file (`IndexFile`).
public struct SegmentIndex: Sendable {
    /// The segment's number.
    public let segment: UInt64
    /// For each partition number the next offset when the segment began.
    public private(set) var startOffsets: [Int64]
    private var entries: [ContiguousArray<IndexEntry>]
    public private(set) var count = 0

    public init(segment: UInt64, startOffsets: [Int64]) {
        self.segment = segment
        self.startOffsets = startOffsets
        entries = Array(repeating: [], count: startOffsets.count)
    }

    /// How many partition numbers it has rows for.
    public var partitionCount: Int { startOffsets.count }

    public mutating func append(_ entry: IndexEntry, partition: Int) {
        while startOffsets.count <= partition {
            startOffsets.append(entry.baseOffset)
            entries.append([])
        }
        // Recovery from a checkpoint within the segment knows the partition's later offset only.
        if entries[partition].isEmpty { startOffsets[partition] = min(startOffsets[partition], entry.baseOffset) }
        entries[partition].append(entry)
        count += 1
    }

    /// For each partition number the offset behind its last batch.
    public var nextOffsets: [Int64] {
        zip(startOffsets, entries).map { start, mine in mine.last?.nextOffset ?? start }
    }

    /// Up to `limit` entries of the partition from the one that holds `offset` on; empty where there is none.
    public func run(partition: Int, offset: Int64, limit: Int) -> ArraySlice<IndexEntry> {
        guard partition < entries.count else { return [] }
        let mine = entries[partition]
        let first = mine.firstIndex(bisecting: { $0.nextOffset > offset })
        return ArraySlice(mine[first..<min(first + limit, mine.count)])
    }

    public func row(partition: Int) -> IndexRow {
        guard partition < entries.count else {
            return IndexRow(startOffset: 0, firstEntry: 0, count: 0, maxTimestamp: .min)
        }
        let latest = entries[partition].reduce(Int64.min) { max($0, $1.maxTimestamp) }
        return IndexRow(
            startOffset: startOffsets[partition], firstEntry: 0, count: UInt32(entries[partition].count),
            maxTimestamp: latest)
    }

    /// All entries of the partition, in order.
    public func all(partition: Int) -> ContiguousArray<IndexEntry> {
        partition < entries.count ? entries[partition] : []
    }
}

extension RandomAccessCollection where Index == Int {
    /// The first index whose element fulfils the condition, by bisection; `endIndex` where none does. The condition must
    /// hold for all elements from some point on.
    func firstIndex(bisecting condition: (Element) -> Bool) -> Int {
        var low = startIndex
        var high = endIndex
        while low < high {
            let middle = low + (high - low) / 2
            if condition(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
