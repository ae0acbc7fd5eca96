import Host
import IO
import Wire

extension Simulation {
    /// Something happens: mostly, someone produces.
    func act(_ broker: SimulatedBroker) throws {
        switch random.below(100) {
        case 0..<60: try produce(broker)
        case 60..<70: try committer.act(&random)
        case 70..<74: disk.holdsSyncs.toggle()
        case 74..<76: try deleteRecords(broker)
        case 76..<89: try fetch(broker)
        case 89: try createTopic(broker)
        case 90: dropConnection(broker)
        case 91: sendGarbage(broker)
        case 92: limitSpace()
        case 93:
            let jump = Int64(random.below(7_200_000)) - 3_600_000
            broker.jump(wallMilliseconds: jump)
            clockError += jump
            count("clockJump")
            tell("the wall clock jumps by \(jump) ms")
        default: break
        }
    }

    private func produce(_ broker: SimulatedBroker) throws {
        let client = clients[random.below(clients.count)]
        let model = models[random.below(models.count)]
        let isBad = random.chance(3)
        let acks: Int16 = random.chance(5) ? 0 : random.chance(50) ? 1 : -1
        let sent = try client.send(
            model, records: isUniform ? 1 : 1 + random.below(4),
            bytes: isUniform ? SimulatedProducer.uniform : random.below(isBusy || random.chance(10) ? 6000 : 900), acks: acks, isBad: isBad,
            timestamp: trueTime(broker))
        if sent { count("produce") }
    }

    /// Leaves much under way: one write of many sectors, of which a power cut keeps some.
    func burst(_ broker: SimulatedBroker) throws {
        disk.holdsSyncs = true
        for _ in 0..<40 {
            try produce(broker)
            step(broker)
        }
        disk.holdsSyncs = false
        step(broker)
        count("burst")
    }

    func takeAnswers() throws {
        for client in clients { report.commits += try client.takeAnswers { count($0) } }
        try committer.takeAnswers { count($0) }
    }

    private func dropConnection(_ broker: SimulatedBroker) {
        let client = clients[random.below(clients.count)]
        client.client?.end()
        client.disconnect()
        client.connect(broker.network)
        count("connectionDropped")
        tell("producer \(client.number) loses its connection")
    }

    private func sendGarbage(_ broker: SimulatedBroker) {
        let client = SimulatedClient(broker.network)
        client.send(raw: random.bytes(1 + random.below(300)))
        client.end()
        count("garbage")
    }

    /// Once a topic is acknowledged it stays.
    private func createTopic(_ broker: SimulatedBroker) throws {
        guard random.chance(30), topicNumber < Simulation.mostTopics else { return }
        topicNumber += 1
        let name = "made-\(topicNumber)"
        let client = SimulatedClient(broker.network)
        var request = CreateTopicsRequest()
        request.topics = [Simulation.creation(of: name, partitions: 1)]
        let response = try client.ask(request, version: 5, rounds: 60) { step(broker) }
        client.end()
        if response?.topics.first?.errorCode == ErrorCode.none {
            madeTopics.insert(name)
            count("topicMade")
        }
    }

    private func limitSpace() {
        if disk.freeBytes == .max, random.chance(30) {
            disk.freeBytes = random.below(8 * (64 << 10))
            count("diskFull")
            tell("the disk has \(disk.freeBytes) bytes left")
        } else {
            disk.freeBytes = .max
        }
    }

    private func deleteRecords(_ broker: SimulatedBroker) throws {
        let model = models[random.below(models.count)]
        guard model.highWatermark > 0, random.chance(30) else { return }
        let offset = Int64(random.below(Int(min(model.highWatermark, 1 << 30)) + 1))
        model.asksToDelete(before: offset)
        let client = SimulatedClient(broker.network)
        try client.send(Simulation.deletion(of: model, before: offset), version: 1)
        count("deleteRecords")
        tell("\(model.name): records before \(offset) are to be deleted")
    }

    /// Someone reads, somewhere.
    private func fetch(_ broker: SimulatedBroker) throws {
        let model = models[random.below(models.count)]
        let span = max(model.highWatermark - model.logStart, 0)
        let offset = model.logStart + Int64(random.below(Int(min(span, 1 << 30)) + 1))
        let client = SimulatedClient(broker.network)
        let response = try client.ask(Simulation.fetch(model, offset), version: 11, rounds: random.below(60)) { step(broker) }
        client.end()
        guard let response else { return }
        count("fetch")
        guard let part = response.topics.first?.partitions.first else { throw Violation("\(model.name): an empty answer") }
        switch part.errorCode {
        case .none:
            try model.see(logStart: part.logStartOffset, highWatermark: part.highWatermark, at: trueTime(broker))
            for record in try Simulation.records(part) where record.offset >= offset { try model.see(record.value, at: record.offset) }
        case .offsetOutOfRange: count("fetchOutOfRange")
        // Two reads in a row may fail, though nothing is damaged.
        case .corruptMessage, .kafkaStorageError:
            guard damagedSectors > 0 || (disk.faults?.readError ?? 0) > 0 else {
                throw Violation("\(model.name): reading offset \(offset) is refused with \(part.errorCode), though nothing is damaged")
            }
            count("fetchRefused")
        default: throw Violation("\(model.name): a fetch is answered with \(part.errorCode)")
        }
    }
}
