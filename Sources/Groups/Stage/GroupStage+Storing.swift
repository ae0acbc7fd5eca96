import Codecs
import Journal
import Responses
import Wire

// What the log of a partition says, and what is put there.
extension GroupStage {
    private static let fetchVersion: Int16 = 11
    private static let fetchBytes: Int32 = 4 << 20
    private static let sentAtMost = 8
    /// What can't be read is asked for again after so many nanoseconds; sooner where the read stage has not heard yet that this broker leads.
    private static let patience: UInt64 = 1_000_000_000
    private static let pause: UInt64 = 1_000_000
    /// What was said to be damaged so often in a row is: a drive may fail to read for a moment.
    private static let refusalsAtMost = 5

    // MARK: Leading

    /// Begins to coordinate the partition group's where this broker has begun to lead, and ends where it leads no more. Returns how many have changed.
    mutating func followLeader(of group: Int) -> Int {
        let epoch = isDraining ? 0 : positions[group].serving.load()
        guard epoch != followed[group] else { return 0 }
        followed[group] = epoch
        let partitions = shards.indices.filter { Int(shards[$0].place.group) == group }
        for partition in partitions {
            giveUp(partition, .notCoordinator)
            if epoch > 0 { beginLoading(partition, from: .snapshot) }
        }
        return partitions.count
    }

    /// What is read first.
    enum LoadSource {
        /// Where there is none, the log.
        case snapshot
        case log
    }

    mutating func beginLoading(_ partition: Int, from source: LoadSource) {
        shards[partition].begin(.loading, limits: settings.limits)
        busy.insert(partition)
        if source == .snapshot { readSnapshot(partition) }
    }

    /// Reads on in what is committed, while it is loading.
    mutating func load(_ partition: Int) -> Int {
        // What was sent before may be committed later than what is read now.
        guard shards[partition].state == .loading, shards[partition].fetch == nil, shards[partition].sent.isEmpty, !shards[partition].awaitsSnapshot,
            now.monotonic >= shards[partition].loadsFrom
        else { return 0 }
        if shards[partition].snapshot != nil { return applySnapshot(partition) }
        var part = FetchRequest.Partition()
        part.partition = shards[partition].partition
        part.fetchOffset = shards[partition].shard.nextOffset
        part.partitionMaxBytes = GroupStage.fetchBytes
        var topic = FetchRequest.Topic()
        topic.topic = TopicName.consumerOffsets
        topic.partitions = [part]
        var request = FetchRequest()
        request.maxBytes = GroupStage.fetchBytes
        request.topics = [topic]
        do {
            shards[partition].fetch = try client.read(request, version: GroupStage.fetchVersion, now: now.monotonic)
        } catch {
            logger.error("\(name(partition)) can't be asked for: \(error.reason)")
        }
        return shards[partition].fetch == nil ? 0 : 1
    }

    func name(_ partition: Int) -> String { "\(TopicName.consumerOffsets)-\(partition)" }

    // MARK: What comes back

    mutating func takeOutcomes() -> Int {
        var produced: [(UInt32, LocalClient.Outcome)] = []
        var read: [(UInt32, [UInt8])] = []
        let count = client.take(produced: { produced.append(($0, $1)) }, read: { read.append(($0, $1)) })
        for (ticket, frame) in read {
            guard let partition = shards.firstIndex(where: { $0.fetch == ticket }) else { continue }
            shards[partition].fetch = nil
            take(frame, partition)
        }
        for (ticket, outcome) in produced {
            guard let partition = shards.firstIndex(where: { $0.sent.contains { $0.ticket == ticket } }),
                let place = shards[partition].sent.firstIndex(where: { $0.ticket == ticket })
            else { continue }
            finish(shards[partition].sent.remove(at: place).batch, outcome, partition)
        }
        return count
    }

    private mutating func take(_ frame: [UInt8], _ partition: Int) {
        do {
            let response = try FetchResponse.decode(frame[LocalClient.headerBytes...], version: GroupStage.fetchVersion)
            guard let part = response.topics.first?.partitions.first else { throw WireError("a Fetch's answer without its partition") }
            switch part.errorCode {
            case .none: break
            // What was deleted from the log's beginning was deleted by nobody's wish but an operator's.
            case .offsetOutOfRange where part.logStartOffset > shards[partition].shard.nextOffset:
                return shards[partition].shard.advance(to: part.logStartOffset)
            // The log has lost what it had: the snapshot tells of another.
            case .offsetOutOfRange where shards[partition].snapshotMadeAt < .max: return beginLoading(partition, from: .log)
            case .notLeaderOrFollower: return shards[partition].loadsFrom = now.monotonic + GroupStage.pause
            case .corruptMessage: return try passOver(partition)
            default: throw WireError("\(part.errorCode)")
            }
            tellOfPassing(partition)
            try take(records: part.records ?? [], partition)
            if shards[partition].shard.nextOffset >= part.highWatermark { serve(partition) }
        } catch {
            // Nobody could say what is missing: what a group has committed would go back.
            shards[partition].loadsFrom = now.monotonic + GroupStage.patience
            let reason = (error as? WireError)?.reason ?? "\(error)"
            logger.error("\(name(partition)) can't be read from offset \(shards[partition].shard.nextOffset) on, trying again: \(reason)")
        }
    }

    private mutating func take(records bytes: [UInt8], _ partition: Int) throws {
        var rest = bytes[...]
        var changes = 0
        defer { noteChanges(changes, partition) }
        while let batch = try RecordBatch.takeNext(&rest) {
            let header = try batch.withUnsafeBytes { try RecordBatchHeader(checking: $0) }
            for record in try RecordBatch.records(of: Array(batch)) where record.offset >= shards[partition].shard.nextOffset {
                if let known = try GroupRecord(record) { shards[partition].shard.apply(known, keepsMembers: false, wall: record.timestamp) }
                changes += 1
            }
            shards[partition].shard.advance(to: try header.nextOffset())
        }
    }

    /// What stands next is damaged, and nobody can mend it.
    private mutating func passOver(_ partition: Int) throws(WireError) {
        shards[partition].refusals += 1
        guard settings.skipsDamaged else { throw WireError("it is damaged (offsets.skip.damaged=true serves the groups without it)") }
        guard shards[partition].refusals >= GroupStage.refusalsAtMost else { throw WireError("it is damaged") }
        let next = shards[partition].shard.nextOffset
        shards[partition].skipped = (shards[partition].skipped?.lowerBound ?? next)..<next + 1
        shards[partition].shard.advance(to: next + 1)
    }

    /// What stands next is sound.
    private mutating func tellOfPassing(_ partition: Int) {
        shards[partition].refusals = 0
        guard let skipped = shards[partition].skipped else { return }
        shards[partition].skipped = nil
        logger.error(
            "\(name(partition)): offsets \(skipped.lowerBound) to \(skipped.upperBound - 1) are damaged: what groups had committed there is forgotten, as offsets.skip.damaged says")
        // So that the next start does not depend on the setting.
        noteChanges(max(settings.snapshotChanges, shards[partition].snapshotRecords), partition)
    }

    private mutating func serve(_ partition: Int) {
        shards[partition].state = .serving
        for id in shards[partition].shard.entries.keys { change(partition, id) { $0.resume($1) } }
        // What was due while it was loading.
        noteChanges(0, partition)
    }

    // MARK: Storing

    /// Puts records into the log, with others that come in the same step.
    mutating func store(_ records: [GroupRecord], _ completion: StoreCompletion, _ partition: Int) {
        unstored += 1
        busy.insert(partition)
        let table = table
        let maxBytes = table.topic(named: TopicName.consumerOffsets)?.settings.maxMessageBytes ?? 1 << 20
        do {
            try shards[partition].store(records, completion, maxBytes: maxBytes, wall: now.wall) { table.topic(named: $0)?.id }
        } catch {
            complete(completion, .unknownServerError, partition, life: shards[partition].life)
        }
    }

    /// What has become of records that were on their way is known. Offsets of topics that have gone meanwhile are taken back.
    mutating func end(_ records: [GroupRecord], isOwn: Bool, _ partition: Int) {
        guard isOwn else { return }
        let table = table
        let orphans = shards[partition].shard.end(records) { table.topic(named: $0)?.id }
        if !orphans.isEmpty, shards[partition].state == .serving { store(orphans, .nothing, partition) }
    }

    /// Each part of what was asked for together is known to be stored, or not.
    mutating func complete(_ batch: StoredBatch, _ error: ErrorCode, _ partition: Int) {
        for part in batch.completions {
            part.missing -= 1
            if part.error == .none { part.error = error }
            if part.missing == 0 { complete(part.completion, part.error, partition, life: batch.life) }
        }
    }

    /// Sends what has gathered.
    mutating func send(_ partition: Int) -> Int {
        var count = 0
        while shards[partition].sent.count < GroupStage.sentAtMost, let batch = shards[partition].outgoing.first {
            do {
                var part = ProduceRequest.Partition()
                part.index = shards[partition].partition
                part.records = try RecordBatch.build(batch.encoded)
                var topic = ProduceRequest.Topic()
                topic.name = TopicName.consumerOffsets
                topic.partitions = [part]
                var request = ProduceRequest()
                request.acks = -1
                request.topics = [topic]
                guard let ticket = try client.produce(request, group: Int(shards[partition].place.group), now: now.monotonic) else { break }
                shards[partition].outgoing.removeFirst()
                shards[partition].sent.append((ticket, batch))
            } catch {
                logger.error("\(name(partition)): records that can't be encoded: \((error as? WireError)?.reason ?? "\(error)")")
                shards[partition].outgoing.removeFirst()
                finish(batch, .refused(.unknownServerError), partition)
            }
            count += 1
        }
        return count
    }

    private mutating func finish(_ batch: StoredBatch, _ outcome: LocalClient.Outcome, _ partition: Int) {
        let isOwn = batch.life == shards[partition].life
        let error: ErrorCode
        switch outcome {
        case .appended(let first):
            error = .none
            if isOwn {
                for record in batch.records { shards[partition].shard.apply(record, keepsMembers: true, wall: now.wall) }
                shards[partition].shard.advance(to: first + Int64(batch.records.count))
                noteChanges(batch.records.count, partition)
                end(batch.records, isOwn: true, partition)
            }
        case .refused(let code), .unknown(let code):
            error = GroupStage.told(code)
            end(batch.records, isOwn: isOwn, partition)
        }
        complete(batch, error, partition)
        // It may be in the log or not: that is read again.
        if case .unknown = outcome, isOwn, followed[Int(shards[partition].place.group)] > 0 {
            giveUp(partition, .notCoordinator)
            beginLoading(partition, from: .snapshot)
        }
    }

    /// What clients of groups are told of a Produce's failure, as Kafka tells them.
    private static func told(_ error: ErrorCode) -> ErrorCode {
        switch error {
        case .notLeaderOrFollower, .kafkaStorageError: .notCoordinator
        case .notEnoughReplicas, .notEnoughReplicasAfterAppend, .unknownTopicOrPartition, .requestTimedOut: .coordinatorNotAvailable
        case .messageTooLarge, .recordListTooLarge, .invalidFetchSize: .invalidCommitOffsetSize
        default: .unknownServerError
        }
    }

    /// - Parameter life: of the shard that asked.
    private mutating func complete(_ completion: StoreCompletion, _ error: ErrorCode, _ partition: Int, life: UInt64) {
        unstored -= 1
        switch completion {
        case .commit(let caller, var response):
            if error != .none { for topic in response.topics.indices { response.topics[topic].partitions.refuseRest(error) } }
            answer(response, caller)
        case .deleteOffsets(let caller, var response):
            if error != .none { for topic in response.topics.indices { response.topics[topic].partitions.refuseRest(error) } }
            answer(response, caller)
        case .deleteGroup(let job, let index):
            if error != .none { job.response.results[index].errorCode = error }
            finish(job)
        case .group(let id, let number):
            guard life == shards[partition].life else { return }
            change(partition, id) { $0.stored(number, error, now: $1) }
        case .nothing:
            if error != .none { logger.warning("\(name(partition)): what takes offsets back that nobody needs any more can't be stored: \(error.name); it is tried again later") }
        }
    }

    /// One more of its groups' outcomes is known.
    mutating func finish(_ job: DeletedGroups) {
        job.open -= 1
        if job.open == 0 { answer(job.response, job.caller) }
    }
}

/// What became of a part of a request.
private protocol PartialOutcome {
    var errorCode: ErrorCode { get set }
}

extension OffsetCommitResponse.Partition: PartialOutcome {}
extension OffsetDeleteResponse.Partition: PartialOutcome {}

extension Array where Element: PartialOutcome {
    /// Nothing comes of those that were not refused before.
    fileprivate mutating func refuseRest(_ error: ErrorCode) {
        for index in indices where self[index].errorCode == .none { self[index].errorCode = error }
    }
}
