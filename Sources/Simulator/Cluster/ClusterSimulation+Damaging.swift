import Broker
import Host
import IO
import Journal
import Replication

extension ClusterSimulation {
    /// A broker whose disk may lose something: no more than replication can stand, so all others have everything.
    private func victim() -> ClusterBroker? {
        let broker = brokers[random.below(brokers.count)]
        return isWhole(except: nil) ? broker : nil
    }

    /// What it had it must have again before another disk may lose something.
    private func note(_ broker: ClusterBroker) { damaged[broker.id] = oracle.ends }

    /// Damage that was mended is forgotten.
    func forgiveDamage() {
        for (id, ends) in damaged.sorted(by: { $0.key < $1.key }) {
            guard let broker = broker(id), let life = broker.life, random.chance(10) else { continue }
            let isWhole = (0..<groups).allSatisfy { group in
                guard let assignment = ClusterStageSet.assignment(group: group, in: shared) else { return true }
                guard assignment.replicas.contains(where: { $0.broker == id }) else { return true }
                return lost.isDisjoint(with: assignment.replicas) && life.checked[group] >= ends[group] && oracle.isIntact(broker, group)
            }
            if isWhole {
                tell("broker \(id) has everything again")
                damaged[id] = nil
            }
        }
        let sets = (0..<groups).map { group in ClusterStageSet.assignment(group: group, in: shared)?.replicas ?? [] }
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
        for group in 0..<groups {
            let replicas = ClusterStageSet.assignment(group: group, in: shared)?.replicas ?? []
            lost.formUnion(replicas.filter { $0.broker == broker.id })
        }
        crash(broker, losesPower: true)
        takeFired(of: broker)
        broker.wipe()
        tell("broker \(broker.id) has a new disk")
    }

    /// The drive lies: some sectors are lost, moved, or decay while the machine is off; or a file is damaged that can be made again, or has a copy.
    func damage() {
        guard let broker = victim() else { return }
        crash(broker, losesPower: true)
        note(broker)
        let group = random.below(groups)
        switch random.below(10) {
        case 0: damageRecord(broker, group)
        case 1, 2: damageFiles(broker, group)
        default:
            let places = places(broker, group)
            guard !places.isEmpty else { return }
            for _ in 0...random.below(3) { damage(broker, random.chance(50) ? places[random.below(places.count)] : places[places.count - 1 - random.below(min(3, places.count))], places) }
        }
    }

    private typealias Place = (path: String, offset: Int)

    /// The sectors of the segments, as far as the journal reaches.
    private func places(_ broker: ClusterBroker, _ group: Int) -> [Place] {
        let directory = broker.directory(group)
        let segmentBytes = UInt64(broker.configuration.journal.segmentBytes)
        let sector = SimulatedDisk.sectorBytes
        var places: [Place] = []
        for name in broker.disk.list(directory) {
            guard let number = JournalPaths.number(in: name, suffix: ".segment") else { continue }
            for offset in stride(from: 0, to: Int(segmentBytes), by: sector) where number * segmentBytes + UInt64(offset) < oracle.ends[group] {
                places.append(("\(directory)/\(name)", offset))
            }
        }
        return places
    }

    private func damage(_ broker: ClusterBroker, _ place: Place, _ places: [Place]) {
        let sector = SimulatedDisk.sectorBytes
        let disk = broker.disk
        guard place.offset + sector <= disk.bytes(place.path).count else { return }
        tell("damage: broker \(broker.id) \(place.path) byte \(place.offset)")
        switch random.below(4) {
        case 0:
            count("rot")
            disk.flip(place.path, byte: place.offset + random.below(sector))
        case 1:
            count("lostWrite")
            disk.overwrite(place.path, at: place.offset, disk.older(place.path, sector: place.offset / sector) ?? [UInt8](repeating: 0, count: sector))
        case 2:
            count("misdirectedWrite")
            let other = places[random.below(places.count)]
            guard other.offset + sector <= disk.bytes(other.path).count else { return }
            disk.overwrite(place.path, at: place.offset, Array(disk.bytes(other.path)[other.offset..<other.offset + sector]))
        default:
            count("unreadable")
            disk.badBlocks[place.path, default: []].insert(place.offset / sector)
        }
    }

    /// What was promised is not known any more: the operator, told so, moves the group away.
    private func damageRecord(_ broker: ClusterBroker, _ group: Int) {
        let path = ReplicaRecordFile.path(broker.directory(group))
        let length = broker.disk.bytes(path).count
        guard length > 0 else { return }
        count("rotInRecord")
        broker.disk.flip(path, byte: random.below(min(length, 40)))
        tell("damage: broker \(broker.id) \(path)")
        let replicas = ClusterStageSet.assignment(group: group, in: shared)?.replicas ?? []
        lost.formUnion(replicas.filter { $0.broker == broker.id })
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
        let directory = broker.directory(group)
        let names = broker.disk.list(directory).filter { $0.hasSuffix(".index") }
        let paths = [names.map { "\(directory)/\($0)" }, ["\(directory)/checkpoint-0", "\(directory)/checkpoint-1"], ["\(directory)/archive.catalog", "\(directory)/archive.catalog.copy"]][random.below(3)]
        guard !paths.isEmpty else { return }
        let path = paths[random.below(paths.count)]
        let length = broker.disk.bytes(path).count
        guard length > 0 else { return }
        count("rotInMetadata")
        tell("damage: broker \(broker.id) \(path)")
        broker.disk.flip(path, byte: random.below(min(length, path.hasSuffix(".index") ? 4096 : .max)))
    }
}
