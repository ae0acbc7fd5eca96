// Unsafe on purpose: it copies frames from a segment's image into write buffers.

import Glibc
import Host
import IO
import Logging

/// One pass over segments that are to be freed: what is live in them goes to the partitions' archives, and is synced. Nothing
/// counts before the pass's catalog is in place, so a pass that fails is simply begun again.
final class ArchivePass {
    enum Result {
        case underWay
        /// All is on stable storage: this catalog says so.
        case done(ArchiveCatalog)
        case failed(IOError)
    }

    /// A partition's live batches in the loaded segment.
    private struct Work {
        var partition: UInt32
        /// Where each frame is in the segment, and its entry.
        var frames: [(offset: Int, entry: IndexEntry)] = []
    }

    private enum Phase {
        case scanning(SegmentScan)
        case writing
        case syncing
        case syncingDirectory
        case ended
    }

    private enum Tag {
        static let load: UInt64 = 1
        static let directory: UInt64 = 2
        static let lanes: UInt64 = 16
    }

    /// So many partitions are written, or files synced, at once.
    private static let laneCount = 8
    /// Files are deleted whole: so nothing is added to one that is older, in seconds.
    private static let longestSpan: UInt32 = 86_400
    private let files: any FilePort
    private let paths: JournalPaths
    private let journal: JournalIdentity
    private let epochs: EpochHistory
    private let segmentBytes: Int
    private let logger: Logger
    private let image: AlignedBuffer
    private let catalog: ArchiveCatalog
    private let order: ArchiveOrder
    private let free: Range<UInt64>
    private var draft: [UInt32: [ArchiveFile]]
    private var phase = Phase.syncing
    private var nextSegment: UInt64
    private var directory: Int32 = -1
    private var works: [UInt32: Work] = [:]
    private var queue: [Work] = []
    private var lanes: [ArchiveLane]
    private var touched: Set<String> = []
    private var toSync: [String] = []
    private var syncing: [Int: Int32] = [:]
    private var failure: IOError?
    /// Files that there were not before.
    private(set) var made: [String] = []
    private let now: Moment
    private let takesLoss: Bool
    private let isReplica: Bool
    private let compacting: CompactionOrder?
    /// It failed because that segment can't be read, or is damaged, though others have it; nil: not because of that.
    private(set) var unreadable: UInt64?
    private(set) var archivedBytes = 0

    /// - Parameters:
    ///   - image: as large as a segment.
    ///   - takesLoss: what can't be read is lost, and is not archived; otherwise the pass fails.
    ///   - compacting: what is being compacted meanwhile: nothing is added to those files.
    init(
        _ order: ArchiveOrder, catalog: ArchiveCatalog, files: any FilePort, paths: JournalPaths, journal: JournalIdentity,
        epochs: EpochHistory, image: AlignedBuffer, segmentBytes: Int, takesLoss: Bool, isReplica: Bool, compacting: CompactionOrder?, now: Moment,
        logger: Logger
    ) {
        self.compacting = compacting
        self.isReplica = isReplica
        self.now = now
        self.takesLoss = takesLoss
        self.files = files
        self.paths = paths
        self.journal = journal
        self.epochs = epochs
        self.segmentBytes = segmentBytes
        self.logger = logger
        self.image = image
        self.catalog = catalog
        self.order = order
        free = order.free ?? catalog.firstSegment..<catalog.firstSegment
        draft = [:]
        for (partition, mine) in catalog.files {
            let start = order.logStart(partition)
            let live = mine.filter { $0.endOffset > start }
            if !live.isEmpty && start != .max { draft[partition] = live }
        }
        lanes = (0..<ArchivePass.laneCount).map { _ in ArchiveLane(group: journal.group) }
        nextSegment = free.lowerBound
        phase = .syncing
    }

    deinit {
        if directory >= 0 { files.close(directory) }
        for file in syncing.values { files.close(file) }
        for lane in lanes { lane.close(files) }
    }

    /// Whether operations are under way that use its memory.
    var isBusy: Bool { operations > 0 }
    private var operations = 0

    // MARK: Steps

    /// Goes on as far as can be done now. Returns how much that was.
    func step() throws(IOError) -> (progress: Int, result: Result) {
        if let failure { return (0, operations > 0 ? .underWay : .failed(failure)) }
        switch phase {
        case .scanning(let scan): return (advance(scan), .underWay)
        case .writing: return (try write(), .underWay)
        case .syncing where nextSegment < free.upperBound && !order.scanned.contains(nextSegment):
            nextSegment += 1
            if nextSegment == free.upperBound { toSync = touched.sorted() }
            return (1, .underWay)
        case .syncing where nextSegment < free.upperBound:
            let scan = try SegmentScan(
                nextSegment, files: files, paths: paths, journal: journal, epochs: epochs, segmentBytes: segmentBytes,
                image: image, tag: Tag.load, takesLoss: takesLoss, isReplica: isReplica, logger: logger)
            nextSegment += 1
            phase = .scanning(scan)
            return (1, .underWay)
        case .syncing: return (try sync(), .underWay)
        case .syncingDirectory: return (try syncDirectory(), .underWay)
        case .ended:
            return (
                1,
                .done(
                    ArchiveCatalog(
                        generation: catalog.generation + 1, firstSegment: max(free.upperBound, catalog.firstSegment), files: draft))
            )
        }
    }

    func handle(_ completion: Completion) {
        operations -= 1
        let lane = Int(completion.tag) - Int(Tag.lanes)
        if let file = syncing[lane] {
            files.close(file)
            syncing[lane] = nil
            if completion.result < 0 { fail(completion.result, "syncing an archive in \(paths.archive)") }
            return
        }
        if lane >= 0 {
            if let next = lanes[lane].completed(completion.result, files: files, tag: completion.tag) {
                operations += next
            } else {
                fail(completion.result < 0 ? completion.result : -EIO, "writing an archive in \(paths.archive)")
            }
            return
        }
        switch phase {
        case .scanning(let scan):
            if let code = scan.handle(completion) {
                if isMediumError(code) { unreadable = scan.number }
                fail(-code, "reading \(paths.segment(scan.number))")
            }
        case .syncingDirectory:
            if completion.result < 0 { fail(completion.result, "syncing \(paths.archive)") }
            files.close(directory)
            directory = -1
            phase = .ended
        case .writing, .syncing, .ended: break
        }
    }

    private func fail(_ result: Int32, _ doing: String) {
        if failure == nil { failure = IOError(code: -result, doing: doing) }
    }

    // MARK: Reading

    private func advance(_ scan: SegmentScan) -> Int {
        operations += scan.isReading ? -1 : 0
        defer { operations += scan.isReading ? 1 : 0 }
        let progress = scan.step { header, offset in
            if header.kind == .batch { take(header, offset) }
        }
        guard scan.isDone else { return progress }
        if scan.isDamaged {
            unreadable = scan.number
            fail(-EIO, "\(paths.segment(scan.number)) is damaged: to be mended from another broker")
            return progress
        }
        queue = works.values.sorted { $0.partition > $1.partition }
        works = [:]
        phase = .writing
        return progress
    }

    /// A batch that is live goes to its partition's work.
    private func take(_ header: FrameHeader, _ offset: Int) {
        let start = order.logStart(header.partition)
        let entry = IndexEntry(header, batch: image.base + offset + Frame.headerBytes)
        let known = works[header.partition]?.frames.last?.entry.nextOffset ?? draft[header.partition]?.last?.endOffset ?? 0
        guard start != .max, entry.nextOffset > start, entry.baseOffset >= known else { return }
        works[header.partition, default: Work(partition: header.partition)].frames.append((offset, entry))
    }

    // MARK: Writing

    private func write() throws(IOError) -> Int {
        var progress = 0
        for index in lanes.indices {
            if let done = lanes[index].takeFinished() {
                finish(done)
                progress += 1
            }
            guard lanes[index].isIdle, let work = queue.popLast() else { continue }
            progress += 1
            archivedBytes += work.frames.reduce(0) { $0 + $1.entry.stride }
            let file = target(work)
            let data = try open(paths.archive(file.key(work.partition)))
            let indexFile: Int32
            do throws(IOError) { indexFile = try open(paths.archiveIndex(file.key(work.partition))) } catch {
                files.close(data)
                throw error
            }
            operations += lanes[index].begin(
                partition: work.partition, file: file, frames: work.frames, data: data, index: indexFile, image: image,
                files: files, tag: Tag.lanes + UInt64(index))
        }
        if queue.isEmpty, lanes.allSatisfy(\.isIdle) {
            progress += 1
            if nextSegment == free.upperBound { toSync = touched.sorted() }
            phase = .syncing
        }
        return progress
    }

    /// The file that the work is appended to.
    private func target(_ work: Work) -> ArchiveFile {
        let seconds = UInt32(clamping: now.wall / 1000)
        if let last = draft[work.partition]?.last, !last.isClean, last.dataBytes < UInt64(segmentBytes),
            seconds &- last.created < ArchivePass.longestSpan || seconds < last.created,
            compacting?.partition != work.partition || last.endOffset > compacting!.end
        {
            return last
        }
        let base = work.frames[0].entry.baseOffset
        return ArchiveFile(
            base: base, endOffset: base, maxTimestamp: .min, dataBytes: 0, indexBlocks: 0, created: seconds)
    }

    /// The file, whether or not an earlier pass that failed has left it.
    private func open(_ path: String) throws(IOError) -> Int32 {
        touched.insert(path)
        do throws(IOError) { return try files.open(path, .direct) } catch {
            guard error.code == ENOENT else { throw error }
            let file = try files.open(path, .createDirect)
            made.append(path)
            return file
        }
    }

    private func finish(_ done: (partition: UInt32, file: ArchiveFile)) {
        var mine = draft[done.partition] ?? []
        if let last = mine.last, last.key(done.partition) == done.file.key(done.partition) { mine[mine.count - 1] = done.file } else { mine.append(done.file) }
        draft[done.partition] = mine
    }

    // MARK: Syncing

    private func sync() throws(IOError) -> Int {
        var progress = 0
        for lane in 0..<ArchivePass.laneCount where syncing[lane] == nil {
            guard let path = toSync.popLast() else { break }
            let file = try files.open(path, .direct)
            syncing[lane] = file
            operations += 1
            files.sync(file, dataOnly: true, tag: Tag.lanes + UInt64(lane))
            progress += 1
        }
        if syncing.isEmpty && toSync.isEmpty {
            phase = touched.isEmpty ? .ended : .syncingDirectory
            progress += 1
        }
        return progress
    }

    /// New files are in their directory.
    private func syncDirectory() throws(IOError) -> Int {
        guard directory < 0 else { return 0 }
        directory = try files.open(paths.archive, .directory)
        operations += 1
        files.sync(directory, dataOnly: false, tag: Tag.directory)
        return 1
    }
}
