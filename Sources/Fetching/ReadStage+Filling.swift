// Unsafe on purpose: it copies batches from the journal's memory, and from windows of its files, into answers.

import Glibc
import IO
import Journal
import Metadata
import Responses
import Wire

/// A batch that is read from disk piece by piece, and checked when it is whole.
struct ColdBatch {
    let entry: IndexEntry
    let target: UnsafeMutableRawPointer
    var header: [UInt8] = Array(repeating: 0, count: Frame.headerBytes)
    /// How much of frame and batch is there.
    var done = 0
    /// It was damaged the first time, and is read once more.
    var isSecond = false
    let partition: UInt32

    init(_ entry: IndexEntry, partition: UInt32, target: UnsafeMutableRawPointer) {
        self.entry = entry
        self.partition = partition
        self.target = target
    }

    /// Where its frame was put into the journal, once the header is there: an archived frame keeps the position that it had.
    var position: UInt64 {
        guard entry.isArchived else { return entry.position }
        return header.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) }
    }
}

enum Filled {
    case done
    case loading
    /// What the batch's place was then is free now: it is to be looked up again.
    case moved
    /// It can't be read now: for want of descriptors or memory, say.
    case unavailable
    /// The drive can't read it, or it is damaged.
    case failed
}

extension ReadStage {
    /// Brings the batches into the answer, from where it stopped last time.
    mutating func fill(_ job: FetchJob) -> Filled {
        while job.partition < job.partitions.count {
            while job.entry < job.partitions[job.partition].entries.count {
                if job.coldBatch == nil && fillCached(job) { continue }
                let filled = fillBatch(job)
                if filled != .done { return filled }
                job.entry += 1
            }
            job.entry = 0
            job.partition += 1
            job.putHead(job.partition)
        }
        // A fetch without partitions has a single piece, which stands already.
        return .done
    }

    /// Copies the next batches that are in one segment of the journal cache, at one go. False where there are none.
    private func fillCached(_ job: FetchJob) -> Bool {
        guard let place = job.partitions[job.partition].place else { return false }
        let entries = job.partitions[job.partition].entries[job.entry...].prefix(job.copiedAhead)
        guard let first = entries.first, !first.isArchived else { return false }
        let cache = groups[Int(place.group)].cache
        let segment = cache.segment(of: first.position)
        guard let slot = cache.pin(segment: segment) else { return false }
        let end = (segment + 1) * UInt64(cache.segmentBytes)
        // What is archived has a position beyond all segments.
        let run = entries.prefix { $0.position < end }
        var target = job.answer!.reserve(run.reduce(0) { $0 + Int($1.bytes) })
        let base = cache.base(slot: slot) + Frame.headerBytes
        let start = segment * UInt64(cache.segmentBytes)
        for entry in run {
            target.copyMemory(from: base + Int(entry.position - start), byteCount: Int(entry.bytes))
            target += Int(entry.bytes)
        }
        cache.unpin(slot: slot)
        job.skip(run.count)
        job.entry += run.count
        return true
    }

    private mutating func fillBatch(_ job: FetchJob) -> Filled {
        let entry = job.partitions[job.partition].entries[job.entry]
        guard let place = job.partitions[job.partition].place else { preconditionFailure("batches have a place") }
        let group = Int(place.group)
        let cache = groups[group].cache
        if job.coldBatch == nil {
            let offset = cache.offset(of: entry.position) + Frame.headerBytes
            if let slot = job.nextSlot() {
                let bytes = UnsafeRawBufferPointer(start: cache.base(slot: slot) + offset, count: Int(entry.bytes))
                job.answer!.append(pinned: bytes, cache: cache, slot: slot)
                return .done
            }
            let target = job.answer!.reserve(Int(entry.bytes))
            if !entry.isArchived, let slot = cache.pin(segment: cache.segment(of: entry.position)) {
                target.copyMemory(from: cache.base(slot: slot) + offset, byteCount: Int(entry.bytes))
                cache.unpin(slot: slot)
                return .done
            }
            job.coldBatch = ColdBatch(entry, partition: place.number, target: target)
        }
        let filled = read(&job.coldBatch!, group: group)
        switch filled {
        case .done: job.coldBatch = nil
        case .loading, .moved: break
        case .unavailable: job.stop(job.partition, .kafkaStorageError)
        case .failed:
            if isMendable(entry, group) {
                job.stop(job.partition, .kafkaStorageError)
                return .unavailable
            }
            logger.error(
                "\(job.name(job.partition)): the batch of offsets \(entry.baseOffset) to \(entry.nextOffset - 1) can't be read or is damaged: whoever asks for it is refused")
            job.stop(job.partition, .corruptMessage, damaged: entry.baseOffset)
        }
        return filled
    }

    /// Whether others may have what can't be read here: then it will be there later.
    mutating func isMendable(_ entry: IndexEntry, _ group: Int) -> Bool {
        guard !entry.isArchived, let suspect = groups[group].suspect else { return false }
        let cache = groups[group].cache
        let offset = UInt64(cache.offset(of: entry.position))
        cold.forget(
            .segment(group: UInt16(group), number: cache.segment(of: entry.position)), offset..<offset + UInt64(Frame.headerBytes) + UInt64(entry.bytes))
        suspect(entry.position)
        return true
    }

    /// Where a batch is on disk; nil: no longer where its entry says.
    private func place(_ batch: ColdBatch, group: Int) -> (ColdFile, UInt64)? {
        let entry = batch.entry
        if entry.isArchived {
            guard let file = indexes[group].archiveFile(batch.partition, of: entry) else { return nil }
            return (file, entry.archiveOffset)
        }
        let cache = groups[group].cache
        let segment = cache.segment(of: entry.position)
        guard segment >= indexes[group].catalog.firstSegment else { return nil }
        return (.segment(group: UInt16(group), number: segment), UInt64(cache.offset(of: entry.position)))
    }

    /// Goes on reading a batch from its file; checks it when it is whole. What is damaged is read once more.
    mutating func read(_ batch: inout ColdBatch, group: Int) -> Filled {
        guard let (file, offset) = place(batch, group: group) else { return .moved }
        let whole = Frame.headerBytes + Int(batch.entry.bytes)
        while batch.done < whole {
            switch cold.bytes(file, offset: offset + UInt64(batch.done), isInOrder: true) {
            case .loading: return .loading
            case .failed(let code):
                if batch.isSecond { return isMediumError(code) ? .failed : .unavailable }
                batch.isSecond = true
                batch.done = 0
            case .ready(let bytes):
                let inHeader = batch.done < Frame.headerBytes
                let count = min(bytes.count, (inHeader ? Frame.headerBytes : whole) - batch.done)
                if inHeader {
                    batch.header.withUnsafeMutableBytes {
                        ($0.baseAddress! + batch.done).copyMemory(from: bytes.baseAddress!, byteCount: count)
                    }
                } else {
                    (batch.target + batch.done - Frame.headerBytes).copyMemory(from: bytes.baseAddress!, byteCount: count)
                }
                batch.done += count
            }
        }
        if isSound(batch, whole, groups[group]) { return .done }
        if batch.isSecond { return .failed }
        cold.forget(file, offset..<offset + UInt64(whole))
        batch.isSecond = true
        batch.done = 0
        return read(&batch, group: group)
    }

    /// Goes on reading the batch of an entry into memory of its own; `batch` keeps it meanwhile. Nil: it must wait for the disk. In the end the batch is the
    /// caller's, who gives its memory back, whatever came of it.
    mutating func readWhole(_ batch: inout ColdBatch?, of entry: IndexEntry, _ place: PartitionPlace) -> (filled: Filled, batch: ColdBatch)? {
        if batch == nil {
            batch = ColdBatch(entry, partition: place.number, target: .allocate(byteCount: Int(entry.bytes), alignment: 16))
        }
        let filled = read(&batch!, group: Int(place.group))
        guard filled != .loading, let read = batch.take() else { return nil }
        return (filled, read)
    }

    /// Whether it is the frame that its entry speaks of, undamaged; not one of an earlier epoch that had been cut off there, and that
    /// a lost write has brought back.
    private func isSound(_ batch: ColdBatch, _ whole: Int, _ group: ReadGroup) -> Bool {
        batch.header.withUnsafeBytes { header in
            let position = batch.position
            let read = FrameHeader.read(
                header: header.baseAddress!, payload: UnsafeRawPointer(batch.target), available: whole, position: position,
                of: group.identity)
            guard case .success(let frame) = read else { return false }
            return frame.epoch >= group.epochs.least(at: position) && Int(frame.length) == whole && frame.kind == .batch
                && frame.partition == batch.partition && IndexEntry(frame, batch: batch.target).baseOffset == batch.entry.baseOffset
        }
    }
}
