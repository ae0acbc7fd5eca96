// Unsafe on purpose: a batch that is read from an archive has memory of its own, which is given back here.

import Journal
import Metadata
import Responses
import Wire

extension ReadStage {
    /// Goes on with the request; answers it, or leaves it to wait for the disk.
    mutating func advance(_ job: EpochEndJob) {
        for index in job.partitions.indices where !job.partitions[index].isDone {
            guard let place = job.partitions[index].place else { continue }
            if let error = refusal(by: place.group, epoch: job.partitions[index].asked.currentLeaderEpoch) {
                job.partitions[index].fail(error)
                continue
            }
            guard search(&job.partitions[index], place) else { return searches.append(.epochEnds(job)) }
        }
        answer(job.response, job.request, io: job.io)
    }

    /// False where it must wait for the disk.
    private mutating func search(_ partition: inout EpochEndJob.Partition, _ place: PartitionPlace) -> Bool {
        if partition.search == nil { begin(&partition, place) }
        while !partition.isDone, let search = partition.search {
            guard search.low < search.high else {
                partition.finish(endOffset: search.high)
                break
            }
            guard halve(search, &partition, place) else { return false }
        }
        return true
    }

    /// As Kafka defines it (KIP-101): of an epoch that the log does not have, the end is where the next later one begins; of the newest one it
    /// is the log's end, and of one that is newer than that nothing is known. Clients see the log up to the high watermark.
    private func begin(_ partition: inout EpochEndJob.Partition, _ place: PartitionPlace) {
        let group = Int(place.group)
        let starts = groups[group].epochs.starts
        guard let asked = UInt32(exactly: partition.asked.leaderEpoch), let newest = starts.last?.epoch, asked <= newest else {
            return partition.finish(endOffset: -1)
        }
        let next = starts.firstIndex(bisecting: { $0.epoch > asked })
        partition.answer.leaderEpoch = next > 0 ? Int32(truncatingIfNeeded: starts[next - 1].epoch) : partition.asked.leaderEpoch
        guard next < starts.count else { return partition.finish(endOffset: indexes[group].highWatermark(place.number)) }
        let (low, high) = indexes[group].offsets(place.number, around: starts[next].position)
        partition.search = EpochEndJob.Search(position: starts[next].position, low: low, high: high)
    }

    /// Looks at one batch between the offsets that are left; false where it must wait for the disk.
    private mutating func halve(_ known: EpochEndJob.Search, _ partition: inout EpochEndJob.Partition, _ place: PartitionPlace) -> Bool {
        let group = Int(place.group)
        let middle = known.low + (known.high - known.low) / 2
        switch indexes[group].lookup(partition: place.number, offset: middle, cold: &cold) {
        case .loading: return false
        case .failed:
            noteIndexFailure(partition: place.number, offset: middle, group)
            partition.fail(.kafkaStorageError)
        case .entries(let entries):
            // Where damage has left a gap, it is the next one.
            guard let entry = entries.first, entry.baseOffset < known.high else {
                partition.search!.high = middle
                return true
            }
            switch position(of: entry, &partition, place) {
            case .loading: return false
            case .moved: break
            case .unavailable: partition.fail(.kafkaStorageError)
            case .failed: partition.fail(.corruptMessage)
            case .found(let position) where position < known.position: partition.search!.low = min(entry.nextOffset, known.high)
            case .found: partition.search!.high = max(min(entry.baseOffset, middle), known.low)
            }
        }
        return true
    }

    private enum FramePosition {
        case found(UInt64)
        case loading
        /// It is to be looked up again.
        case moved
        case unavailable
        case failed
    }

    /// Where the batch's frame was put into the journal. The index knows it of what still is there; of what was archived the frame tells.
    private mutating func position(
        of entry: IndexEntry, _ partition: inout EpochEndJob.Partition, _ place: PartitionPlace
    ) -> FramePosition {
        guard entry.isArchived else { return .found(entry.position) }
        guard let (filled, batch) = readWhole(&partition.batch, of: entry, place) else { return .loading }
        batch.target.deallocate()
        switch filled {
        case .done: return .found(batch.position)
        case .moved: return .moved
        case .unavailable: return .unavailable
        case .failed, .loading: return .failed
        }
    }
}
