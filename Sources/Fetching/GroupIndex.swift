// Unsafe on purpose: rows and entries of index files are read where the cold cache holds them.

import DequeModule
import Host
import IO
import Journal
import Logging

/// What a look into the index yields.
enum IndexLookup {
    /// Batches in order, the first of which holds the offset that was asked for, or is the next behind it.
    case entries(ArraySlice<IndexEntry>)
    /// Something is being read: ask again after a completion.
    case loading
    /// An errno.
    case failed(Int32)
}

/// The index of one partition group: the newest segment's in memory, older ones' in files. It holds committed batches only,
/// and it knows the high watermarks.
struct GroupIndex: ~Copyable {
    private static let run = 512

    let group: UInt16
    private let paths: JournalPaths
    private let segmentBytes: UInt64
    private let firstSegment: UInt64
    private var active: SegmentIndex
    /// Full ones whose files are not written yet, oldest first.
    private var sealed: Deque<SegmentIndex> = []
    /// By partition number the offset behind the last committed batch.
    private(set) var highWatermarks: [Int64]
    private var writer: IndexFileWriter

    init(
        group: UInt16, paths: JournalPaths, segmentBytes: Int, firstSegment: UInt64, active: SegmentIndex,
        files: any FilePort, writerTag: UInt64, logger: Logger
    ) {
        self.group = group
        self.paths = paths
        self.segmentBytes = UInt64(segmentBytes)
        self.firstSegment = firstSegment
        self.active = active
        highWatermarks = active.nextOffsets
        writer = IndexFileWriter(files: files, paths: paths, tag: writerTag, logger: logger)
    }

    func highWatermark(_ partition: UInt32) -> Int64 {
        Int(partition) < highWatermarks.count ? highWatermarks[Int(partition)] : 0
    }

    /// Whether another full segment may be taken on; if not, the files must catch up first.
    var hasRoom: Bool { sealed.count < 3 }

    /// Takes in a committed batch.
    mutating func append(_ batch: AppendedBatch) {
        seal(before: batch.entry.position / segmentBytes)
        let partition = Int(batch.partition)
        active.append(batch.entry, partition: partition)
        while highWatermarks.count <= partition { highWatermarks.append(0) }
        highWatermarks[partition] = batch.entry.nextOffset
    }

    /// Nothing more comes into the segments before that one.
    mutating func seal(before segment: UInt64) {
        while active.segment < segment {
            sealed.append(active)
            active = SegmentIndex(segment: active.segment + 1, startOffsets: active.nextOffsets)
        }
    }

    /// Goes on writing files of full segments. Returns whether something was begun or ended.
    mutating func writeFiles(_ now: Moment) -> Bool {
        guard let oldest = sealed.first else { return false }
        return writer.advance(oldest, now)
    }

    var writerDeadline: UInt64 { sealed.isEmpty ? .max : writer.deadline }
    var isDrained: Bool { sealed.isEmpty }

    /// A completion of the file writer's.
    mutating func handle(_ completion: Completion, _ now: Moment) {
        if writer.handle(completion, now) { sealed.removeFirst() }
    }

    // MARK: Lookups

    /// The batches of the partition from `offset` on, as far as they lie together.
    mutating func lookup(partition: UInt32, offset: Int64, cold: inout ColdCache) -> IndexLookup {
        let number = Int(partition)
        if offset >= start(active, number) {
            return .entries(active.run(partition: number, offset: offset, limit: GroupIndex.run))
        }
        for index in sealed.indices.reversed() where offset >= start(sealed[index], number) {
            return .entries(sealed[index].run(partition: number, offset: offset, limit: GroupIndex.run))
        }
        return lookupInFiles(number, offset, &cold)
    }

    private func start(_ index: SegmentIndex, _ partition: Int) -> Int64 {
        partition < index.partitionCount ? index.startOffsets[partition] : 0
    }

    /// The first segment whose index is not in a file.
    private var firstInMemory: UInt64 { sealed.first?.segment ?? active.segment }

    /// The last segment that begins at or before the offset holds it.
    private mutating func lookupInFiles(_ partition: Int, _ offset: Int64, _ cold: inout ColdCache) -> IndexLookup {
        var low = firstSegment
        var high = firstInMemory
        while high - low > 1 {
            let middle = low + (high - low) / 2
            switch row(middle, partition, &cold) {
            case .found(let row, _): if row.startOffset <= offset { low = middle } else { high = middle }
            case .loading: return .loading
            case .failed(let code): return .failed(code)
            }
        }
        guard low < firstInMemory else { return .entries([]) }
        return entries(low, partition, from: { $0.nextOffset > offset }, &cold)
    }

    enum RowLookup {
        case found(IndexRow, IndexFile.Header)
        case loading
        case failed(Int32)
    }

    /// The partition's row in a segment's file.
    private func row(_ segment: UInt64, _ partition: Int, _ cold: inout ColdCache) -> RowLookup {
        let file = ColdFile(.index, group: group, number: segment)
        let header: IndexFile.Header
        switch cold.bytes(file, offset: 0) {
        case .loading: return .loading
        case .failed(let code): return .failed(code)
        case .ready(let bytes):
            guard bytes.count >= IndexFile.headerBytes, let read = IndexFile.Header(bytes.baseAddress!) else {
                return .failed(badFile)
            }
            header = read
        }
        guard partition < Int(header.rows) else {
            return .found(IndexRow(startOffset: 0, firstEntry: 0, count: 0, maxTimestamp: .min), header)
        }
        switch cold.bytes(file, offset: header.offset(row: partition)) {
        case .loading: return .loading
        case .failed(let code): return .failed(code)
        case .ready(let bytes):
            guard bytes.count >= IndexRow.bytes else { return .failed(badFile) }
            return .found(bytes.loadUnaligned(as: IndexRow.self), header)
        }
    }

    /// The partition's entries in a segment's file, from the first that fulfils the condition on, as many as one window holds.
    private func entries(
        _ segment: UInt64, _ partition: Int, from condition: (IndexEntry) -> Bool, _ cold: inout ColdCache
    ) -> IndexLookup {
        let row: IndexRow
        let header: IndexFile.Header
        switch self.row(segment, partition, &cold) {
        case .found(let found, let its): (row, header) = (found, its)
        case .loading: return .loading
        case .failed(let code): return .failed(code)
        }
        let file = ColdFile(.index, group: group, number: segment)
        let size = MemoryLayout<IndexEntry>.size
        var low = Int(row.firstEntry)
        let end = low + Int(row.count)
        guard end <= Int(header.entries) else { return .failed(badFile) }
        var high = end
        while low < high {
            let middle = low + (high - low) / 2
            switch cold.bytes(file, offset: header.offset(entry: middle)) {
            case .loading: return .loading
            case .failed(let code): return .failed(code)
            case .ready(let bytes):
                guard bytes.count >= size else { return .failed(badFile) }
                if condition(bytes.loadUnaligned(as: IndexEntry.self)) { high = middle } else { low = middle + 1 }
            }
        }
        guard low < end else { return .entries([]) }
        guard case .ready(let bytes) = cold.bytes(file, offset: header.offset(entry: low)) else { return .loading }
        let count = min(end - low, bytes.count / size, GroupIndex.run)
        return .entries(ArraySlice((0..<count).map { bytes.loadUnaligned(fromByteOffset: $0 * size, as: IndexEntry.self) }))
    }

    // MARK: Times

    /// The segments that there are, oldest first.
    var segments: ClosedRange<UInt64> { firstSegment...active.segment }

    /// The partition's batches of one segment, from the first on whose greatest timestamp is at least `time`; none where
    /// the segment has none.
    mutating func lookup(
        partition: UInt32, segment: UInt64, time: Int64, cold: inout ColdCache
    ) -> IndexLookup {
        let number = Int(partition)
        if let inMemory = memoryIndex(segment) {
            let all = inMemory.all(partition: number)
            guard let first = all.firstIndex(where: { $0.maxTimestamp >= time }) else { return .entries([]) }
            return .entries(ArraySlice(all[first..<min(first + GroupIndex.run, all.count)]))
        }
        switch row(segment, number, &cold) {
        case .loading: return .loading
        case .failed(let code): return .failed(code)
        case .found(let row, let header):
            guard row.count > 0, row.maxTimestamp >= time else { return .entries([]) }
            return scan(segment, row, header, time, &cold)
        }
    }

    /// Timestamps need not grow, so here is no bisection: entry after entry.
    private func scan(
        _ segment: UInt64, _ row: IndexRow, _ header: IndexFile.Header, _ time: Int64, _ cold: inout ColdCache
    ) -> IndexLookup {
        let file = ColdFile(.index, group: group, number: segment)
        let size = MemoryLayout<IndexEntry>.size
        var number = Int(row.firstEntry)
        let end = number + Int(row.count)
        while number < end {
            switch cold.bytes(file, offset: header.offset(entry: number)) {
            case .loading: return .loading
            case .failed(let code): return .failed(code)
            case .ready(let bytes):
                let count = min(end - number, bytes.count / size)
                guard count > 0 else { return .failed(badFile) }
                for index in 0..<count {
                    let entry = bytes.loadUnaligned(fromByteOffset: index * size, as: IndexEntry.self)
                    if entry.maxTimestamp >= time { return .entries([entry]) }
                }
                number += count
            }
        }
        return .entries([])
    }

    /// The greatest timestamp that the partition has in a segment; `Int64.min` where it has none; nil: being read, or `failed`.
    mutating func maxTimestamp(partition: UInt32, segment: UInt64, cold: inout ColdCache) -> RowLookup {
        if let inMemory = memoryIndex(segment) {
            return .found(inMemory.row(partition: Int(partition)), IndexFile.Header.none)
        }
        return row(segment, Int(partition), &cold)
    }

    private func memoryIndex(_ segment: UInt64) -> SegmentIndex? {
        if segment == active.segment { return active }
        return sealed.first { $0.segment == segment }
    }

    /// What the broker reports of an index file whose contents can't be right (EBADMSG).
    private var badFile: Int32 { 74 }
}
