// Unsafe on purpose: it looks at batches where the reader has them.

import Codecs
import Glibc
import IO
import Logging
import Wire

/// A partition whose archive is to be compacted.
public struct CompactionOrder: Sendable, Equatable {
    public var partition: UInt32
    /// Files that end behind this offset are left alone.
    public var end: Int64
    /// What time it is, in milliseconds since 1970; and how long after their keys' first cleaning tombstones are kept, in milliseconds.
    public var wall: Int64
    public var deleteRetention: Int64

    public init(partition: UInt32, end: Int64, wall: Int64, deleteRetention: Int64) {
        self.partition = partition
        self.end = end
        self.wall = wall
        self.deleteRetention = deleteRetention
    }
}

/// What bounds compaction.
public struct CompactionLimits: Sendable {
    /// What the offsets of keys may take of memory, in bytes.
    public var keyBytes: Int
    /// What may be read and written together in a second, in bytes; nil: whatever the drive does.
    public var bytesASecond: Int?

    public init(keyBytes: Int = 32 << 20, bytesASecond: Int? = nil) {
        self.keyBytes = keyBytes
        self.bytesASecond = bytesASecond
    }
}

/// Compacts one partition's archive: of each key only the record with the greatest offset is left. The files that have not been cleaned before are read for
/// their keys; then all are read again, and written anew without what a later record has replaced. No record changes its offset, and nothing counts before
/// a catalog with the new files is in place, so that a pass that fails has done nothing.
///
/// The algorithm is that of Kafka's log cleaner (kafka.apache.org/documentation, "Log Compaction"; KIP-58, KIP-354).
final class CompactionPass {
    enum Result {
        case underWay
        /// These files, which are on stable storage, take the places of those that it was given.
        case done([ArchiveFile])
        case failed(IOError)
    }

    private enum Phase {
        /// The keys of the dirty file of that number are noted.
        case surveying(Int)
        /// The file of that number is written anew.
        case rewriting(Int)
        /// The file that was written is brought to stable storage: its data, then its index.
        case finishing(next: Int)
        case syncing(index: Bool, next: Int)
        case syncingDirectory
        case ended
    }

    /// What is put into one new file.
    private enum Shelf: Equatable {
        /// Tombstones among it have been kept long enough.
        case settled
        /// Keys were made unique at about that time, in milliseconds since 1970: times are rounded, so that there are not too many files.
        case cleaned(Int64)
        /// It could not be cleaned, as the memory for keys was full before.
        case dirty
    }

    private struct Batch {
        let entry: IndexEntry
        let frame: UnsafeRawBufferPointer
        /// What is left of it; nil: all.
        let rebuilt: [UInt8]?
        let shelf: Shelf
    }

    /// So much is looked at in one step, in bytes, so that the thread's other stages don't wait.
    private static let workAStep = 128 << 10
    /// So many times within `deleteRetention` are told apart.
    private static let times: Int64 = 16

    let order: CompactionOrder
    /// The files whose places the new ones are to take, without a gap.
    private(set) var inputs: [ArchiveFile]
    /// Files that there were not before.
    private(set) var made: [String] = []
    /// What there was of records, and what is left.
    private(set) var records = 0
    private(set) var keptRecords = 0
    private let edition: UInt32
    private let journal: JournalIdentity
    private let files: any FilePort
    private let paths: JournalPaths
    private let fileBytes: UInt64
    private let rate: Int?
    private let tag: UInt64
    private let logger: Logger
    private var keys: KeyTable
    /// Records from here on are not cleaned: their keys are not known.
    private var boundary: Int64
    private var phase: Phase
    private var reader: ArchiveReader?
    private var writer: ArchiveWriter?
    private var shelf = Shelf.dirty
    private var pending: Batch?
    private var outputs: [ArchiveFile] = []
    private var directory: Int32 = -1
    private var failure: IOError?
    /// When something may be read or written next.
    private var nextTransfer: UInt64 = 0
    private var isThrottled = false
    /// Whether an operation is under way; and whether that is a write.
    private(set) var isBusy = false
    private var writes = false

    /// - Parameters:
    ///   - inputs: the partition's files up to the order's end, oldest first.
    ///   - edition: of what is written; none of the partition's files has it.
    ///   - fileBytes: no file grows far beyond it.
    ///   - tag: of its operations; it has one at a time.
    init(
        _ order: CompactionOrder, inputs: [ArchiveFile], edition: UInt32, limits: CompactionLimits, journal: JournalIdentity, files: any FilePort,
        paths: JournalPaths, fileBytes: Int, tag: UInt64, logger: Logger
    ) {
        self.order = order
        self.inputs = inputs
        self.edition = edition
        self.journal = journal
        self.files = files
        self.paths = paths
        self.fileBytes = UInt64(fileBytes)
        self.tag = tag
        self.logger = logger
        rate = limits.bytesASecond
        let dirty = inputs.drop(while: \.isClean)
        let most = dirty.reduce(0) { $0 + Int(clamping: $1.endOffset &- $1.base) }
        keys = KeyTable(keys: min(most, KeyTable.room(bytes: limits.keyBytes)))
        boundary = inputs.last?.endOffset ?? 0
        phase = .surveying(dirty.startIndex)
    }

    deinit { if directory >= 0 { files.close(directory) } }

    /// When to go on though nothing has happened.
    var deadline: UInt64 { isThrottled ? nextTransfer : .max }

    // MARK: Steps

    /// Goes on as far as can be done now. Returns how much that was.
    func step(_ now: UInt64) -> (progress: Int, result: Result) {
        guard !isBusy else { return (0, .underWay) }
        if let failure { return (1, .failed(failure)) }
        if isThrottled, now < nextTransfer { return (0, .underWay) }
        isThrottled = false
        do throws(IOError) {
            switch phase {
            case .surveying(let number): try survey(number, now)
            case .rewriting(let number): try rewrite(number, now)
            case .finishing(let next): finish(next, now)
            case .syncing(let isIndex, _): sync(isIndex)
            case .syncingDirectory: try syncDirectory()
            case .ended: return (1, .done(outputs))
            }
        } catch {
            failure = error
        }
        return (isThrottled ? 0 : 1, .underWay)
    }

    func handle(_ completion: Completion) {
        isBusy = false
        do throws(IOError) {
            if writes {
                isBusy = try writer!.handle(completion.result, tag: tag)
                writes = isBusy
                return
            }
            switch phase {
            case .surveying, .rewriting: try reader!.handle(completion.result)
            case .syncing(let isIndex, let next):
                if completion.result < 0 { throw writer!.describe(completion.result) }
                phase = isIndex ? .rewriting(next) : .syncing(index: true, next: next)
                if isIndex { outputs.append(writer.take()!.file) }
            case .syncingDirectory:
                files.close(directory)
                directory = -1
                if completion.result < 0 { throw IOError(code: -completion.result, doing: "syncing \(paths.archive)") }
                phase = .ended
            case .finishing, .ended: break
            }
        } catch {
            failure = error
        }
    }

    /// Whether something may be transferred now.
    private func mayTransfer(_ now: UInt64) -> Bool {
        isThrottled = rate != nil && now < nextTransfer
        return !isThrottled
    }

    /// So many bytes are: the next ones wait their time.
    private func transfers(_ bytes: Int, _ now: UInt64) {
        isBusy = true
        if let rate { nextTransfer = now + UInt64(bytes) * 1_000_000_000 / UInt64(max(rate, 1)) }
    }

    /// The file's next batch; nil: it has to be waited for, or there is none any more.
    private func next(_ number: Int, _ now: UInt64) throws(IOError) -> (batch: (IndexEntry, UnsafeRawBufferPointer)?, isEnd: Bool) {
        if reader == nil { reader = try ArchiveReader(inputs[number], partition: order.partition, group: journal.group, files: files, paths: paths) }
        switch try reader!.next() {
        case .batch(let entry, let frame): return ((entry, frame), false)
        case .needs(let bytes):
            if mayTransfer(now) {
                reader!.read(tag: tag)
                transfers(bytes, now)
            }
            return (nil, false)
        case .end:
            reader = nil
            return (nil, true)
        }
    }

    // MARK: Keys

    private func survey(_ number: Int, _ now: UInt64) throws(IOError) {
        guard number < inputs.count else {
            phase = .rewriting(0)
            return
        }
        var work = 0
        while work < CompactionPass.workAStep {
            let (batch, isEnd) = try next(number, now)
            guard let (entry, frame) = batch else {
                if isEnd { phase = .surveying(number + 1) }
                return
            }
            work += frame.count
            guard let payload = soundPayload(frame) else { continue }
            let count = max(Int(RecordBatchHeader(at: payload.baseAddress!).recordCount), 0)
            if !keys.hasRoom(for: count) {
                // So that each pass gets further, the first batch is taken in any case.
                guard keys.count == 0 else { return endSurvey(number, before: entry.baseOffset) }
                keys = KeyTable(keys: count)
            }
            // What of it can't be read stays as it is.
            try? RecordBatch.forEachRecord(of: payload) { record in
                if let key = record.key { keys.note(key, offset: entry.baseOffset &+ record.offsetDelta) }
            }
        }
    }

    /// The memory for keys is full: what comes from that offset on, in the file of that number, is left for the next pass.
    private func endSurvey(_ number: Int, before offset: Int64) {
        boundary = offset
        inputs.removeSubrange((inputs[number].base < offset ? number + 1 : number)...)
        reader = nil
        phase = .rewriting(0)
    }

    /// The batch in a frame that is sound.
    private func soundPayload(_ frame: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard let base = frame.baseAddress else { return nil }
        let position = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        guard case .success(let header) = FrameHeader.read(at: base, available: frame.count, position: position, of: journal),
            header.kind == .batch, header.partition == order.partition, Int(header.length) == frame.count
        else { return nil }
        return UnsafeRawBufferPointer(rebasing: frame[Frame.headerBytes...])
    }

    // MARK: Writing anew

    private func rewrite(_ number: Int, _ now: UInt64) throws(IOError) {
        guard number < inputs.count else {
            phase = writer != nil ? .finishing(next: number) : made.isEmpty ? .ended : .syncingDirectory
            writer?.finish()
            return
        }
        var work = 0
        while work < CompactionPass.workAStep {
            if let batch = pending {
                guard try put(batch, number, now) else { return }
                pending = nil
            }
            let (found, isEnd) = try next(number, now)
            guard let (entry, frame) = found else {
                if isEnd { phase = .rewriting(number + 1) }
                return
            }
            work += frame.count
            pending = look(entry, frame, inputs[number])
        }
    }

    /// What is left of a batch, and where that goes; nil: nothing is.
    private func look(_ entry: IndexEntry, _ frame: UnsafeRawBufferPointer, _ file: ArchiveFile) -> Batch? {
        let shelf = shelf(of: file, entry.baseOffset)
        let whole = Batch(entry: entry, frame: frame, rebuilt: nil, shelf: shelf)
        guard shelf != .dirty, let payload = soundPayload(frame) else { return whole }
        var counts = (all: 0, kept: 0)
        let last = inputs[inputs.count - 1].endOffset - 1
        let remains = try? RecordBatch.remains(of: payload) { record in
            counts.all += 1
            // Who reads up to here has to get past it: the last one stays, whatever it is.
            if entry.baseOffset &+ record.offsetDelta == last {
                counts.kept += 1
                return true
            }
            // Records without a key came before the topic was compacted; Kafka takes them away as well.
            guard let key = record.key, !(record.isTombstone && shelf == .settled) else { return false }
            guard entry.baseOffset &+ record.offsetDelta >= keys.latest(key) ?? .min else { return false }
            counts.kept += 1
            return true
        }
        guard let remains else { return whole }
        records += counts.all
        keptRecords += counts.kept
        return switch remains {
        case .all: whole
        case .some(let bytes): Batch(entry: entry, frame: frame, rebuilt: bytes, shelf: shelf)
        case .nothing: nil
        }
    }

    private func shelf(of file: ArchiveFile, _ offset: Int64) -> Shelf {
        if offset >= boundary { return .dirty }
        if file.isClean, order.wall - file.cleaned > order.deleteRetention { return .settled }
        let step = max(order.deleteRetention / CompactionPass.times, 1)
        let since = file.isClean ? file.cleaned : max(order.wall, 1)
        return .cleaned((since + step - 1) / step * step)
    }

    /// Puts the batch into the new file that it belongs to. Returns whether it is there.
    private func put(_ batch: Batch, _ number: Int, _ now: UInt64) throws(IOError) -> Bool {
        if let writer, shelf != batch.shelf || writer.file.dataBytes >= fileBytes {
            writer.finish()
            phase = .finishing(next: number)
            return false
        }
        let bytes = batch.rebuilt?.count ?? Int(batch.entry.bytes)
        if writer == nil { try begin(batch, inputs[number]) }
        guard writer!.hasRoom(bytes) else {
            write(now)
            return false
        }
        guard let rebuilt = batch.rebuilt else {
            let payload = UnsafeRawBufferPointer(rebasing: batch.frame[Frame.headerBytes...])
            writer!.add(batch.entry, header: nil, frame: batch.frame, payload: payload, key: journal.key)
            return true
        }
        var header = FrameHeader(checked: batch.frame.baseAddress!)!
        header.length = UInt32(Frame.headerBytes + rebuilt.count)
        rebuilt.withUnsafeBytes { payload in
            writer!.add(IndexEntry(header, batch: payload.baseAddress!), header: header, frame: batch.frame, payload: payload, key: journal.key)
        }
        return true
    }

    private func begin(_ batch: Batch, _ input: ArchiveFile) throws(IOError) {
        let cleaned: Int64 = switch batch.shelf {
        case .settled: max(order.wall - order.deleteRetention - 1, 1)
        case .cleaned(let time): time
        case .dirty: 0
        }
        shelf = batch.shelf
        let base = batch.entry.baseOffset
        writer = try ArchiveWriter(
            ArchiveFile(
                base: base, endOffset: base, maxTimestamp: .min, dataBytes: 0, indexBlocks: 0, created: input.created, edition: edition, cleaned: cleaned),
            partition: order.partition, group: journal.group, files: files, paths: paths, made: &made)
    }

    /// Writes what has gathered. Returns whether there was something, or will be.
    @discardableResult
    private func write(_ now: UInt64) -> Bool {
        guard mayTransfer(now) else { return true }
        let bytes = writer!.write(tag: tag)
        guard bytes > 0 else { return false }
        writes = true
        transfers(bytes, now)
        return true
    }

    private func finish(_ next: Int, _ now: UInt64) {
        if !write(now) { phase = .syncing(index: false, next: next) }
    }

    private func sync(_ isIndex: Bool) {
        writer!.sync(index: isIndex, tag: tag)
        isBusy = true
    }

    /// New files are in their directory.
    private func syncDirectory() throws(IOError) {
        directory = try files.open(paths.archive, .directory)
        files.sync(directory, dataOnly: false, tag: tag)
        isBusy = true
    }
}
