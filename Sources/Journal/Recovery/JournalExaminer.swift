// Unsafe on purpose: it looks at frames and blocks in files' images.

import IO
import Logging

/// Looks at a partition group's journal and changes nothing: what is there, whether it is undamaged, what recovery would do.
public struct JournalExaminer {
    /// What was found, line by line, and whether anything is damaged.
    public struct Findings: Sendable {
        public var lines: [String] = []
        public var problems = 0

        mutating func say(_ line: String) { lines.append(line) }

        mutating func complain(_ line: String) {
            problems += 1
            lines.append("PROBLEM: \(line)")
        }
    }

    private let journal: JournalIdentity
    private let paths: JournalPaths
    private let segmentBytes: Int
    private let epochs: EpochHistory
    private let blocking: BlockingFiles
    private let files: JournalFiles
    private let reader: SegmentReader
    private let memory: AlignedBuffer

    /// - Parameter directory: the group's.
    /// - Throws: `JournalError` where there is no journal.
    public init(_ journal: JournalIdentity, directory: String, epochs: EpochHistory, blocking: BlockingFiles) throws {
        self.journal = journal
        self.epochs = epochs
        self.blocking = blocking
        paths = JournalPaths(directory: directory)
        let numbers = try blocking.files.list(directory).compactMap { JournalPaths.number(in: $0, suffix: ".segment") }
        guard let some = numbers.min() else { throw JournalError("\(directory): there is no journal") }
        let file = try blocking.files.open(paths.segment(some), .readDirect)
        defer { blocking.files.close(file) }
        segmentBytes = Int(try blocking.files.size(file))
        guard segmentBytes >= directAlignment, segmentBytes % directAlignment == 0 else {
            throw JournalError("\(paths.segment(some)) has \(segmentBytes) bytes, which no segment has")
        }
        files = JournalFiles(blocking: blocking, paths: paths, segmentBytes: segmentBytes)
        memory = AlignedBuffer(count: segmentBytes)
        reader = SegmentReader(
            blocking: blocking, paths: paths, journal: journal, segmentBytes: segmentBytes, epochs: epochs, memory: memory.base)
    }

    private func place(_ position: UInt64) -> String {
        "position \(position) (segment \(position / UInt64(segmentBytes)), byte \(position % UInt64(segmentBytes)))"
    }

    /// The catalog, the journal's segments, and those that are free.
    private func overview() throws -> (ArchiveCatalog, ClosedRange<UInt64>, [UInt64]) {
        let catalog = try ArchiveCatalog.read(paths: paths, group: journal.group, blocking: blocking)
            ?? ArchiveCatalog(generation: 0, firstSegment: 0, files: [:])
        let (free, segments) = try files.segments(first: catalog.firstSegment, removesUnfinished: false)
        guard let segments else { throw JournalError("\(paths.directory): there is no journal") }
        return (catalog, segments, free)
    }

    // MARK: Recovery

    private struct Counter: JournalVisitor {
        var line: ((FrameHeader, UnsafeRawPointer) -> Bool)?
        /// Told now and then where the frames have come to.
        var reached: ((UInt64) -> Void)?
        private var frames = 0

        mutating func frame(_ header: FrameHeader, _ payload: UnsafeRawPointer) throws {
            frames += 1
            if frames % 4096 == 0 { reached?(header.end) }
            if let line, !line(header, payload) { throw Enough() }
        }

        mutating func damaged(_ range: Range<UInt64>) {}
    }

    private struct Enough: Error {}

    /// What the next start would do, and why.
    public func explainRecovery() throws -> Findings {
        var findings = Findings()
        let (catalog, segments, free) = try overview()
        findings.say("\(paths.directory): \(segments.count) segments of \(segmentBytes) bytes, number \(segments.lowerBound) to \(segments.upperBound)")
        if !free.isEmpty { findings.say("segments \(free) are free and would be used again") }
        if catalog.generation > 0 {
            findings.say("the archive's catalog, generation \(catalog.generation), says that the journal begins at segment \(catalog.firstSegment)")
        }
        for path in paths.checkpoints {
            guard let image = try blocking.contents(path) else { continue }
            if let checkpoint = Checkpoint(image: image) {
                findings.say("\(path): position \(checkpoint.position), epoch \(checkpoint.epoch)")
            } else {
                findings.complain("\(path) can't be believed, the other one would be used")
            }
        }
        let checkpoint = try CheckpointFile.read(paths: paths, blocking: blocking).checkpoint
        if checkpoint == nil && catalog.firstSegment > 0 {
            findings.complain("no checkpoint can be believed, and the journal no longer begins at its beginning: the start would be refused")
            return findings
        }
        findings.say(
            checkpoint.map { "frames would be read from segment \($0.position / UInt64(segmentBytes)) on, because the checkpoint knows what was before" }
                ?? "frames would be read from the beginning, because there is no checkpoint")
        try explain(&findings, segments, checkpoint)
        let from = checkpoint.map { $0.position / UInt64(segmentBytes) } ?? segments.lowerBound
        for number in segments.lowerBound..<max(from, segments.lowerBound) where try !hasIndex(number) {
            findings.say("\(paths.index(number)) is missing or damaged and would be made again from its segment")
        }
        return findings
    }

    private func explain(_ findings: inout Findings, _ segments: ClosedRange<UInt64>, _ checkpoint: Checkpoint?) throws {
        var recovery = try Recovery(reader: reader, paths: paths, segments: segments, checkpoint: checkpoint)
        var counter = Counter()
        let found = try recovery.run(&counter)
        findings.say("\(found.frames) frames would be taken, up to \(place(found.position)); known to have been on stable storage: \(found.flushed)")
        for range in found.damaged {
            findings.complain(
                "from \(place(range.lowerBound)) to \(range.upperBound) no sound frame stands, below what is known to have been on stable storage: damage. Readers of what was there would be refused, the rest served")
        }
        findings.say("at the end: \(found.ending.rawValue), above what is known to have been on stable storage: \(RecoveryRule.verdict(found.ending, isDurable: false).rawValue)")
        if let end = found.cutOffEnd {
            findings.say("what looks like frames from there to position \(end) would be cut off: nobody was promised it")
        }
        findings.say("the next epoch would be \(max(found.highestEpoch, epochs.starts.last?.epoch ?? 0) + 1), from position \(found.position) on")
    }

    private func hasIndex(_ number: UInt64) throws -> Bool {
        guard let image = try blocking.contents(paths.index(number)) else { return false }
        return IndexFile.isSound(image.base, count: image.count, owner: IndexOwner(segment: number, group: journal.group))
    }

    // MARK: Verifying

    /// Reads everything, and checks every frame, index block, catalog and checkpoint.
    /// - Parameter progress: told now and then how many bytes have been read, of how many.
    public func verify(progress: (_ read: UInt64, _ of: UInt64) -> Void = { _, _ in }) throws -> Findings {
        var findings = Findings()
        let (catalog, segments, _) = try overview()
        let checkpoint = try CheckpointFile.read(paths: paths, blocking: blocking).checkpoint
        var recovery = try Recovery(reader: reader, paths: paths, segments: segments, checkpoint: nil)
        let begin = reader.start(of: segments.lowerBound)
        let journalBytes = UInt64(segments.count * segmentBytes)
        let bytes = catalog.files.values.joined().reduce(journalBytes) { $0 + $1.dataBytes }
        let found = try withoutActuallyEscaping(progress) { progress in
            var counter = Counter()
            counter.reached = { progress($0 - begin, bytes) }
            return try recovery.run(&counter)
        }
        for range in found.damaged { findings.complain("\(paths.directory): damaged from \(place(range.lowerBound)) to \(range.upperBound)") }
        if let checkpoint, found.position < checkpoint.position {
            findings.complain("\(paths.directory): the journal ends at \(place(found.position)), but the checkpoint knows of position \(checkpoint.position)")
        }
        findings.say("\(paths.directory): \(found.frames) frames in segments \(segments.lowerBound) to \(number(found.position)), up to position \(found.position)")
        for path in paths.checkpoints + paths.catalogs { try verify(path, &findings) }
        // Those of the segments that the next start reads anyway are made then.
        let walked = checkpoint.map { number($0.position) } ?? segments.lowerBound
        for number in segments.lowerBound..<max(walked, segments.lowerBound) where try !hasIndex(number) {
            findings.complain("\(paths.index(number)) is missing or damaged; the next start makes it again")
        }
        var batches = 0
        var read = journalBytes
        for (partition, mine) in catalog.files.sorted(by: { $0.key < $1.key }) {
            for file in mine {
                batches += try verify(partition, file, &findings)
                read += file.dataBytes
                progress(read, bytes)
            }
        }
        findings.say("\(paths.archive): \(batches) batches in \(catalog.files.values.reduce(0) { $0 + $1.count }) files of \(catalog.files.count) partitions")
        return findings
    }

    private func number(_ position: UInt64) -> UInt64 { position / UInt64(segmentBytes) }

    private func verify(_ path: String, _ findings: inout Findings) throws {
        guard let image = try blocking.contents(path) else { return }
        let isSound = paths.checkpoints.contains(path)
            ? Checkpoint(image: image) != nil
            : ArchiveCatalog(image: image.base, count: image.count, group: journal.group) != nil
        if !isSound { findings.complain("\(path) is damaged") }
    }

    /// An archive file against its index. Returns how many batches it has.
    private func verify(_ partition: UInt32, _ file: ArchiveFile, _ findings: inout Findings) throws -> Int {
        let dataPath = paths.archive(file.key(partition))
        let indexPath = paths.archiveIndex(file.key(partition))
        guard let data = try blocking.contents(dataPath), let index = try blocking.contents(indexPath),
            data.count >= Int(file.dataBytes), index.count >= Int(file.indexBlocks) * IndexBlock.bytes
        else {
            findings.complain("\(dataPath) or its index is missing or cut off")
            return 0
        }
        let owner = IndexOwner(group: journal.group, partition: partition, number: UInt64(max(file.base, 0)))
        var batches = 0
        var next = file.base
        for number in 0..<Int(file.indexBlocks) {
            let block = index.base + number * IndexBlock.bytes
            guard IndexBlock.isSound(block, number: number, owner: owner) else {
                findings.complain("\(indexPath): block \(number) is damaged")
                continue
            }
            for place in 0..<IndexBlock.entries {
                let entry = IndexBlock.entry(block, place)
                guard entry.bytes > 0 else { continue }
                batches += 1
                guard isSound(entry, data, partition), entry.baseOffset >= next else {
                    findings.complain("\(dataPath): the batch of offsets \(entry.baseOffset) to \(entry.nextOffset - 1) is damaged")
                    continue
                }
                next = entry.nextOffset
            }
        }
        if next != file.endOffset { findings.complain("\(dataPath) ends at offset \(next), its catalog says \(file.endOffset)") }
        return batches
    }

    private func isSound(_ entry: IndexEntry, _ data: AlignedBuffer, _ partition: UInt32) -> Bool {
        let at = Int(entry.position)
        guard at >= 0, at + Frame.headerBytes <= data.count else { return false }
        let position = (data.base + at).loadUnaligned(fromByteOffset: 8, as: UInt64.self).littleEndian
        guard case .success(let header) = FrameHeader.read(at: data.base + at, available: data.count - at, position: position, of: journal),
            header.kind == .batch, header.partition == partition
        else { return false }
        let found = IndexEntry(header, batch: data.base + at + Frame.headerBytes)
        return found.baseOffset == entry.baseOffset && found.lastOffsetDelta == entry.lastOffsetDelta
    }

    // MARK: Inspecting

    /// What is there: segments, epochs, archives; and, where asked for, frames.
    /// - Parameters:
    ///   - frames: how many frames to list.
    ///   - from: the first of them stands at this position or behind it.
    ///   - partition: only frames of this partition number.
    public func inspect(frames: Int, from: UInt64, partition: UInt32?) throws -> Findings {
        var findings = Findings()
        let (catalog, segments, free) = try overview()
        findings.say("\(paths.directory): segments \(segments.lowerBound) to \(segments.upperBound) of \(segmentBytes) bytes, positions from \(reader.start(of: segments.lowerBound)); \(free.count) free")
        for start in epochs.starts { findings.say("epoch \(start.epoch) from position \(start.position)") }
        for (number, mine) in catalog.files.sorted(by: { $0.key < $1.key }) where partition == nil || partition == number {
            let bytes = mine.reduce(UInt64(0)) { $0 + $1.dataBytes }
            findings.say("archive of partition \(number): offsets \(mine.first!.base) to \(mine.last!.endOffset - 1), \(bytes) bytes in \(mine.count) files")
        }
        guard frames > 0 else { return findings }
        var lines: [String] = []
        let first = max(segments.lowerBound, min(from / UInt64(segmentBytes), segments.upperBound))
        var recovery = try Recovery(reader: reader, paths: paths, segments: first...segments.upperBound, checkpoint: nil)
        var counter = Counter()
        counter.line = { header, payload in
            guard header.position >= from, partition == nil || partition == header.partition else { return true }
            lines.append(JournalExaminer.line(header, payload))
            return lines.count < frames
        }
        do { _ = try recovery.run(&counter) } catch is Enough {}
        findings.lines += lines
        return findings
    }

    private static func line(_ header: FrameHeader, _ payload: UnsafeRawPointer) -> String {
        var line = "\(header.position) \(header.kind) epoch=\(header.epoch) bytes=\(header.length) flushed=\(header.flushed) time=\(header.time)"
        switch header.kind {
        case .batch:
            let entry = IndexEntry(header, batch: payload)
            line += " partition=\(header.partition) offsets=\(entry.baseOffset)..\(entry.nextOffset - 1)"
        case .logStart:
            let start = LogStartFrame(payload, count: header.payloadBytes)?.offset
            line += " partition=\(header.partition) start=\(start.map(String.init) ?? "?")"
        case .epoch, .padding: break
        }
        return line
    }
}
