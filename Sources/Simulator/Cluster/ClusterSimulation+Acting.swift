import Broker
import Host
import IO
import Wire

extension ClusterSimulation {
    /// Something happens: mostly, someone produces; now and then, something breaks.
    func act() throws {
        forgiveDamage()
        switch random.below(100) {
        case 0..<80:
            for _ in 0...random.below(3) { try produce() }
        case 80..<92: try fetch()
        case 92: dropClient()
        case 93: random.chance(50) ? sendGarbage() : try deleteRecords()
        case 94...96: if random.chance(70) { try disturb() }
        default: break
        }
    }

    func produce() throws {
        let producer = producers[random.below(producers.count)]
        try producer.send(
            self, records: 1 + random.below(4), bytes: random.below(random.chance(10) ? 4000 : 300),
            acks: random.chance(5) ? 0 : random.chance(40) ? 1 : -1, isBad: random.chance(3))
    }

    private func dropClient() {
        producers[random.below(producers.count)].disconnect()
        count("clientDropped")
    }

    private func sendGarbage() {
        guard let life = brokers[random.below(brokers.count)].life else { return }
        let isToPeers = random.chance(50)
        let network = isToPeers ? life.peers : life.clients
        let connection = network.connect()
        network.write(random.bytes(1 + random.below(300)), to: connection)
        network.end(connection)
        count(isToPeers ? "garbageToPeers" : "garbage")
    }

    /// The oldest records of a partition are to go; what is answered holds from then on.
    private func deleteRecords() throws {
        let model = models[random.below(models.count)]
        guard random.chance(30), model.highWatermark > 0, let life = leader(of: model)?.broker.life else { return }
        let offset = Int64(random.below(Int(min(model.highWatermark, 1 << 30)) + 1))
        model.asksToDelete(before: offset)
        count("deleteRecords")
        tell("\(model.name): records before \(offset) are to be deleted")
        let client = SimulatedClient(life.clients)
        defer { client.leave() }
        let answer = try client.ask(Simulation.deletion(of: model, before: offset), version: 1, rounds: 200, round)
        guard let part = answer?.topics.first?.partitions.first, part.errorCode == .none else { return }
        count("recordsDeleted")
        guard part.lowWatermark >= offset else { throw Violation("\(model.name): deleted up to \(part.lowWatermark), not \(offset)") }
        try model.see(logStart: max(part.lowWatermark, model.logStart), highWatermark: max(part.lowWatermark, model.highWatermark), at: 0)
    }

    // MARK: What breaks

    /// Serves clients in some group.
    private func leader() -> ClusterBroker? {
        let leading = brokers.filter { $0.life?.stageSet.positions.contains { $0.serving.load() > 0 } ?? false }
        return leading.isEmpty ? nil : leading[random.below(leading.count)]
    }

    private func follower() -> ClusterBroker? {
        brokers.first { $0.life != nil && $0.life!.stageSet.positions.allSatisfy { $0.serving.load() == 0 } }
    }

    private func anyRunning() -> ClusterBroker? {
        let running = brokers.filter { $0.life != nil }
        return running.isEmpty ? nil : running[random.below(running.count)]
    }

    private func disturb() throws {
        switch random.below(24) {
        case 0, 1, 2: if let broker = leader() { kill(broker, "killedLeader") }
        case 3: if let broker = follower() { kill(broker, "killedFollower") }
        case 4, 5: if let broker = random.chance(50) ? leader() : anyRunning() { crash(broker, losesPower: true) }
        case 6: killSeveral()
        case 7: pauseBroker()
        case 8: resign()
        case 9: stallDisk()
        case 10: faultyDisk()
        case 11: limitSpace()
        case 12: jumpClock()
        case 13, 14: cutNetwork()
        case 15: troubleNetwork()
        case 16: breakConnection()
        case 17: troubleStore()
        case 18: shared.compact(); count("storeCompacted")
        case 19: wipe()
        case 20: damage()
        case 21: random.chance(50) ? damage() : try damageWhileOthersLag()
        default: try move()
        }
    }

    // MARK: What operators want

    /// A group is to have other replicas, or another leader; somebody is told so, who may not be there.
    private func move() throws {
        let broker = brokers[random.below(brokers.count)]
        guard let life = broker.life else { return }
        let group = random.below(groups)
        let mates = models.filter { life.stageSet.group(topic: $0.topic, partition: $0.partition) == group }
        guard !mates.isEmpty else { return }
        count("moveAsked")
        let wanted = Array(brokers.map(\.id).shuffled(using: &random).prefix(factor))
        tell("group \(group) is to have \(wanted), broker \(broker.id) is told")
        let client = SimulatedClient(life.clients)
        defer { client.leave() }
        _ = try client.send(ClusterSimulation.reassignment(of: mates, to: wanted), version: 0)
        for _ in 0..<5 + random.below(20) { try round() }
    }

    /// - Parameter mates: all the partitions of one group.
    static func reassignment(of mates: [PartitionModel], to replicas: [Int32]) -> AlterPartitionReassignmentsRequest {
        var request = AlterPartitionReassignmentsRequest()
        request.timeoutMs = 5000
        request.topics = Dictionary(grouping: mates, by: \.topic).sorted { $0.key < $1.key }.map { topic, models in
            AlterPartitionReassignmentsRequest.Topic(
                name: topic, partitions: models.map { AlterPartitionReassignmentsRequest.Partition(partitionIndex: $0.partition, replicas: replicas) })
        }
        return request
    }

    private func kill(_ broker: ClusterBroker, _ what: String) {
        count(what)
        crash(broker, losesPower: false)
    }

    private func killSeveral() {
        let isAll = random.chance(30)
        count(isAll ? "allDown" : "twoDown")
        for broker in isAll ? brokers[...] : brokers.shuffled(using: &random).prefix(2) {
            crash(broker, losesPower: random.chance(50), restartsIn: random.below(2000))
        }
    }

    private func pauseBroker() {
        guard let broker = random.chance(60) ? leader() : anyRunning() else { return }
        count("paused")
        let pause = random.below(2500)
        broker.pausedUntil = now + UInt64(pause) * ClusterSimulation.millisecond
        tell("broker \(broker.id) is paused for \(pause) ms")
    }

    private func resign() {
        guard let broker = leader() else { return }
        count("resigned")
        tell("broker \(broker.id) is to lead no more")
        broker.life?.stageSet.resign()
    }

    private func stallDisk() {
        guard let broker = anyRunning() else { return }
        count("stalledDisk")
        broker.disk.holdsSyncs = true
        broker.stalledUntil = now + UInt64(random.below(2000)) * ClusterSimulation.millisecond
        tell("the drive of broker \(broker.id) stalls")
    }

    private func faultyDisk() {
        guard let broker = anyRunning() else { return }
        var faults = DiskFaults(random: SeededRandom(seed: random.next()))
        faults.slow = random.chance(50) ? random.below(700) : 0
        // What was written in part is torn when the power goes or the broker ends by itself: as `crash` says, not together with a disk that is gone.
        let mayTear = isWhole(except: nil)
        faults.shortWrite = random.chance(40) && mayTear ? random.below(100) : 0
        faults.readError = random.chance(30) ? 1 + random.below(60) : 0
        faults.writeError = random.chance(25) && mayTear ? 1 + random.below(4) : 0
        faults.syncError = random.chance(25) && mayTear ? 1 + random.below(4) : 0
        broker.disk.faults = faults
        tell("broker \(broker.id): of 1000 operations slow \(faults.slow) short \(faults.shortWrite) read \(faults.readError) write \(faults.writeError) sync \(faults.syncError)")
    }

    private func limitSpace() {
        guard let broker = anyRunning() else { return }
        broker.disk.freeBytes = broker.disk.freeBytes == .max ? random.below(8 * (64 << 10)) : .max
        if broker.disk.freeBytes < .max { count("diskFull") }
    }

    private func jumpClock() {
        let broker = brokers[random.below(brokers.count)]
        count("clockJump")
        broker.clockError = Int64(random.below(7_200_000)) - 3_600_000
        tell("the wall clock of broker \(broker.id) is off by \(broker.clockError) ms")
    }

    // MARK: Network and store

    private func cutNetwork() {
        let broker = brokers[random.below(brokers.count)]
        let others = brokers.filter { $0.id != broker.id }.map(\.id)
        func cut(_ from: Int32, _ to: Int32) { ways.cuts.insert(PeerWays.Direction(from: from, to: to)) }
        switch random.below(3) {
        case 0:
            count("cut")
            for other in others where random.chance(80) {
                cut(broker.id, other)
                cut(other, broker.id)
            }
            if random.chance(50) { cutFromStore(broker) }
        case 1:
            count("oneWayCut")
            let isDeaf = random.chance(50)
            for other in others { isDeaf ? cut(other, broker.id) : cut(broker.id, other) }
        default:
            // All others see only this one.
            count("bridge")
            for from in others { for to in others where from != to { cut(from, to) } }
        }
        networkHealsAt = now + UInt64(random.below(3000)) * ClusterSimulation.millisecond
        tell("cut: \(ways.cuts.sorted().map { "\($0.from)>\($0.to)" })")
    }

    private func troubleNetwork() {
        ways.faults = PeerWays.Faults(
            drops: random.below(15), duplicates: random.below(15), delays: random.below(15), spoils: random.chance(50) ? random.below(5) : 0)
        networkHealsAt = now + UInt64(random.below(3000)) * ClusterSimulation.millisecond
        tell("of 100 frames between brokers \(ways.faults.drops) are lost, \(ways.faults.duplicates) doubled, \(ways.faults.delays) late, \(ways.faults.spoils) spoilt")
    }

    private func breakConnection() {
        let (from, to) = (anyBroker(), anyBroker())
        guard from != to else { return }
        count("connectionBroken")
        ways.breakOff(PeerWays.Direction(from: from, to: to))
    }

    private func cutFromStore(_ broker: ClusterBroker) {
        guard let life = broker.life else { return }
        count("cutFromStore")
        tell("broker \(broker.id) is cut from the store")
        life.store.inner.isCutOff = true
        storeHealsAt = min(storeHealsAt, now + UInt64(random.below(3000)) * ClusterSimulation.millisecond)
    }

    private func troubleStore() {
        switch random.below(3) {
        case 0: if let broker = random.chance(50) ? leader() : anyRunning() { cutFromStore(broker) }
        case 1:
            count("storeAway")
            tell("the store is away")
            for broker in brokers { broker.life?.store.inner.isCutOff = true }
        default:
            count("storeLosesAnswers")
            for broker in brokers { broker.life?.store.inner.losesAnswers = true }
        }
        storeHealsAt = min(storeHealsAt, now + UInt64(random.below(3000)) * ClusterSimulation.millisecond)
    }
}
