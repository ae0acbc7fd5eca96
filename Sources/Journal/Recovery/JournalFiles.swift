import Glibc
import IO
import Logging

/// The files of one partition group's journal, as start-up handles them: waiting for each operation.
struct JournalFiles {
    /// So often a block is read before it counts as unreadable.
    private static let triesABlock = 3

    let blocking: BlockingFiles
    let paths: JournalPaths
    let segmentBytes: Int

    func segment(of position: UInt64) -> UInt64 { position / UInt64(segmentBytes) }

    /// The journal's segments, without a gap, each of the right size; and those before the first, which are free. Nil: none.
    func segments(first: UInt64, removesUnfinished: Bool) throws -> (free: [UInt64], journal: ClosedRange<UInt64>?) {
        if removesUnfinished {
            for path in [
                paths.unfinishedSegment, paths.unfinishedRepair, paths.unfinishedCheckpoint, paths.unfinishedCatalog,
            ] {
                try? blocking.files.remove(path)
            }
        }
        let names = try blocking.files.list(paths.directory)
        let numbers = names.compactMap { JournalPaths.number(in: $0, suffix: ".segment") }.sorted()
        for number in numbers {
            let file = try blocking.files.open(paths.segment(number), .readDirect)
            defer { blocking.files.close(file) }
            let size = try blocking.files.size(file)
            if size != UInt64(segmentBytes) {
                throw JournalError(
                    "\(paths.segment(number)) has \(size) bytes, but journal.segment.bytes is \(segmentBytes). Set it to what the journal was made with.")
            }
        }
        let mine = numbers.filter { $0 >= first }
        for (expected, number) in zip(first..., mine) where expected != number {
            throw JournalError(
                "\(paths.directory): segment \(expected) is missing, though later ones are there. Restore it, or the directory, from a copy.")
        }
        guard let last = mine.last else {
            if !numbers.isEmpty { throw JournalError("\(paths.directory): segment \(first) is missing. Restore the directory from a copy.") }
            return ([], nil)
        }
        return (numbers.filter { $0 < first }, first...last)
    }

    /// What a full segment holds, from its index file; where that is missing or damaged, it is made again from the segment.
    /// - Parameter damaged: what is found to be damaged then is added to it.
    func summary(_ number: UInt64, reader: SegmentReader, damaged: inout [Range<UInt64>], logger: Logger) throws -> SegmentSummary {
        let owner = IndexOwner(segment: number, group: reader.journal.group)
        if let summary = try summary(paths.index(number), owner) { return summary }
        logger.notice("\(paths.index(number)) is missing or damaged: it is made again")
        let index = try rebuild(number, reader: reader)
        let lost = reader.damagedRanges()
        damaged += lost
        // What a replica lacks it will have again: an index without it would hide it then.
        if lost.isEmpty || !reader.isReplica { try write(index, group: reader.journal.group) }
        return index.summary
    }

    /// From header and rows alone: entries are looked at when someone reads them. Nil where there are none that can be believed.
    private func summary(_ path: String, _ owner: IndexOwner) throws(IOError) -> SegmentSummary? {
        let file: Int32
        do { file = try blocking.files.open(path, .readDirect) } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
        defer { blocking.files.close(file) }
        do { return try summary(file, owner) } catch {
            if isMediumError(error.code) { return nil }
            throw error
        }
    }

    private func summary(_ file: Int32, _ owner: IndexOwner) throws(IOError) -> SegmentSummary? {
        var image = AlignedBuffer(count: 64 << 10)
        var count = try blocking.read(file, into: image.base, count: image.count, offset: 0)
        guard count >= IndexBlock.bytes, let header = IndexFile.Header(image.base, owner: owner) else { return nil }
        let needed = header.firstEntryBlock * IndexBlock.bytes
        let size = try blocking.files.size(file)
        if needed > image.count, UInt64(needed) <= size {
            image = AlignedBuffer(count: needed)
            count = try blocking.read(file, into: image.base, count: needed, offset: 0)
        }
        return IndexFile.summary(image.base, count: count, owner: owner)
    }

    /// A segment's index from its sound frames.
    func rebuild(_ number: UInt64, reader: SegmentReader) throws -> SegmentIndex {
        try reader.load(number)
        let index = SegmentIndex(segment: number)
        var from = reader.start(of: number)
        while let header = reader.nextSound(from: from, epoch: 0) {
            if header.kind == .batch {
                let batch = reader.memory + reader.offset(of: header.position) + Frame.headerBytes
                index.append(IndexEntry(header, batch: batch), partition: Int(header.partition))
            }
            from = header.end
        }
        return index
    }

    func write(_ index: SegmentIndex, group: UInt16) throws(IOError) {
        try blocking.replace(
            paths.index(index.segment), by: paths.unfinishedIndex(index.segment), in: paths.directory,
            with: IndexFile.image(of: index, owner: IndexOwner(segment: index.segment, group: group)))
    }

    /// What was found may have been written but never synced, and is about to count as durable.
    func sync(_ found: RecoveredJournal) throws(IOError) {
        let from = found.currentSegment > found.firstSegment ? found.currentSegment - 1 : found.currentSegment
        for number in from...found.currentSegment {
            let file = try blocking.files.open(paths.segment(number), .direct)
            defer { blocking.files.close(file) }
            try blocking.sync(file)
        }
    }

    /// Nothing of the journal from the position on can be found again: what comes after it in its segment is zeros, later segments are gone. To
    /// be called before they are read.
    /// - Parameter end: nothing was written behind it.
    func erase(from position: UInt64, end: UInt64, segments: ClosedRange<UInt64>) throws(IOError) {
        let number = segment(of: position)
        for later in segments.reversed() where later > number {
            try? blocking.files.remove(paths.index(later))
            try blocking.files.remove(paths.segment(later))
        }
        guard segments.contains(number) else { return try blocking.syncDirectory(paths.directory) }
        let file = try blocking.files.open(paths.segment(number), .direct)
        defer { blocking.files.close(file) }
        let first = Int(position % UInt64(segmentBytes))
        var from = first / directAlignment * directAlignment
        let last = min(Int(alignedUp(end - number * UInt64(segmentBytes))), segmentBytes)
        let zeros = AlignedBuffer(count: 1 << 20)
        if from < first, from < last {
            try eraseEnd(of: from, keeping: first - from, file)
            from += directAlignment
        }
        while from < last {
            let count = min(zeros.count, last - from)
            try blocking.write(file, from: zeros.base, count: count, offset: UInt64(from))
            from += count
        }
        try blocking.sync(file)
        try blocking.syncDirectory(paths.directory)
    }

    /// A block's end becomes zeros. One that can't be read stays so: what of it is to be kept is unknown, not absent, and the rest of it is not found
    /// again either, unless it can be read later on.
    private func eraseEnd(of block: Int, keeping kept: Int, _ file: Int32) throws(IOError) {
        let image = AlignedBuffer(count: directAlignment)
        var tries = 0
        while true {
            tries += 1
            do throws(IOError) {
                _ = try blocking.read(file, into: image.base, count: directAlignment, offset: UInt64(block))
                break
            } catch {
                guard isMediumError(error.code) else { throw error }
                if tries == JournalFiles.triesABlock { return }
            }
        }
        (image.base + kept).initializeMemory(as: UInt8.self, repeating: 0, count: directAlignment - kept)
        try blocking.write(file, from: image.base, count: directAlignment, offset: UInt64(block))
    }

    func makeSegment(_ number: UInt64) throws(IOError) {
        let zeros = AlignedBuffer(count: 1 << 20)
        let file = try blocking.files.open(paths.unfinishedSegment, .createDirect)
        defer { blocking.files.close(file) }
        try blocking.allocate(file, count: UInt64(segmentBytes))
        for offset in stride(from: 0, to: segmentBytes, by: zeros.count) {
            let count = min(zeros.count, segmentBytes - offset)
            try blocking.write(file, from: zeros.base, count: count, offset: UInt64(offset))
        }
        try blocking.sync(file)
        try blocking.files.rename(paths.unfinishedSegment, to: paths.segment(number))
        try blocking.syncDirectory(paths.directory)
    }

    /// Removes what a crash may have left: index files that are unfinished or of segments that are free, archive files that no catalog knows.
    func removeStrays(_ catalog: ArchiveCatalog) throws(IOError) {
        for name in try blocking.files.list(paths.directory) {
            let isFree = JournalPaths.number(in: name, suffix: ".index").map { $0 < catalog.firstSegment } ?? false
            guard isFree || name.hasSuffix(JournalPaths.unfinishedIndexSuffix) else { continue }
            try blocking.files.remove("\(paths.directory)/\(name)")
        }
        var known = Set<String>()
        for (partition, files) in catalog.files {
            for file in files {
                known.insert(paths.archive(file.key(partition)))
                known.insert(paths.archiveIndex(file.key(partition)))
            }
        }
        for name in try blocking.files.list(paths.archive) where !known.contains("\(paths.archive)/\(name)") {
            try blocking.files.remove("\(paths.archive)/\(name)")
        }
    }
}
