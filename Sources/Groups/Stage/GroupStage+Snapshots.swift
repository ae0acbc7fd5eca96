import Metadata
import Wire

// Snapshots of shards, so that who begins to coordinate groups need not read all that was ever committed.
extension GroupStage {
    private static let recordsAStep = 2000
    /// A snapshot that waits for what it says to be committed is looked at again after so many nanoseconds.
    private static let pause: UInt64 = 10_000_000

    /// How long a snapshot may be used, in milliseconds: in what is read after it a record that takes something back would be missing once it has been compacted away. Half of the time
    /// after which that may happen, for clocks are not to be trusted.
    private var snapshotLasts: Int64 { (table.topic(named: TopicName.consumerOffsets)?.settings.compaction.deleteRetentionMs ?? 0) / 2 }

    // MARK: Reading

    /// Begins to read the shard's snapshot.
    mutating func readSnapshot(_ partition: Int) {
        guard let topicId else { return }
        shards[partition].awaitsSnapshot = snapshots.read(
            shards[partition].partition, of: topicId, group: Int(shards[partition].place.group), life: shards[partition].life)
    }

    private mutating func take(_ reader: ShardSnapshotReader?, _ partition: Int) {
        shards[partition].awaitsSnapshot = false
        busy.insert(partition)
        guard let reader else { return logger.notice("the snapshot of \(name(partition)) can't be read: all of its log is") }
        let age = now.wall - reader.header.madeAt
        guard reader.header.topic == topicId, reader.header.partition == shards[partition].partition, abs(age) < snapshotLasts else { return }
        shards[partition].snapshot = reader
    }

    /// Takes in a part of the snapshot. Returns how many records.
    mutating func applySnapshot(_ partition: Int) -> Int {
        guard var reader = shards[partition].snapshot else { return 0 }
        // There is one reader, here.
        shards[partition].snapshot = nil
        var count = 0
        do {
            while !reader.isAtEnd, count < GroupStage.recordsAStep {
                if let record = try reader.next() { shards[partition].shard.apply(record, keepsMembers: false, wall: reader.header.madeAt) }
                count += 1
            }
        } catch {
            logger.error("the snapshot of \(name(partition)): \(error.reason): all of its log is read")
            beginLoading(partition, from: .log)
            return 1
        }
        if reader.isAtEnd {
            shards[partition].shard.advance(to: reader.header.nextOffset)
            shards[partition].noteSnapshot(records: reader.recordCount, madeAt: reader.header.madeAt)
            logger.debug("\(name(partition)): a snapshot of \(reader.recordCount) records, up to offset \(reader.header.nextOffset)")
        } else {
            shards[partition].snapshot = reader
        }
        return count + 1
    }

    // MARK: Writing

    /// Takes note that the shard has changed so often.
    mutating func noteChanges(_ count: Int, _ partition: Int) {
        shards[partition].changes += count
        // As many as the snapshot has records: each change is written at most once more than it was, and a start reads at most twice what there is.
        if shards[partition].changes >= max(settings.snapshotChanges, shards[partition].snapshotRecords) { dueSnapshots.insert(partition) }
    }

    /// Snapshots that will be too old some day are made anew in time.
    mutating func renewSnapshots() {
        for partition in shards.indices where shards[partition].state == .serving && !shards[partition].shard.entries.isEmpty {
            if now.wall - shards[partition].snapshotMadeAt > snapshotLasts / 2 { dueSnapshots.insert(partition) }
        }
    }

    mutating func keepSnapshots() -> Int {
        var count = snapshots.proceed(positions, isEnding: isDraining)
        for event in snapshots.takeEvents() {
            count += 1
            switch event {
            case .read(let number, let topic, let life, let reader):
                guard topic == topicId, shards[Int(number)].life == life else { continue }
                take(reader, Int(number))
            case .written(let order, let records):
                guard order.topic == topicId else { continue }
                shards[Int(order.partition)].noteSnapshot(records: records, madeAt: order.madeAt)
            case .failed(let order, let reason): logger.error("the snapshot of \(TopicName.consumerOffsets)-\(order.partition) can't be written: \(reason)")
            }
        }
        guard snapshots.isFree, !isDraining, let partition = dueSnapshots.min() else { return count }
        dueSnapshots.remove(partition)
        let group = Int(shards[partition].place.group)
        guard let topicId, shards[partition].state == .serving, followed[group] > 0, snapshotLasts > 0 else { return count }
        let order = ShardSnapshots.Order(
            partition: shards[partition].partition, topic: topicId, group: group, epoch: followed[group], position: positions[group].appended.load(),
            madeAt: now.wall)
        // Whatever becomes of it, the next is made after as many changes more.
        shards[partition].changes = 0
        snapshots.write(shards[partition].shard, order)
        return count + 1
    }

    /// When a snapshot wants to be looked at.
    var snapshotDeadline: UInt64 { snapshots.isWaiting ? now.monotonic + GroupStage.pause : .max }
}
