import IO
import Wire

extension Simulation {
    static func fetch(_ model: PartitionModel, _ offset: Int64) -> FetchRequest {
        var part = FetchRequest.Partition()
        part.partition = model.partition
        part.fetchOffset = offset
        part.partitionMaxBytes = 128 << 10
        var topic = FetchRequest.Topic()
        topic.topic = model.topic
        topic.partitions = [part]
        var request = FetchRequest()
        request.maxWaitMs = 0
        request.minBytes = 1
        request.maxBytes = 128 << 10
        request.topics = [topic]
        return request
    }

    static func records(_ part: FetchResponse.Partition) throws -> [(offset: Int64, value: String)] {
        try SimulatedClient.records(part).map { ($0.offset, PartitionModel.value(of: $0)) }
    }

    /// The records that an answer has from an offset on, at which there are some; none is missing between them.
    static func records(_ part: FetchResponse.Partition, of model: PartitionModel, from next: Int64) throws -> [(offset: Int64, value: String)] {
        let found = try records(part).filter { $0.offset >= next }
        guard !found.isEmpty else { throw Violation("\(model.name): nothing at \(next), below the high watermark \(model.highWatermark)") }
        for (place, record) in found.enumerated() where record.offset != next + Int64(place) {
            throw Violation("\(model.name): offset \(record.offset) where \(next + Int64(place)) was due")
        }
        return found
    }

    /// Holds all that can be read against all that was ever promised.
    func verify(_ broker: SimulatedBroker) throws {
        guard report.counts["verified"] != nil || report.commits > 0 else {
            count("verified")
            return
        }
        let client = SimulatedClient(broker.network)
        try verifyTopics(broker, client)
        var lost = 0
        for model in models {
            let (start, end) = try offsets(broker, client, model)
            try model.see(logStart: start, highWatermark: end, at: trueTime(broker))
            let (records, refused) = try readAll(broker, client, model)
            for record in records { try model.see(record.value, at: record.offset) }
            let mine = try model.check(records, refused: refused)
            lost += mine
            if mine > 0 { tell("\(model.name): \(mine) acknowledged records are refused, in \(refused)") }
        }
        client.end()
        let away = try committer.verify(broker.network) { step(broker) }
        guard away == 0 || damagedSectors > 0 else { throw Violation("of \(away) groups nobody says what they have committed, though nothing is damaged") }
        if away > 0 { count("groupsAway") }
        count("verified")
        count("refusedRecords", lost)
        // A damaged sector costs the frames that it touches, none of which is shorter than 128 bytes, or holds more than 4 records.
        guard lost <= damagedSectors * 4 * (4096 / 128 + 2) else {
            throw Violation("\(lost) acknowledged records are refused, though only \(damagedSectors) sectors were damaged")
        }
    }

    private func verifyTopics(_ broker: SimulatedBroker, _ client: SimulatedClient) throws {
        var request = MetadataRequest()
        request.topics = nil
        let known = Set(try ask(broker, client, request, version: 8).topics.compactMap(\.name))
        for name in madeTopics.sorted() where !known.contains(name) {
            throw Violation("the topic \(name) was made, and is not there")
        }
    }

    private func offsets(
        _ broker: SimulatedBroker, _ client: SimulatedClient, _ model: PartitionModel
    ) throws -> (Int64, Int64) {
        var found: [Int64] = []
        for timestamp in [ListOffsetsRequest.Timestamp.earliest, ListOffsetsRequest.Timestamp.latest] {
            let answer = try ask(broker, client, Simulation.offset(of: model, at: timestamp), version: 5)
            guard let part = answer.topics.first?.partitions.first, part.errorCode == .none else {
                throw Violation("\(model.name): ListOffsets is answered with \(answer)")
            }
            found.append(part.offset)
        }
        return (found[0], found[1])
    }

    private func readAll(
        _ broker: SimulatedBroker, _ client: SimulatedClient, _ model: PartitionModel
    ) throws -> ([(offset: Int64, value: String)], [Range<Int64>]) {
        var records: [(offset: Int64, value: String)] = []
        var refused: [Range<Int64>] = []
        var next = model.logStart
        var patience = 200
        while next < model.highWatermark {
            let answer = try ask(broker, client, Simulation.fetch(model, next), version: 11)
            guard let part = answer.topics.first?.partitions.first else { throw Violation("\(model.name): an empty answer") }
            if part.errorCode == .corruptMessage && isDamaging && damagedSectors > 0 {
                // Whoever reads on goes on behind it; here, at the next record that is known.
                let resumed = model.known(from: next + 1).first ?? model.highWatermark
                refused.append(next..<resumed)
                next = resumed
                continue
            }
            // An index that a crash has left unfinished is made again; whoever asks meanwhile is to ask once more.
            if part.errorCode == .kafkaStorageError && patience > 0 {
                patience -= 1
                count("indexRepairAwaited")
                for _ in 0..<20 { step(broker) }
                continue
            }
            // Retention may have gone on.
            if part.errorCode == .offsetOutOfRange && model.isRetained {
                let (start, end) = try offsets(broker, client, model)
                try model.see(logStart: start, highWatermark: end, at: trueTime(broker))
                records.removeAll { $0.offset < start }
                next = max(next, start)
                continue
            }
            guard part.errorCode == .none else { throw Violation("\(model.name): reading offset \(next) is answered with \(part.errorCode)") }
            guard model.isCompacted else {
                let found = try Simulation.records(part, of: model, from: next)
                records += found
                next += Int64(found.count)
                continue
            }
            records += try Simulation.records(part).filter { $0.offset >= next }
            guard let end = try SimulatedClient.end(part), end > next else {
                throw Violation("\(model.name): nothing at \(next), below the high watermark \(model.highWatermark)")
            }
            next = end
        }
        return (records, refused)
    }

    /// Once nothing is wrong any more, everyone is served.
    func proveProgress(_ broker: SimulatedBroker) throws {
        for client in clients { client.connect(broker.network) }
        let before = report.commits
        for turn in 0..<600 {
            let client = clients[turn % clients.count]
            _ = try client.send(models[turn % models.count], records: 1, bytes: 10, acks: -1, isBad: false, timestamp: trueTime(broker))
            for _ in 0..<6 { step(broker) }
            try takeAnswers()
        }
        guard report.commits > before + 200 else { throw Violation("after all faults only \(report.commits - before) of 600 records were acknowledged") }
        try verify(broker)
    }
}
