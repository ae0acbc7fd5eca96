import Broker
import Codecs
import Host
import IO
import Replication
import Wire

extension ClusterSimulation {
    /// Who serves the partition in the highest epoch, and in which.
    func leader(of model: PartitionModel) -> (broker: ClusterBroker, epoch: UInt64)? {
        var found: (ClusterBroker, UInt64)?
        for broker in brokers {
            guard let life = broker.life, let group = life.stageSet.group(topic: model.topic, partition: model.partition) else { continue }
            let epoch = life.stageSet.positions[group].serving.load()
            if epoch > found?.1 ?? 0 { found = (broker, epoch) }
        }
        return found
    }

    /// Someone reads, somewhere; mostly from the leader, also from one that does not know yet that it is none any more.
    func fetch() throws {
        let model = models[random.below(models.count)]
        let broker = random.chance(70) ? leader(of: model)?.broker : brokers[random.below(brokers.count)]
        guard let broker, let life = broker.life, broker.isAwake(now) else { return }
        let offset = Int64(random.below(Int(min(model.highWatermark, 1 << 30)) + 1))
        let client = SimulatedClient(life.clients)
        defer { client.leave() }
        guard let response = try client.ask(Simulation.fetch(model, offset), version: 11, rounds: random.below(60), round) else { return }
        guard let part = response.topics.first?.partitions.first else { throw Violation("\(model.name): an empty answer") }
        try take(part, of: model, from: offset, by: broker)
    }

    private func take(_ part: FetchResponse.Partition, of model: PartitionModel, from offset: Int64, by broker: ClusterBroker) throws {
        switch part.errorCode {
        case .none:
            count("fetch")
            // A leader that has been deposed without having heard of it knows of less.
            if let leader = leader(of: model), leader.broker === broker, leader.epoch >= newestEpochs[model.name] ?? 0 {
                newestEpochs[model.name] = leader.epoch
                try model.see(logStart: part.logStartOffset, highWatermark: part.highWatermark, at: 0)
            }
            for record in try Simulation.records(part) where record.offset >= offset { try model.see(record.value, at: record.offset) }
        case .notLeaderOrFollower, .leaderNotAvailable, .unknownTopicOrPartition, .offsetNotAvailable: count("fetchElsewhere")
        case .offsetOutOfRange: count("fetchOutOfRange")
        case .kafkaStorageError, .corruptMessage:
            guard (broker.disk.faults?.readError ?? 0) > 0 || damaged[broker.id] != nil else {
                throw Violation("\(model.name): broker \(broker.id) refuses offset \(offset) with \(part.errorCode), though nothing is wrong with its disk")
            }
            count("fetchRefused")
        default: throw Violation("\(model.name): a fetch is answered with \(part.errorCode)")
        }
    }

    // MARK: After all

    /// After all has healed: everyone leads, follows and answers again, and everything that was ever promised is there.
    func proveProgress() throws {
        tell("everything heals")
        healAll()
        let before = report.commits
        let limit = now + 60_000 * ClusterSimulation.millisecond
        let mark = oracle.ends
        while report.commits < before + 60 || !allHaveEverything(mark) {
            guard now < limit else { throw Violation("no progress after the faults: \(report.commits - before) commits; \(lagging(behind: mark))") }
            moveAway()
            forgiveDamage()
            for producer in producers { try producer.send(self, records: 1, bytes: 10, acks: -1, isBad: false) }
            for _ in 0..<10 { try round() }
            for producer in producers { report.commits += try producer.takeAnswers(self) }
        }
        for producer in producers {
            try wait("producer \(producer.number) is never answered") {
                if !producer.isAtRest { try producer.goOn(self) }
                report.commits += try producer.takeAnswers(self)
                return producer.isAtRest
            }
        }
        for model in models { try verify(model) }
        try verifyEachReplica()
    }

    /// Each replica leads once, and must have everything then: what it has in its archives nobody else sees.
    private func verifyEachReplica() throws {
        for group in 0..<groups {
            let mates = models.filter { brokers[0].life?.stageSet.group(topic: $0.topic, partition: $0.partition) == group }
            guard let first = mates.first, let replicas = ClusterStageSet.target(group: group, in: shared) else { continue }
            for broker in replicas {
                let wanted = [broker] + replicas.filter { $0 != broker }
                let answer = try ask(brokers[0], ClusterSimulation.reassignment(of: mates, to: wanted), version: 0)
                guard answer.errorCode == .none, answer.responses.allSatisfy({ $0.partitions.allSatisfy { $0.errorCode == .none } }) else {
                    throw Violation("group \(group) can't be led by broker \(broker): \(answer)")
                }
                try wait("broker \(broker) never leads group \(group)") { leader(of: first)?.broker.id == broker }
                tell("broker \(broker) leads group \(group)")
                for model in mates { try verify(model) }
            }
        }
    }

    private func healAll() {
        networkHealsAt = now
        storeHealsAt = now
        for broker in brokers {
            broker.disk.faults = nil
            broker.disk.freeBytes = .max
            broker.pausedUntil = 0
            broker.stalledUntil = min(broker.stalledUntil, now)
            broker.disk.holdsSyncs = false
            broker.clockError = 0
            if broker.life == nil { broker.startsAt = min(broker.startsAt, now) }
        }
    }

    /// Whether each replica of each group has committed all that anyone has.
    private func allHaveEverything(_ mark: [UInt64]) -> Bool { halted.isEmpty && lagging(behind: mark).isEmpty }

    private func lagging(behind mark: [UInt64]) -> [String] {
        (0..<groups).flatMap { group -> [String] in
            guard let assignment = assignments[group] else { return [] }
            return assignment.replicas.compactMap { replica in
                let there = broker(replica.broker)?.life?.checked[group] ?? 0
                return there >= mark[group] ? nil : "group \(group): \(replica) has \(there) of \(mark[group])"
            } + misplaced(group, assignment)
        }
    }

    /// Who has a group and is not to, or is to and has not.
    private func misplaced(_ group: Int, _ assignment: GroupAssignment) -> [String] {
        let target = ClusterStageSet.target(group: group, in: shared) ?? []
        var found: [String] = []
        if Set(target) != Set(assignment.replicas.map(\.broker)) { found.append("group \(group) is to be with \(target), but is with \(assignment.replicas)") }
        for broker in brokers where !target.contains(broker.id) && broker.disk.paths.contains(where: { $0.hasPrefix(broker.directory(group) + "/") }) {
            found.append("group \(group) is still on the disk of broker \(broker.id)")
        }
        return found
    }

    /// Nil: that broker leads no more.
    private func logStart(of model: PartitionModel, by leader: ClusterBroker) throws -> Int64? {
        let answer = try ask(leader, Simulation.offset(of: model, at: ListOffsetsRequest.Timestamp.earliest), version: 5)
        guard let part = answer.topics.first?.partitions.first, part.errorCode == .none else { return nil }
        return part.offset
    }

    /// All that can be read of a partition against all that was ever promised.
    private func verify(_ model: PartitionModel) throws {
        let limit = now + 60_000 * ClusterSimulation.millisecond
        var next = model.logStart
        var records: [(offset: Int64, value: String)] = []
        while true {
            try wait("\(model.name): nobody leads") { leader(of: model) != nil }
            guard let (leader, _) = leader(of: model) else { continue }
            let answer = try ask(leader, Simulation.fetch(model, next), version: 11)
            guard let part = answer.topics.first?.partitions.first else { throw Violation("\(model.name): an empty answer") }
            if part.errorCode == .notLeaderOrFollower || part.errorCode == .kafkaStorageError {
                // An index that is being made again, or damage that is being mended; or one that leads no more.
                count("askedAgain")
                guard now < limit else { throw Violation("\(model.name): broker \(leader.id) answers offset \(next) with \(part.errorCode)") }
                for _ in 0..<20 { try round() }
                continue
            }
            if part.errorCode == .offsetOutOfRange {
                // More has been deleted than was seen. Where that can't be told any more, another leads.
                guard let start = try logStart(of: model, by: leader) else { continue }
                if start > next {
                    records.removeAll { $0.offset < start }
                    next = start
                    continue
                }
            }
            guard part.errorCode == .none else { throw Violation("\(model.name): reading offset \(next) is answered with \(part.errorCode)") }
            try model.see(logStart: part.logStartOffset, highWatermark: part.highWatermark, at: 0)
            if next >= part.highWatermark {
                // Readers see what is committed a moment later.
                let end = model.acknowledged.keys.max().map { $0 + 1 } ?? 0
                if part.highWatermark >= end { break }
                guard now < limit else { throw Violation("\(model.name): the high watermark stays at \(part.highWatermark), though \(end) is acknowledged") }
                for _ in 0..<20 { try round() }
                continue
            }
            let found = try Simulation.records(part, of: model, from: next)
            records += found
            next += Int64(found.count)
        }
        for record in records { try model.see(record.value, at: record.offset) }
        _ = try model.check(records, refused: [])
    }
}
