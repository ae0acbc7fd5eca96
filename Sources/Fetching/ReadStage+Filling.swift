// Unsafe on purpose: it copies batches from the journal's memory, and from windows of its files, into answers.

import Glibc
import IO
import Journal
import Responses
import Wire

/// A batch that is read from disk piece by piece, and checked when it is whole.
struct ColdBatch {
    let entry: IndexEntry
    let target: UnsafeMutableRawPointer
    var header: [UInt8] = Array(repeating: 0, count: Frame.headerBytes)
    /// How much of frame and batch is there.
    var done = 0

    init(_ entry: IndexEntry, target: UnsafeMutableRawPointer) {
        self.entry = entry
        self.target = target
    }
}

enum Filled {
    case done
    case loading
    case failed
}

extension ReadStage {
    /// Brings the batches into the answer, from where it stopped last time.
    mutating func fill(_ job: FetchJob) -> Filled {
        while job.partition < job.partitions.count {
            while job.entry < job.partitions[job.partition].entries.count {
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
            if let slot = cache.pin(segment: cache.segment(of: entry.position)) {
                target.copyMemory(from: cache.base(slot: slot) + offset, byteCount: Int(entry.bytes))
                cache.unpin(slot: slot)
                return .done
            }
            job.coldBatch = ColdBatch(entry, target: target)
        }
        let filled = read(&job.coldBatch!, group: group)
        switch filled {
        case .done: job.coldBatch = nil
        case .loading: break
        case .failed:
            let partition = job.partitions[job.partition]
            logger.error(
                "\(job.topicNames[partition.topic])-\(partition.partition): the batch at offset \(entry.baseOffset), position \(entry.position), can't be read or is damaged")
            job.partitions[job.partition].fail(.kafkaStorageError)
        }
        return filled
    }

    /// Goes on reading a batch from the segment's file; checks it when it is whole.
    mutating func read(_ batch: inout ColdBatch, group: Int) -> Filled {
        let cache = groups[group].cache
        let file = ColdFile(.segment, group: UInt16(group), number: cache.segment(of: batch.entry.position))
        let whole = Frame.headerBytes + Int(batch.entry.bytes)
        while batch.done < whole {
            switch cold.bytes(file, offset: UInt64(cache.offset(of: batch.entry.position) + batch.done)) {
            case .loading: return .loading
            case .failed: return .failed
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
        let target = batch.target
        let position = batch.entry.position
        let isSound = batch.header.withUnsafeBytes { header in
            if case .success(let read) = FrameHeader.read(
                header: header.baseAddress!, payload: UnsafeRawPointer(target), available: whole, position: position)
            {
                return Int(read.length) == whole && read.group == UInt16(group)
            }
            return false
        }
        return isSound ? .done : .failed
    }
}
