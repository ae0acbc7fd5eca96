import Glibc
import Host
import IO
import Logging

/// What the archive stage is given: one end of each of its channels.
public struct ArchiveLinks: ~Copyable {
    /// From the read stage.
    public var orders: Receiver<Unmanaged<ArchiveOrder>>
    /// To the read stage.
    public var catalogs: Sender<Unmanaged<ArchiveNews>>
    /// From the write stage.
    public var checkpoints: Receiver<Unmanaged<CheckpointBox>>
    /// To the loader: the numbers of segments that may be used again.
    public var freed: Sender<UInt64>

    public init(
        orders: consuming Receiver<Unmanaged<ArchiveOrder>>, catalogs: consuming Sender<Unmanaged<ArchiveNews>>,
        checkpoints: consuming Receiver<Unmanaged<CheckpointBox>>, freed: consuming Sender<UInt64>
    ) {
        self.orders = orders
        self.catalogs = catalogs
        self.checkpoints = checkpoints
        self.freed = freed
    }
}

/// Frees the journal's oldest segments: moves what is live in them to the partitions' archives, puts a new catalog in place, and
/// when readers go by that, gives the segments to the loader. It writes the checkpoints, too, so that recovery has little to
/// read. All of it in the background: nobody waits for it.
public struct ArchiveStage: Stage, ~Copyable {
    private enum Phase {
        case idle
        case passing(ArchivePass)
        /// A damaged index file is made again: its segment is read, then the file written.
        case repairing(SegmentScan, SegmentIndex)
        case replacingIndex(SegmentSummary)
        /// The catalog's copies are being put in place.
        case committing(ArchiveCatalog, copy: Int)
        /// Readers are to go by the new catalog before what it no longer knows is taken away.
        case announcing(ArchiveCatalog, repaired: SegmentSummary?)
        case waiting(ArchiveCatalog)
        case removing(ArchiveCatalog, old: ArchiveCatalog, paths: [String], segments: Range<UInt64>)
        /// After an error, not before then.
        case resting(until: UInt64)
    }

    private static let replacerTag: UInt64 = 0
    private static let repairTag: UInt64 = 1 << 20
    private static let indexTag: UInt64 = 1 << 21
    private static let compactionTag: UInt64 = 1 << 22
    private static let removalsAStep = 16
    /// After an error, in nanoseconds.
    private static let rest: UInt64 = 3_000_000_000
    /// What can't be read so often, with a rest after each time, is taken for lost.
    private static let readAttempts = 10
    /// The same where others may have it, and are asked.
    private static let readAttemptsOfReplica = 200
    /// Between two looks at a position that is not committed yet, in nanoseconds.
    private static let look: UInt64 = 20_000_000

    private let files: any FilePort
    private let paths: JournalPaths
    private let journal: JournalIdentity
    private let epochs: EpochHistory
    private let segmentBytes: Int
    private let reserveBytes: UInt64
    private let positions: JournalPositions
    private let suspect: (@Sendable (UInt64) -> Void)?
    private let logger: Logger
    private var links: ArchiveLinks
    private var catalog: ArchiveCatalog
    private var order: ArchiveOrder?
    private var damagedIndex: UInt64?
    private var indexedBelow: UInt64 = 0
    private var installed: UInt64 = 0
    /// The next checkpoint; and the one that is being put in place.
    private var checkpoint: CheckpointBox?
    private var writing: CheckpointBox?
    /// The positions of the checkpoints that are in place; and which is the older one.
    private var checkpoints: [UInt64]
    private var olderCheckpoint = 0
    /// The index files of older segments are on stable storage; and the one that is being synced, open.
    private var syncedBelow: UInt64
    private var syncing: Int32 = -1
    /// When to look whether a checkpoint's position is committed.
    private var looksAt: UInt64 = .max
    /// After an error a catalog's copy is not tried again before then.
    private var commitsAfter: UInt64 = 0
    /// How often in a row a segment could not be read.
    private var failedReads = 0
    private var replacer: FileReplacer
    private var phase = Phase.idle
    private var image: AlignedBuffer?
    /// A pass that failed, until the last of its operations has ended.
    private var ending: ArchivePass?
    private let compactionLimits: CompactionLimits
    /// What is to be compacted next; what is being compacted, beside all else; its files, once they are there; and what has become of the last order,
    /// until it is told.
    private var compactionOrder: CompactionOrder?
    private var compaction: CompactionPass?
    private var compactedFiles: [ArchiveFile]?
    private var compacted: (order: CompactionOrder, isDone: Bool)?

    /// - Parameters:
    ///   - directory: the journal's, open.
    ///   - reserveBytes: so much of the file system is left free; archiving may use half of it.
    ///   - positions: `recoverable` is where both checkpoints are.
    ///   - suspect: called with a position of the journal where the disk does not have what it should, and others may; nil: nobody else has it.
    public init(
        files: any FilePort, paths: JournalPaths, journal: JournalIdentity, epochs: EpochHistory, segmentBytes: Int,
        reserveBytes: Int, compaction: CompactionLimits = CompactionLimits(), directory: Int32, catalog: ArchiveCatalog, positions: JournalPositions, suspect: (@Sendable (UInt64) -> Void)? = nil,
        links: consuming ArchiveLinks, logger: Logger
    ) {
        self.suspect = suspect
        compactionLimits = compaction
        self.files = files
        self.paths = paths
        self.journal = journal
        self.epochs = epochs
        self.segmentBytes = segmentBytes
        self.reserveBytes = UInt64(reserveBytes)
        self.catalog = catalog
        self.positions = positions
        checkpoints = paths.checkpoints.map { _ in positions.recoverable.load() }
        syncedBelow = positions.recoverable.load() / UInt64(segmentBytes)
        self.links = links
        self.logger = logger
        replacer = FileReplacer(files: files, tag: ArchiveStage.replacerTag, directory: directory)
        // What was wanted of an earlier stage on this journal will be wanted again.
        while let stale = self.links.orders.pop() { stale.release() }
        self.links.orders.release()
    }

    public mutating func step(_ now: Moment) -> Int {
        var progress = 0
        while let next = links.orders.pop() {
            take(next.takeRetainedValue())
            progress += 1
        }
        links.orders.release()
        while let completion = files.next() {
            handle(completion, now)
            progress += 1
        }
        progress += writeCheckpoint(now)
        progress += advance(now)
        progress += compact(now)
        return progress
    }

    public var deadline: UInt64 {
        var deadline = UInt64.max
        if case .resting(let until) = phase { deadline = until }
        if case .committing = phase, replacer.isIdle { deadline = commitsAfter }
        return min(deadline, looksAt, compaction?.deadline ?? .max)
    }

    /// A pass need not be finished: the next life begins it anew.
    public var isDrained: Bool { replacer.isIdle && syncing < 0 }

    private mutating func take(_ next: ArchiveOrder) {
        indexedBelow = max(indexedBelow, next.indexedBelow)
        installed = max(installed, next.installed)
        if next.free != nil { order = next }
        damagedIndex = next.damagedIndex ?? damagedIndex
        compactionOrder = next.compaction ?? compactionOrder
    }

    private mutating func handle(_ completion: Completion, _ now: Moment) {
        if case .repairing(let scan, _) = phase, completion.tag == ArchiveStage.repairTag {
            if let code = scan.handle(completion) {
                if isMediumError(code) { noteUnreadable(scan.number) }
                rest(IOError(code: code, doing: "reading \(paths.segment(scan.number))"), now)
            }
            return
        }
        if completion.tag == ArchiveStage.indexTag { return synced(completion) }
        if completion.tag == ArchiveStage.compactionTag {
            compaction!.handle(completion)
            return
        }
        if completion.tag != ArchiveStage.replacerTag {
            if let ending {
                ending.handle(completion)
                if !ending.isBusy { self.ending = nil }
            } else if case .passing(let pass) = phase {
                pass.handle(completion)
            }
            return
        }
        switch replacer.handle(completion) {
        case .underWay: break
        case .done:
            if let written = writing {
                writing = nil
                noteCheckpoint(written)
            } else if case .replacingIndex(let summary) = phase {
                // Readers forget what they have read of it.
                phase = .announcing(catalog, repaired: summary)
            } else if case .committing(let next, let copy) = phase {
                if copy + 1 < paths.catalogs.count { commit(next, copy: copy + 1, now) } else { phase = .announcing(next, repaired: nil) }
            }
        case .failed(let error):
            if writing != nil {
                writing = nil
                logger.error("\(error); recovery would begin further back")
            } else if case .replacingIndex = phase {
                rest(error, now)
            } else {
                delayCommit(error, now)
            }
        }
    }

    // MARK: Checkpoints

    /// Once everything before it is durable and has its index files.
    private mutating func writeCheckpoint(_ now: Moment) -> Int {
        var progress = 0
        if checkpoint == nil, let next = links.checkpoints.pop() {
            checkpoint = next.takeRetainedValue()
            links.checkpoints.release()
            progress += 1
        }
        looksAt = .max
        guard let box = checkpoint, replacer.isIdle else { return progress }
        guard segment(of: box.checkpoint.position) <= indexedBelow,
            // Others may have committed what this disk does not have yet.
            min(positions.committed.load(), positions.flushed.load()) >= box.checkpoint.position
        else {
            // Nobody rings for a commit.
            looksAt = now.monotonic + ArchiveStage.look
            return progress
        }
        if syncedBelow < segment(of: box.checkpoint.position) { return progress + syncIndex() }
        checkpoint = nil
        do {
            try replacer.begin(
                paths.checkpoints[olderCheckpoint], by: paths.unfinishedCheckpoint,
                contents: .image(CheckpointFile.image(of: box.checkpoint)))
            writing = box
        } catch {
            logger.error("\(error); recovery would begin further back")
        }
        return progress + 1
    }

    private mutating func noteCheckpoint(_ written: CheckpointBox) {
        let position = written.checkpoint.position
        checkpoints[olderCheckpoint] = position
        olderCheckpoint = 1 - olderCheckpoint
        let older = checkpoints[olderCheckpoint]
        positions.recoverable.advance(to: older)
        // Segments are freed by the older one. After a rush, in which checkpoints were passed over, it may be far behind, with
        // none to come: then the newer one takes its place, too.
        if checkpoint == nil, segment(of: position) > segment(of: older) + 1 { checkpoint = written }
    }

    private func segment(of position: UInt64) -> UInt64 { position / UInt64(segmentBytes) }

    /// Recovery reads no segment that lies before the checkpoint's: so their index files have to last.
    private mutating func syncIndex() -> Int {
        guard syncing < 0 else { return 0 }
        do throws(IOError) {
            syncing = try files.open(paths.index(syncedBelow), .direct)
            files.sync(syncing, dataOnly: false, tag: ArchiveStage.indexTag)
        } catch {
            // Freed meanwhile, mostly; what is missing is made again.
            syncedBelow += 1
        }
        return 1
    }

    private mutating func synced(_ completion: Completion) {
        files.close(syncing)
        syncing = -1
        if completion.result < 0 {
            logger.error("\(paths.index(syncedBelow)) can't be synced: \(describe(errno: -completion.result)); recovery would begin further back")
            checkpoint = nil
        }
        syncedBelow += 1
    }

    // MARK: Passes

    private mutating func advance(_ now: Moment) -> Int {
        switch phase {
        case .resting(let until):
            guard now.monotonic >= until, ending == nil else { return 0 }
            // Who gave the order is to give another: by now it may be a better one.
            phase = .announcing(catalog, repaired: nil)
            return 1
        case .idle: return beginCompaction() + takeCompacted() + (isIdle ? begin(now) : 0)
        case .passing(let pass): return advance(pass, now)
        case .repairing(let scan, let index): return repair(scan, index, now)
        case .replacingIndex: return 0
        case .committing(let next, let copy):
            // A checkpoint may have the replacer.
            guard replacer.isIdle, now.monotonic >= commitsAfter else { return 0 }
            commit(next, copy: copy, now)
            return 1
        case .announcing(let next, let repaired):
            guard links.catalogs.hasRoom() else { return 0 }
            let sent = links.catalogs.send(Unmanaged.passRetained(ArchiveNews(next, repaired: repaired, compaction: compacted)))
            precondition(sent, "there was room")
            compacted = nil
            phase = .waiting(next)
            return 1
        case .waiting(let next):
            guard installed >= next.generation else { return 0 }
            if next === catalog {
                phase = .idle
                return 1
            }
            positions.start.advance(to: next.firstSegment * UInt64(segmentBytes))
            phase = .removing(
                next, old: catalog, paths: deadFiles(next), segments: catalog.firstSegment..<next.firstSegment)
            catalog = next
            return 1
        case .removing: return remove()
        }
    }

    private mutating func begin(_ now: Moment) -> Int {
        if let number = damagedIndex, ending == nil { return beginRepair(number) }
        guard let order, ending == nil else { return 0 }
        // An order that has been carried out, or overtaken by a failure in between, is no longer of this catalog.
        guard let free = order.free, free.lowerBound == catalog.firstSegment, order.installed == catalog.generation else {
            self.order = nil
            return 1
        }
        if !order.scanned.isEmpty, let space = files.space(paths.directory), space.free < order.liveBytes + reserveBytes / 2 {
            rest(IOError(code: ENOSPC, doing: "archiving \(order.liveBytes) bytes in \(paths.directory) would go into the disk's reserve"), now)
            return 1
        }
        if image == nil && !order.scanned.isEmpty { image = AlignedBuffer(uninitialized: segmentBytes) }
        phase = .passing(
            ArchivePass(
                order, catalog: catalog, files: files, paths: paths, journal: journal, epochs: epochs,
                image: image ?? AlignedBuffer(count: 0), segmentBytes: segmentBytes, takesLoss: takesLoss,
                isReplica: suspect != nil, compacting: compaction?.order, now: now, logger: logger))
        return 1
    }

    private var takesLoss: Bool {
        failedReads >= (suspect == nil ? ArchiveStage.readAttempts : ArchiveStage.readAttemptsOfReplica)
    }

    private mutating func noteUnreadable(_ segment: UInt64) {
        failedReads += 1
        suspect?(segment * UInt64(segmentBytes))
    }

    private mutating func beginRepair(_ number: UInt64) -> Int {
        damagedIndex = nil
        guard number >= catalog.firstSegment, number < indexedBelow else { return 1 }
        logger.error("\(paths.index(number)) is damaged: it is made again")
        if image == nil { image = AlignedBuffer(uninitialized: segmentBytes) }
        do throws(IOError) {
            let scan = try SegmentScan(
                number, files: files, paths: paths, journal: journal, epochs: epochs, segmentBytes: segmentBytes, image: image!,
                tag: ArchiveStage.repairTag, takesLoss: takesLoss, isReplica: suspect != nil, logger: logger)
            phase = .repairing(scan, SegmentIndex(segment: number))
        } catch {
            logger.error("\(error)")
        }
        return 1
    }

    private mutating func repair(_ scan: SegmentScan, _ index: SegmentIndex, _ now: Moment) -> Int {
        let image = image!
        phase = .idle
        let progress = scan.step { header, offset in
            guard header.kind == .batch else { return }
            index.append(IndexEntry(header, batch: image.base + offset + Frame.headerBytes), partition: Int(header.partition))
        }
        phase = .repairing(scan, index)
        if scan.isDamaged {
            noteUnreadable(scan.number)
            rest(IOError(code: EIO, doing: "\(paths.segment(scan.number)) is damaged: to be mended from another broker"), now)
            return progress
        }
        guard scan.isDone, replacer.isIdle else { return progress }
        failedReads = 0
        do throws(IOError) {
            try replacer.begin(
                paths.index(scan.number), by: paths.unfinishedRepair,
                contents: .index(IndexFile.Contents(of: index, owner: IndexOwner(segment: scan.number, group: journal.group))))
            phase = .replacingIndex(index.summary)
        } catch {
            rest(error, now)
        }
        return progress + 1
    }

    private mutating func advance(_ pass: ArchivePass, _ now: Moment) -> Int {
        do throws(IOError) {
            let (progress, result) = try pass.step()
            switch result {
            case .underWay: break
            case .failed(let error):
                if let number = pass.unreadable { noteUnreadable(number) }
                rest(error, now)
            case .done(let next):
                order = nil
                failedReads = 0
                logger.debug("\(paths.directory): archived \(pass.archivedBytes) bytes, the journal begins at segment \(next.firstSegment)")
                phase = .committing(next, copy: 0)
            }
            return progress
        } catch {
            rest(error, now)
            return 1
        }
    }

    // MARK: Compaction

    private var isIdle: Bool {
        if case .idle = phase { return true }
        return false
    }

    /// Begins to compact where nothing else is under way, so that the files are those that the catalog knows.
    private mutating func beginCompaction() -> Int {
        guard isIdle, compaction == nil, compacted == nil, let order = compactionOrder else { return 0 }
        compactionOrder = nil
        let inputs = (catalog.files[order.partition] ?? []).prefix { $0.endOffset <= order.end }
        guard inputs.contains(where: { !$0.isClean }) else {
            // What was dirty is gone, or has grown: it is looked at again.
            compacted = (order, true)
            return 1
        }
        let bytes = inputs.reduce(UInt64(0)) { $0 + $1.dataBytes }
        if let space = files.space(paths.directory), space.free < bytes + reserveBytes / 2 {
            logger.error("\(paths.archive): compacting partition \(order.partition) takes up to \(bytes) bytes, which would go into the disk's reserve")
            compacted = (order, false)
            return 1
        }
        compaction = CompactionPass(
            order, inputs: Array(inputs), edition: UInt32(truncatingIfNeeded: catalog.generation + 1), limits: compactionLimits, journal: journal, files: files,
            paths: paths, fileBytes: segmentBytes, tag: ArchiveStage.compactionTag, logger: logger)
        return 1
    }

    private mutating func compact(_ now: Moment) -> Int {
        guard let pass = compaction, compactedFiles == nil else { return 0 }
        let (progress, result) = pass.step(now.monotonic)
        switch result {
        case .underWay: break
        case .done(let files): compactedFiles = files
        case .failed(let error):
            logger.error("\(error); partition \(pass.order.partition) is compacted later")
            for path in pass.made { try? files.remove(path) }
            compaction = nil
            compacted = (pass.order, false)
        }
        return progress
    }

    /// Puts a catalog in place with what was compacted, and without what that stands for; or tells that nothing came of it.
    private mutating func takeCompacted() -> Int {
        guard isIdle else { return 0 }
        if compacted != nil {
            phase = .announcing(catalog, repaired: nil)
            return 1
        }
        guard let pass = compaction, let outputs = compactedFiles else { return 0 }
        compaction = nil
        compactedFiles = nil
        compacted = (pass.order, true)
        let partition = pass.order.partition
        // What was deleted meanwhile stays deleted.
        let mine = catalog.files[partition] ?? []
        let start = mine.first?.base ?? .max
        let end = pass.inputs.last?.endOffset ?? 0
        let kept = outputs.filter { $0.endOffset > start }
        for key in outputs.map({ $0.key(partition) }) where !kept.contains(where: { $0.key(partition) == key }) {
            for path in [paths.archive(key), paths.archiveIndex(key)] { try? files.remove(path) }
        }
        var all = catalog.files
        let files = kept + mine.filter { $0.endOffset > end }
        all[partition] = files.isEmpty ? nil : files
        logger.debug("\(paths.archive): partition \(partition) compacted: \(pass.records) records became \(pass.keptRecords)")
        phase = .committing(ArchiveCatalog(generation: catalog.generation + 1, firstSegment: catalog.firstSegment, files: all), copy: 0)
        return 1
    }

    private mutating func commit(_ next: ArchiveCatalog, copy: Int, _ now: Moment) {
        phase = .committing(next, copy: copy)
        guard replacer.isIdle else { return }
        do throws(IOError) {
            try replacer.begin(
                paths.catalogs[copy], by: paths.unfinishedCatalog, contents: .image(next.image(group: journal.group)))
        } catch {
            delayCommit(error, now)
        }
    }

    /// The same catalog is tried again: it may be in place already, so nothing that it speaks of may change.
    private mutating func delayCommit(_ error: IOError, _ now: Moment) {
        logger.error("\(error); tried again in a few seconds")
        commitsAfter = now.monotonic + ArchiveStage.rest
    }

    /// The archive files that the new catalog no longer knows.
    private func deadFiles(_ next: ArchiveCatalog) -> [String] {
        var dead: [String] = []
        for (partition, files) in catalog.files {
            let live = Set((next.files[partition] ?? []).map { $0.key(partition) })
            for key in files.map({ $0.key(partition) }) where !live.contains(key) {
                dead.append(paths.archive(key))
                dead.append(paths.archiveIndex(key))
            }
        }
        return dead
    }

    /// Takes away what nobody reads any more, a little at a time.
    private mutating func remove() -> Int {
        guard case .removing(let next, let old, var dead, var segments) = phase else { return 0 }
        for _ in 0..<ArchiveStage.removalsAStep {
            guard let path = dead.popLast() else { break }
            try? files.remove(path)
        }
        while let number = segments.first, links.freed.hasRoom() {
            let sent = links.freed.push(number)
            precondition(sent, "there was room")
            segments = segments.dropFirst()
        }
        links.freed.publish()
        phase = dead.isEmpty && segments.isEmpty ? .idle : .removing(next, old: old, paths: dead, segments: segments)
        return 1
    }

    /// Nothing has changed for anyone: what was begun is given up, with the files that it made.
    private mutating func rest(_ error: IOError, _ now: Moment) {
        logger.error("\(error); archiving is tried again in a few seconds")
        order = nil
        if case .passing(let pass) = phase {
            for path in pass.made { try? files.remove(path) }
            if pass.isBusy { ending = pass }
        }
        phase = .resting(until: now.monotonic + ArchiveStage.rest)
    }
}
