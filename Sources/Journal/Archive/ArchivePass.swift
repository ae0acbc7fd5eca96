// Unsafe on purpose: it copies frames from a segment's image into write buffers.

import Glibc
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
        case loading(UInt64, offset: Int)
        case scanning(UInt64, position: UInt64)
        case writing(UInt64)
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
    /// How much is looked at in one step, so that the thread's other stages don't wait: frames, or steps through damage.
    private static let workAStep = 8192
    private static let workAFrame = 16
    private static let loadBytes = 8 << 20

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
    private var segment: Int32 = -1
    private var directory: Int32 = -1
    private var works: [UInt32: Work] = [:]
    private var queue: [Work] = []
    private var lanes: [ArchiveLane]
    private var touched: Set<String> = []
    private var toSync: [String] = []
    private var syncing: [Int: Int32] = [:]
    private var failure: IOError?
    private var damagedFrom: UInt64?
    private(set) var archivedBytes = 0

    /// - Parameter image: as large as a segment.
    init(
        _ order: ArchiveOrder, catalog: ArchiveCatalog, files: any FilePort, paths: JournalPaths, journal: JournalIdentity,
        epochs: EpochHistory, image: AlignedBuffer, segmentBytes: Int, logger: Logger
    ) {
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
        phase = free.isEmpty ? .syncing : .loading(free.lowerBound, offset: 0)
    }

    deinit {
        for file in [segment, directory] where file >= 0 { files.close(file) }
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
        case .loading(let number, let offset): return (try load(number, offset), .underWay)
        case .scanning(let number, let position): return (scan(number, position), .underWay)
        case .writing(let number): return (try write(number), .underWay)
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
        guard completion.result >= 0 else {
            return fail(completion.result, "reading a segment in \(paths.directory)")
        }
        switch phase {
        case .loading(let number, let offset):
            let next = offset + Int(alignedDown(UInt64(completion.result)))
            if next == offset { return fail(-EIO, "reading \(paths.segment(number))") }
            phase = .loading(number, offset: next)
        case .syncingDirectory:
            files.close(directory)
            directory = -1
            phase = .ended
        case .scanning, .writing, .syncing, .ended: break
        }
    }

    private func fail(_ result: Int32, _ doing: String) {
        if failure == nil { failure = IOError(code: -result, doing: doing) }
    }

    // MARK: Reading

    private func load(_ number: UInt64, _ offset: Int) throws(IOError) -> Int {
        if operations > 0 { return 0 }
        if segment < 0 { segment = try files.open(paths.segment(number), .readDirect) }
        guard offset < segmentBytes else {
            files.close(segment)
            segment = -1
            phase = .scanning(number, position: number * UInt64(segmentBytes))
            return 1
        }
        operations += 1
        files.read(
            segment, into: image.base + offset, count: min(ArchivePass.loadBytes, segmentBytes - offset),
            offset: UInt64(offset), tag: Tag.load)
        return 1
    }

    private func scan(_ number: UInt64, _ from: UInt64) -> Int {
        let end = (number + 1) * UInt64(segmentBytes)
        var position = from
        var work = 0
        while position + UInt64(Frame.headerBytes) <= end, work < ArchivePass.workAStep {
            let offset = Int(position % UInt64(segmentBytes))
            switch FrameHeader.read(at: image.base + offset, available: segmentBytes - offset, position: position, of: journal) {
            case .success(let header) where header.epoch >= epochs.least(at: position):
                noteDamage(before: position)
                if header.kind == .batch { take(header, offset) }
                position = header.end
                work += ArchivePass.workAFrame
            default:
                damagedFrom = damagedFrom ?? position
                position += 8
                work += 1
            }
        }
        guard position + UInt64(Frame.headerBytes) > end else {
            phase = .scanning(number, position: position)
            return 1
        }
        noteDamage(before: end)
        queue = works.values.sorted { $0.partition > $1.partition }
        works = [:]
        phase = .writing(number)
        return 1
    }

    private func noteDamage(before position: UInt64) {
        guard let from = damagedFrom else { return }
        damagedFrom = nil
        logger.error(
            "\(paths.directory): DAMAGED from position \(from) to \(position), found when it was to be archived: what was there is lost. Readers of those offsets are refused, the rest is served")
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

    private func write(_ number: UInt64) throws(IOError) -> Int {
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
            let data = try open(paths.archive(work.partition, file.base))
            let index_ = try open(paths.archiveIndex(work.partition, file.base))
            operations += lanes[index].begin(
                partition: work.partition, file: file, frames: work.frames, data: data, index: index_, image: image,
                files: files, tag: Tag.lanes + UInt64(index))
        }
        if queue.isEmpty, lanes.allSatisfy(\.isIdle) {
            progress += 1
            if number + 1 < free.upperBound { phase = .loading(number + 1, offset: 0) } else {
                toSync = touched.sorted()
                phase = .syncing
            }
        }
        return progress
    }

    /// The file that the work is appended to.
    private func target(_ work: Work) -> ArchiveFile {
        if let last = draft[work.partition]?.last, last.dataBytes < UInt64(segmentBytes) { return last }
        let base = work.frames[0].entry.baseOffset
        return ArchiveFile(base: base, endOffset: base, maxTimestamp: .min, dataBytes: 0, indexBlocks: 0)
    }

    /// The file, whether or not an earlier pass that failed has left it.
    private func open(_ path: String) throws(IOError) -> Int32 {
        touched.insert(path)
        do throws(IOError) { return try files.open(path, .direct) } catch {
            guard error.code == ENOENT else { throw error }
            return try files.open(path, .createDirect)
        }
    }

    private func finish(_ done: (partition: UInt32, file: ArchiveFile)) {
        var mine = draft[done.partition] ?? []
        if mine.last?.base == done.file.base { mine[mine.count - 1] = done.file } else { mine.append(done.file) }
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
