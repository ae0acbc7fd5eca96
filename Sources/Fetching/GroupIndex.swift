// Unsafe on purpose: entries of index files are read where the cold cache holds them.

import DequeModule
import Glibc
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

/// A stretch of a partition's log that lies together: an archive file, or its share of a segment. Known without reading.
struct LogUnit: Equatable {
    enum Place: Equatable {
        case archive(ArchiveFile)
        case file(segment: UInt64, firstEntry: Int, count: Int)
        case memory(segment: UInt64)
    }

    var place: Place
    var startOffset: Int64
    var endOffset: Int64
    var maxTimestamp: Int64
    /// What its batches take on disk.
    var bytes: UInt64

    /// A share of a segment to which nothing is added any more.
    var isFullSegment: Bool {
        if case .file = place { return true }
        return false
    }
}

/// The index of one partition group: the newest segments' in memory, older ones' and the archives' in files. It holds committed
/// batches only, and it knows the high watermarks and where each log starts.
struct GroupIndex: ~Copyable {
    private static let run = 512

    let group: UInt16
    private let paths: JournalPaths
    private let segmentBytes: UInt64
    private(set) var catalog: ArchiveCatalog
    /// What full segments hold whose index files are written, oldest first, from the catalog's first segment on.
    private(set) var summaries: Deque<SegmentSummary>
    /// Full ones whose files are not written yet, oldest first.
    private var sealed: Deque<SegmentIndex> = []
    private var active: SegmentIndex
    /// The position at which the segment that is written to ends.
    private var activeEnd: UInt64
    /// By partition number the offset behind the last committed batch.
    private var highWatermarks: OwnedArray<Int64>
    /// By partition number the offset of the first record that is not deleted.
    private(set) var logStarts: [Int64]
    private var writer: IndexFileWriter

    init(_ opened: ReadGroup, group: UInt16, files: any FilePort, writerTag: UInt64, logger: Logger) {
        self.group = group
        paths = opened.paths
        segmentBytes = UInt64(opened.cache.segmentBytes)
        catalog = opened.catalog
        summaries = Deque(opened.summaries)
        active = opened.active
        activeEnd = (active.segment + 1) * segmentBytes
        highWatermarks = OwnedArray(minimumCapacity: opened.nextOffsets.count)
        for offset in opened.nextOffsets { highWatermarks.append(offset) }
        logStarts = opened.logStarts
        writer = IndexFileWriter(files: files, paths: opened.paths, group: group, tag: writerTag, logger: logger)
    }

    func highWatermark(_ partition: UInt32) -> Int64 {
        Int(partition) < highWatermarks.count ? highWatermarks[Int(partition)] : 0
    }

    func logStart(_ partition: UInt32) -> Int64 { Int(partition) < logStarts.count ? logStarts[Int(partition)] : 0 }

    /// Whether another full segment may be taken on; if not, the files must catch up first.
    var hasRoom: Bool { sealed.count < 3 }

    /// Takes in a committed frame: a batch, or a new log start.
    @inline(__always)
    mutating func append(_ batch: borrowing AppendedBatch) {
        let partition = Int(batch.partition)
        switch batch.kind {
        case .batch:
            if batch.entry.position >= activeEnd { seal(before: batch.entry.position / segmentBytes) }
            active.append(batch.entry, partition: partition)
            if highWatermarks.count <= partition { highWatermarks.extend(to: partition + 1, with: 0) }
            highWatermarks[partition] = batch.entry.nextOffset
        case .logStart:
            while logStarts.count <= partition { logStarts.append(0) }
            logStarts[partition] = max(logStarts[partition], batch.entry.baseOffset)
        case .epoch, .padding: break
        }
    }

    // MARK: Segments

    /// Nothing more comes into the segments before that one.
    mutating func seal(before segment: UInt64) {
        while active.segment < segment {
            sealed.append(active)
            active = SegmentIndex(segment: active.segment + 1)
            activeEnd += segmentBytes
        }
    }

    /// Goes on writing files of full segments.
    mutating func writeFiles(_ now: Moment) -> IndexFileWriter.Outcome {
        guard let oldest = sealed.first else { return .nothing }
        return took(writer.advance(oldest, hurries: sealed.count > 1, now))
    }

    /// Leaves a file unfinished; false where the kernel is still at work on it.
    mutating func abandonFile() -> Bool { writer.abandon() }

    var writerDeadline: UInt64 { sealed.isEmpty ? .max : writer.deadline }
    var isDrained: Bool { sealed.isEmpty }

    /// A completion of the file writer's.
    mutating func handle(_ completion: Completion, _ now: Moment) -> IndexFileWriter.Outcome {
        took(writer.handle(completion, now))
    }

    private mutating func took(_ outcome: IndexFileWriter.Outcome) -> IndexFileWriter.Outcome {
        if outcome == .done { summaries.append(sealed.removeFirst().summary) }
        return outcome
    }

    /// The first segment whose index is not in a file.
    var firstInMemory: UInt64 { sealed.first?.segment ?? active.segment }
    /// How many segments the journal has, the one that is written to included.
    var segmentCount: Int { Int(active.segment - catalog.firstSegment) + 1 }

    /// A pass has archived batches and freed segments.
    mutating func install(_ catalog: ArchiveCatalog) {
        self.catalog = catalog
        while let first = summaries.first, first.segment < catalog.firstSegment { summaries.removeFirst() }
    }

    /// A segment's index was made again: what of it is damaged is no longer in it.
    mutating func replace(_ summary: SegmentSummary) {
        if let place = summaries.firstIndex(where: { $0.segment == summary.segment }) { summaries[place] = summary }
    }

    // MARK: Units

    /// The partition's log, oldest first.
    func units(_ partition: UInt32) -> [LogUnit] {
        var units = (catalog.files[partition] ?? []).map(LogUnit.init)
        for summary in summaries {
            if let row = summary.row(partition: partition) { units.append(LogUnit(row, segment: summary.segment)) }
        }
        for index in sealed {
            if let row = index.row(partition: Int(partition)) { units.append(LogUnit(memory: row, segment: index.segment)) }
        }
        if let row = active.row(partition: Int(partition)) { units.append(LogUnit(memory: row, segment: active.segment)) }
        return units
    }

    /// The unit that holds the offset, or the next behind it; nil: there is none.
    private func unit(_ partition: UInt32, _ offset: Int64) -> LogUnit? {
        var later: LogUnit?
        /// The newest one that begins at or before the offset ends the search.
        func holds(_ unit: LogUnit) -> Bool {
            if unit.endOffset > offset { later = unit }
            return unit.startOffset <= offset
        }
        if let row = active.row(partition: Int(partition)), holds(LogUnit(memory: row, segment: active.segment)) { return later }
        for index in sealed.reversed() {
            if let row = index.row(partition: Int(partition)), holds(LogUnit(memory: row, segment: index.segment)) { return later }
        }
        for summary in summaries.reversed() {
            if let row = summary.row(partition: partition), holds(LogUnit(row, segment: summary.segment)) { return later }
        }
        if let files = catalog.files[partition] {
            let next = files.firstIndex(bisecting: { $0.endOffset > offset })
            if next < files.count { return LogUnit(files[next]) }
        }
        return later
    }

    /// How far the partition's log has been compacted: before that offsets are missing, but for the last.
    func cleanEnd(_ partition: UInt32) -> Int64 { catalog.files[partition]?.last(where: \.isClean)?.endOffset ?? 0 }

    /// Where the partition's log passes that position of the journal, as far as is known without reading: what has lower offsets than `low` lies
    /// before it, what has not lower ones than `high` does not.
    func offsets(_ partition: UInt32, around position: UInt64) -> (low: Int64, high: Int64) {
        var low = logStart(partition)
        var high = highWatermark(partition)
        for unit in units(partition) {
            switch unit.place {
            case .archive: if position >= catalog.firstSegment * segmentBytes { low = max(low, unit.endOffset) }
            case .file(let segment, _, _), .memory(let segment):
                if (segment + 1) * segmentBytes <= position { low = max(low, unit.endOffset) }
                if segment * segmentBytes >= position { high = min(high, unit.startOffset) }
            }
        }
        return (low, max(low, high))
    }

    /// The segment whose index file tells of the offset; nil: no file does, or an archive's.
    func indexedSegment(_ partition: UInt32, _ offset: Int64) -> UInt64? {
        if case .file(let segment, _, _)? = unit(partition, offset)?.place { return segment }
        return nil
    }

    // MARK: Lookups

    /// The batches of the partition from `offset` on, as far as they lie together.
    mutating func lookup(partition: UInt32, offset: Int64, cold: inout ColdCache) -> IndexLookup {
        guard let unit = unit(partition, offset) else { return .entries([]) }
        return lookup(partition, unit, offset, &cold)
    }

    /// The unit's batches from `offset` on, as far as they lie together.
    mutating func lookup(
        _ partition: UInt32, _ unit: LogUnit, _ offset: Int64, _ cold: inout ColdCache
    ) -> IndexLookup {
        let run: EntryRun
        switch unit.place {
        case .memory(let segment):
            let index = segment == active.segment ? active : sealed.first { $0.segment == segment }
            return .entries(index?.run(partition: Int(partition), offset: offset, limit: GroupIndex.run) ?? [])
        case .file(let segment, let firstEntry, let count):
            run = EntryRun(
                file: .index(group: group, number: segment), owner: IndexOwner(segment: segment, group: group), firstBlock: nil,
                entries: firstEntry..<firstEntry + count, edition: nil)
        case .archive(let file):
            run = EntryRun(
                file: .archiveIndex(group: group, file.key(partition)),
                owner: IndexOwner(group: group, partition: partition, number: UInt64(max(file.base, 0))), firstBlock: 0,
                entries: 0..<Int(file.indexBlocks) * IndexBlock.entries, edition: file.edition)
        }
        return run.lookup(offset, limit: GroupIndex.run, &cold)
    }

    /// The file that holds an archived batch of the partition; nil: that file is not there any more.
    func archiveFile(_ partition: UInt32, of entry: IndexEntry) -> ColdFile? {
        guard let files = catalog.files[partition] else { return nil }
        let next = files.firstIndex(bisecting: { $0.endOffset > entry.baseOffset })
        guard next < files.count, files[next].base <= entry.baseOffset else { return nil }
        let key = files[next].key(partition)
        return entry.isArchived(in: key) ? .archive(group: group, key) : nil
    }
}

extension LogUnit {
    init(_ file: ArchiveFile) {
        self.init(
            place: .archive(file), startOffset: file.base, endOffset: file.endOffset, maxTimestamp: file.maxTimestamp,
            bytes: file.dataBytes + file.indexBlocks * UInt64(IndexBlock.bytes))
    }

    init(_ row: IndexRow, segment: UInt64) {
        self.init(
            place: .file(segment: segment, firstEntry: Int(row.firstEntry), count: Int(row.count)), startOffset: row.startOffset,
            endOffset: row.endOffset, maxTimestamp: row.maxTimestamp, bytes: row.bytes)
    }

    init(memory row: IndexRow, segment: UInt64) {
        self.init(
            place: .memory(segment: segment), startOffset: row.startOffset, endOffset: row.endOffset,
            maxTimestamp: row.maxTimestamp, bytes: row.bytes)
    }
}
