import Broker
import Host
import IO
import Replication

extension DiskFaults {
    /// Whether a write may end in the middle of a frame for good.
    fileprivate var mayTear: Bool { shortWrite > 0 || writeError > 0 || syncError > 0 }
}

extension ClusterSimulation {
    /// A broker whose disk may lose something: no more than replication can stand, so all others have everything.
    private func victim() -> ClusterBroker? {
        let broker = brokers[random.below(brokers.count)]
        return isWhole(except: nil) && allAreSure() && !brokers.contains { $0.disk.faults?.mayTear ?? false } ? broker : nil
    }

    /// Whether every replica is there, and knows what it has.
    private func allAreSure() -> Bool {
        (0..<groups).allSatisfy { group in
            (assignments[group]?.replicas ?? []).allSatisfy { replica in
                broker(replica.broker)?.life?.stageSet.isSure(group: group) ?? false
            }
        }
    }

    /// What it had it must have again before another disk may lose something.
    private func note(_ broker: ClusterBroker) { damaged[broker.id] = oracle.ends }

    /// The replica that the broker has is gone for good.
    private func giveUpReplica(_ broker: ClusterBroker, _ group: Int) {
        lost.formUnion((assignments[group]?.replicas ?? []).filter { $0.broker == broker.id })
    }

    /// Damage that was mended is forgotten.
    func forgiveDamage() {
        for (id, ends) in damaged.sorted(by: { $0.key < $1.key }) {
            guard let broker = broker(id), let life = broker.life, random.chance(10) else { continue }
            let isWhole = (0..<groups).allSatisfy { group in
                guard let assignment = assignments[group] else { return true }
                guard assignment.replicas.contains(where: { $0.broker == id }) else { return true }
                return lost.isDisjoint(with: assignment.replicas) && life.checked[group] >= ends[group] && life.stageSet.isSure(group: group)
                    && oracle.isIntact(broker, group)
            }
            if isWhole {
                tell("broker \(id) has everything again")
                damaged[id] = nil
            }
        }
        let sets = (0..<groups).map { group in assignments[group]?.replicas ?? [] }
        if !lastSets.isEmpty, sets != lastSets { count("setChanged") }
        lastSets = sets
    }

    /// A disk is replaced by an empty one.
    func wipe() {
        guard let broker = victim() else { return }
        count("wiped")
        replaceDisk(of: broker)
    }

    private func replaceDisk(of broker: ClusterBroker) {
        note(broker)
        for group in 0..<groups { giveUpReplica(broker, group) }
        crash(broker, losesPower: true)
        takeFired(of: broker)
        broker.wipe()
        tell("broker \(broker.id) has a new disk")
    }

    /// The drive lies: some sectors are lost, moved, or decay while the machine is off; or a file is damaged that can be made again, or has a copy.
    func damage() {
        guard let broker = victim(), let life = broker.life else { return }
        let group = random.below(groups)
        let end = life.stageSet.positions[group].flushed.load()
        crash(broker, losesPower: true)
        note(broker)
        switch random.below(10) {
        case 0: damageRecord(broker, group)
        case 1, 2: damageFiles(broker, group)
        default:
            // That the very last write was lost, or went elsewhere, nobody can see who does not know of it.
            let isLost = random.chance(50)
            let places = places(broker, group, below: isLost ? oracle.lastFrame(of: group, before: end) : end + UInt64(SimulatedDisk.sectorBytes))
            guard !places.isEmpty else { return }
            for _ in 0...random.below(3) {
                let isLate = random.chance(50)
                let place = places[isLate ? places.count - 1 - random.below(min(3, places.count)) : random.below(places.count)]
                isLost ? loseWrite(broker, place, places) : spoil(broker, place, group)
            }
        }
    }

    /// A majority commits something without the others; then one of it finds that its journal's end is damaged, and its leader is away for a while: those who
    /// are left have less than was promised, and must know that they may.
    func damageWhileOthersLag() throws {
        let group = random.below(groups)
        guard victim() != nil, let leader = brokers.first(where: { $0.life?.stageSet.positions[group].serving.load() ?? 0 > 0 }) else { return }
        let replicas = (assignments[group]?.replicas ?? []).map(\.broker).filter { $0 != leader.id }.shuffled(using: &random)
        guard let id = replicas.first, let broker = broker(id) else { return }
        let majority = [leader.id, id] + replicas.dropFirst().prefix(factor / 2 - 1)
        for lagging in replicas where !majority.contains(lagging) {
            for other in brokers.map(\.id) where other != lagging { ways.cuts.formUnion([.init(from: lagging, to: other), .init(from: other, to: lagging)]) }
        }
        networkHealsAt = now + 400 * ClusterSimulation.millisecond
        for _ in 0..<5 + random.below(20) {
            try produce()
            try round()
        }
        guard victim() != nil, let end = broker.life?.stageSet.positions[group].flushed.load() else { return }
        count("othersLagged")
        crash(leader, losesPower: false, restartsIn: 2000 + random.below(4000))
        crash(broker, losesPower: true, restartsIn: random.below(100))
        note(broker)
        networkHealsAt = now
        for place in places(broker, group, below: end + UInt64(SimulatedDisk.sectorBytes)).suffix(1 + random.below(4)) { spoil(broker, place, group) }
    }

    private typealias Place = (path: String, offset: Int, position: UInt64)

    /// The segments' sectors that lie before a position.
    private func places(_ broker: ClusterBroker, _ group: Int, below end: UInt64) -> [Place] {
        broker.disk.sectors(ofJournal: broker.directory(group), segmentBytes: broker.configuration.journal.segmentBytes, upTo: end)
    }

    /// What was written there is as it was before, or stands elsewhere's content.
    private func loseWrite(_ broker: ClusterBroker, _ place: Place, _ places: [Place]) {
        let sector = SimulatedDisk.sectorBytes
        let disk = broker.disk
        let other = places[random.below(places.count)]
        let isMisdirected = random.chance(50)
        let bytes = isMisdirected
            ? Array(disk.bytes(other.path)[other.offset..<other.offset + sector])
            : disk.older(place.path, sector: place.offset / sector) ?? [UInt8](repeating: 0, count: sector)
        count(isMisdirected ? "misdirectedWrite" : "lostWrite")
        tell("broker \(broker.id): what was written at \(place.position) is lost")
        disk.overwrite(place.path, at: place.offset, bytes)
    }

    /// A bit decays, or nothing can be read there.
    private func spoil(_ broker: ClusterBroker, _ place: Place, _ group: Int) {
        let byte = random.below(SimulatedDisk.sectorBytes)
        if random.chance(50), !oracle.isMagic(group, place.position + UInt64(byte)) {
            count("rot")
            broker.disk.flip(place.path, byte: place.offset + byte)
        } else {
            count("unreadable")
            broker.disk.badBlocks[place.path, default: []].insert(place.offset / SimulatedDisk.sectorBytes)
        }
        tell("broker \(broker.id): rot at \(place.position)")
    }

    /// What was promised is not known any more: the operator, told so, moves the group away.
    private func damageRecord(_ broker: ClusterBroker, _ group: Int) {
        let path = ReplicaRecordFile.path(broker.directory(group))
        let length = broker.disk.bytes(path).count
        guard length > 0 else { return }
        count("rotInRecord")
        broker.disk.flip(path, byte: random.below(min(length, 40)))
        tell("damage: broker \(broker.id) \(path)")
        giveUpReplica(broker, group)
        halted[broker.id] = group
    }

    /// Brokers whose group was found to be unusable: the operator, told so, moves it away.
    func moveAway() {
        for (id, group) in halted.sorted(by: { $0.key < $1.key }) {
            guard let broker = broker(id), broker.life != nil, now >= broker.startedAt + 200 * ClusterSimulation.millisecond else { continue }
            halted[id] = nil
            crash(broker, losesPower: false, restartsIn: 100)
            for path in broker.disk.paths where path.hasPrefix(broker.directory(group) + "/") { broker.disk.delete(path) }
            tell("broker \(id): group \(group) is moved away")
        }
    }

    /// What follows from the journal, or has a second copy.
    private func damageFiles(_ broker: ClusterBroker, _ group: Int) {
        let kinds = broker.disk.sideFiles(ofJournal: broker.directory(group))
        let paths = kinds[random.below(kinds.count)]
        guard !paths.isEmpty else { return }
        let path = paths[random.below(paths.count)]
        let length = broker.disk.bytes(path).count
        guard length > 0 else { return }
        count("rotInMetadata")
        tell("damage: broker \(broker.id) \(path)")
        broker.disk.flip(path, byte: random.below(min(length, path.hasSuffix(".index") ? 4096 : .max)))
    }
}
