// Unsafe on purpose: it reads batches from the journal's memory to look into their records.

import Codecs
import Intake
import Journal
import Metadata
import Responses
import Wire

extension ReadStage {
    /// Goes on with the request; answers it, or leaves it to wait for the disk.
    mutating func advance(_ job: ListOffsetsJob) {
        for index in job.partitions.indices where !job.partitions[index].isDone {
            guard let place = job.partitions[index].place else { continue }
            if let error = refusal(by: place.group, epoch: job.partitions[index].asked.currentLeaderEpoch) {
                job.partitions[index].fail(error)
                continue
            }
            job.partitions[index].answer.leaderEpoch = Int32(truncatingIfNeeded: serving[Int(place.group)])
            guard search(&job.partitions[index], place) else { return searches.append(.listOffsets(job)) }
        }
        answer(job.response, job.request, io: job.io)
    }

    /// False where it must wait for the disk.
    private mutating func search(_ partition: inout ListOffsetsJob.Partition, _ place: PartitionPlace) -> Bool {
        while !partition.isDone {
            let goesOn = partition.entry == nil ? findBatch(&partition, place) : findRecord(&partition, place)
            guard goesOn else { return false }
        }
        return true
    }

    /// Finds the batch to look into, or the answer; false where it must wait for the disk.
    private mutating func findBatch(_ partition: inout ListOffsetsJob.Partition, _ place: PartitionPlace) -> Bool {
        let time = partition.asked.timestamp
        switch time {
        case ListOffsetsRequest.Timestamp.latest:
            partition.finish(offset: indexes[Int(place.group)].highWatermark(place.number), timestamp: -1)
            return true
        case ListOffsetsRequest.Timestamp.earliest, ListOffsetsRequest.Timestamp.earliestLocal:
            partition.finish(offset: indexes[Int(place.group)].logStart(place.number), timestamp: -1)
            return true
        case ListOffsetsRequest.Timestamp.max:
            if partition.wanted == nil {
                let group = Int(place.group)
                let start = indexes[group].logStart(place.number)
                partition.wanted = indexes[group].units(place.number).filter { $0.endOffset > start }.map(\.maxTimestamp).max()
            }
            return searchTime(&partition, place)
        case 0...:
            partition.wanted = time
            return searchTime(&partition, place)
        default:
            partition.fail(.unsupportedVersion)
            return true
        }
    }

    /// The first batch that has a record with the wanted timestamp or a later one. Only units that have one are read, and timestamps
    /// need not grow, so within them it is entry after entry.
    private mutating func searchTime(_ partition: inout ListOffsetsJob.Partition, _ place: PartitionPlace) -> Bool {
        let group = Int(place.group)
        guard let wanted = partition.wanted else {
            partition.finish(offset: -1, timestamp: -1)
            return true
        }
        var from = max(partition.scannedTo, indexes[group].logStart(place.number))
        for unit in indexes[group].units(place.number) where unit.endOffset > from && unit.maxTimestamp >= wanted {
            from = max(from, unit.startOffset)
            while from < unit.endOffset {
                partition.scannedTo = from
                switch indexes[group].lookup(place.number, unit, from, &cold) {
                case .loading: return false
                case .failed:
                    noteIndexFailure(partition: place.number, offset: from, group)
                    partition.fail(.kafkaStorageError)
                    return true
                case .entries(let entries):
                    if let found = entries.first(where: { $0.maxTimestamp >= wanted }) {
                        partition.entry = found
                        return true
                    }
                    from = entries.last?.nextOffset ?? unit.endOffset
                }
            }
        }
        partition.finish(offset: -1, timestamp: -1)
        return true
    }

    /// Reads the batch, and finds the first record in it that is late enough and not deleted; else the search goes on behind it.
    /// False where it must wait for the disk.
    private mutating func findRecord(_ partition: inout ListOffsetsJob.Partition, _ place: PartitionPlace) -> Bool {
        guard let entry = partition.entry else { return true }
        let group = Int(place.group)
        let cache = groups[group].cache
        let wanted = partition.wanted ?? entry.maxTimestamp
        if partition.batch == nil, !entry.isArchived, let slot = cache.pin(segment: cache.segment(of: entry.position)) {
            defer { cache.unpin(slot: slot) }
            let base = cache.base(slot: slot) + cache.offset(of: entry.position) + Frame.headerBytes
            finish(&partition, place, UnsafeRawBufferPointer(start: base, count: Int(entry.bytes)), wanted)
            return true
        }
        guard let (filled, batch) = readWhole(&partition.batch, of: entry, place) else { return false }
        defer { batch.target.deallocate() }
        switch filled {
        case .done: finish(&partition, place, UnsafeRawBufferPointer(start: batch.target, count: Int(entry.bytes)), wanted)
        case .moved: partition.entry = nil
        case .unavailable: partition.fail(.kafkaStorageError)
        case .failed, .loading: partition.fail(isMendable(entry, group) ? .kafkaStorageError : .corruptMessage)
        }
        return true
    }

    private func finish(
        _ partition: inout ListOffsetsJob.Partition, _ place: PartitionPlace, _ batch: UnsafeRawBufferPointer, _ wanted: Int64
    ) {
        do {
            let start = indexes[Int(place.group)].logStart(place.number)
            let records = try RecordBatch.records(of: batch)
            guard let record = records.first(where: { $0.timestamp >= wanted && $0.offset >= start }) else {
                partition.scannedTo = partition.entry!.nextOffset
                partition.entry = nil
                return
            }
            partition.finish(offset: record.offset, timestamp: record.timestamp)
        } catch {
            partition.fail(.corruptMessage)
        }
    }
}
