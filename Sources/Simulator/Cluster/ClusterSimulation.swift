import Broker
import Codecs
import Coordination
import Host
import IO
import Metadata
import Replication
import Wire

/// What a simulation of a cluster is to do.
public struct ClusterOptions: Sendable {
    public var seed: UInt64
    public var brokers: Int
    /// How many records are to be acknowledged durably, and how many epochs begun, at least.
    public var commits: Int
    public var elections: Int
    /// The story tells what brokers log as well.
    public var tellsLogs: Bool

    public init(seed: UInt64, brokers: Int, commits: Int = 1000, elections: Int = 5, tellsLogs: Bool = false) {
        self.tellsLogs = tellsLogs
        self.seed = seed
        self.brokers = brokers
        self.commits = commits
        self.elections = elections
    }
}

/// Whole brokers, each with all its real stages, that share a store and produce for the same clients, from one seed in one thread, on simulated disks,
/// networks and clocks on which everything goes wrong. After each round what any of them calls committed is held against what was committed
/// before, and against what is on their disks; what clients are told, against what they have sent and read.
public final class ClusterSimulation {
    /// What must have come to pass, among many seeds, as a report counts it.
    public static let faults: [String] =
        DiskFaults.Kind.allCases.map(\.rawValue) + [
            "killedLeader", "killedFollower", "powerCut", "twoDown", "allDown", "stayedAway", "paused", "resigned", "stalledDisk", "storageFailure",
            "wiped", "rot", "lostWrite", "misdirectedWrite", "unreadable", "rotInMetadata", "rotInRecord", "diskFull", "clockJump", "drop", "duplicate",
            "delay", "spoilt", "connectionBroken", "cut", "oneWayCut", "bridge", "cutFromStore", "storeAway", "storeLosesAnswers", "storeCompacted",
            "leaseEnded", "garbage", "garbageToPeers", "clientDropped", "clientGaveUp", "setChanged", "refused",
            "archived", "snapshot", "moveAsked", "deleteRecords", "recordsDeleted", "othersLagged",
        ]

    static let topic = "kept"
    /// Its answers to acks=all leave when a majority has it in memory.
    static let earlyTopic = "early"
    /// Its oldest records are deleted once it has more than so many bytes.
    static let boundedTopic = "bounded"
    private static let boundedBytes = 60_000
    private static let partitions: Int32 = 3
    /// The wall clock at the beginning, in milliseconds since 1970.
    static let epoch: Int64 = 1_700_000_000_000
    static let millisecond: UInt64 = 1_000_000

    let options: ClusterOptions
    var random: SeededRandom
    var report: SimulationReport
    let shared = InMemoryCoordination()
    /// Who has the partition groups, by the store.
    let assignments: StoredAssignments
    private(set) var brokers: [ClusterBroker] = []
    let ways = PeerWays()
    private(set) var models: [PartitionModel] = []
    private(set) var producers: [ClusterProducer] = []
    var oracle: CommitOracle
    private let story: StoryLog?
    /// The simulated time, in nanoseconds.
    private(set) var now: UInt64 = 1_000_000_000
    private var dials: [(due: UInt64, from: Int32, dial: ClusterBroker.Dial)] = []
    /// When what is wrong with the network, and with the store, is put right.
    var networkHealsAt: UInt64 = .max
    var storeHealsAt: UInt64 = .max
    /// The replicas that are gone for good: disks that were wiped.
    var lost: Set<ReplicaID> = []
    /// Brokers whose disks have lost something, by what they must have again to be whole.
    var damaged: [Int32: [UInt64]] = [:]
    /// Brokers of which a group was found to be unusable.
    var halted: [Int32: Int] = [:]
    /// The groups' replicas, as they were when they were looked at last.
    var lastSets: [[ReplicaID]] = []
    /// The highest epoch in which each partition was seen, by its name.
    var newestEpochs: [String: UInt64] = [:]
    let factor: Int
    let groups: Int

    public init(_ options: ClusterOptions) {
        self.options = options
        random = SeededRandom(seed: options.seed)
        report = SimulationReport(seed: options.seed)
        assignments = StoredAssignments(shared)
        story = options.tellsLogs ? StoryLog() : nil
        groups = 1 + random.below(2)
        let isSpread = random.chance(40)
        factor = isSpread ? min(3, options.brokers) : options.brokers
        for partition in 0..<ClusterSimulation.partitions {
            models.append(PartitionModel(topic: ClusterSimulation.topic, partition: partition, keeping: .everything))
        }
        models.append(PartitionModel(topic: ClusterSimulation.earlyTopic, partition: 0, keeping: .everything))
        models.append(PartitionModel(topic: ClusterSimulation.boundedTopic, partition: 0, keeping: .bounded))
        for number in 0..<7 {
            let model = models[number % models.count]
            let isEarly = model.topic == ClusterSimulation.earlyTopic
            producers.append(ClusterProducer(number: number, isIdempotent: !isEarly && number < 6, model: model, isEarly: isEarly))
        }
        oracle = CommitOracle(groups: groups, replicas: factor, segmentBytes: SimulatedBroker.segmentBytes)
        let method: FlushMethod = [.linked, .dsync, .fdatasync][random.below(3)]
        for id in 1...Int32(options.brokers) {
            brokers.append(ClusterBroker(ClusterSimulation.configuration(id, groups: groups, flushMethod: method, random: &random)))
        }
    }

    private static func configuration(_ id: Int32, groups: Int, flushMethod: FlushMethod, random: inout SeededRandom) -> BrokerConfiguration {
        var configuration = SimulatedBroker.configuration(
            partitionGroups: groups, flushMethod: flushMethod, journalSegments: 4 + random.below(5), backlogSegments: random.below(6))
        configuration.nodeId = id
        configuration.clusterId = nil
        var times = ReplicaTimes()
        times.silence = 500 * millisecond
        times.heartbeat = 50 * millisecond
        times.candidacy = 500 * millisecond
        times.backoff = 200 * millisecond
        times.retry = 60 * millisecond
        times.window = 64 << 10
        times.message = 8 << 10
        times.read = 40 << 10
        times.steady = 1000 * millisecond
        times.balance = 1000 * millisecond
        configuration.cluster = ClusterConfiguration(
            etcd: EtcdOptions(endpoints: []), peerHost: "simulated", peerPort: 9192, groups: groups, defaultReplicas: nil, times: times)
        return configuration
    }

    // MARK: Running

    public func run() -> SimulationReport {
        do {
            try begin()
            var turns = 0
            while report.commits < options.commits || oracle.elections < options.elections {
                turns += 1
                guard turns < 60 * options.commits + 100_000 else { throw Violation("no progress: \(report.commits) commits, \(oracle.elections) elections") }
                moveAway()
                try act()
                for _ in 0...random.below(4) { try round() }
                for producer in producers { report.commits += try producer.takeAnswers(self) }
            }
            try proveProgress()
        } catch {
            report.failure = "\(error)"
            tell("FAILED: \(error)")
            for broker in brokers { tell("broker \(broker.id): \(broker.life?.stageSet.description ?? "down")") }
        }
        for broker in brokers { takeFired(of: broker) }
        report.counts.merge(ways.fired) { $0 + $1 }
        report.counts["elections", default: 0] += oracle.elections
        return report
    }

    /// The counters of a disk that is not used any more.
    func takeFired(of broker: ClusterBroker) {
        for (kind, count) in broker.disk.fired { report.counts[kind.rawValue, default: 0] += count }
    }

    func tell(_ line: @autoclosure () -> String) { report.transcript.append("\(now / ClusterSimulation.millisecond) ms: \(line())") }
    func count(_ what: String) { report.counts[what, default: 0] += 1 }

    private func begin() throws {
        for broker in brokers { try start(broker) }
        try wait("the cluster is never joined") { brokers.allSatisfy { $0.life?.stageSet.draining.isHeld == false } }
        var request = CreateTopicsRequest()
        request.topics = [
            Simulation.creation(of: ClusterSimulation.topic, partitions: ClusterSimulation.partitions),
            Simulation.creation(of: ClusterSimulation.earlyTopic, partitions: 1, configs: ["qos.all": "replicated"]),
            Simulation.creation(
                of: ClusterSimulation.boundedTopic, partitions: 1, configs: ["retention.bytes": "\(ClusterSimulation.boundedBytes)"]),
        ]
        for index in request.topics.indices { request.topics[index].replicationFactor = Int16(factor) }
        request.timeoutMs = 10_000
        let answer = try ask(brokers[0], request, version: 5)
        guard answer.topics.allSatisfy({ $0.errorCode == .none }) else { throw Violation("the topics can't be made: \(answer)") }
    }

    func start(_ broker: ClusterBroker) throws {
        try broker.start(shared: shared, story: story, seed: random.next(), now: now)
        tell("broker \(broker.id) starts")
    }

    /// Rounds until something is so.
    func wait(_ otherwise: String, milliseconds: UInt64 = 60_000, _ isDone: () throws -> Bool) throws {
        let limit = now + milliseconds * ClusterSimulation.millisecond
        while try !isDone() {
            guard now < limit else { throw Violation(otherwise) }
            try round()
        }
    }

    /// One request and its answer.
    func ask<R: Request>(_ broker: ClusterBroker, _ request: R, version: Int16) throws -> R.Response {
        guard let life = broker.life else { throw Violation("broker \(broker.id) is down") }
        let client = SimulatedClient(life.clients)
        defer { client.leave() }
        let correlation = try client.send(request, version: version)
        var found: [UInt8]?
        try wait("\(R.self) is never answered by broker \(broker.id)") {
            found = client.answers().first { $0.correlation == correlation }?.frame
            return found != nil
        }
        return try client.decode(R.self, found!, version: version)
    }

    // MARK: Rounds

    /// Everything moves a little; where nothing is to be done, time passes until something is.
    func round() throws {
        heal()
        var progress = ways.pump(now: now, random: &random) + connect()
        for broker in brokers {
            progress += broker.disk.poll()
            if broker.startsAt <= now { try start(broker) }
            for _ in 0..<broker.expireLeases(now) {
                count("leaseEnded")
                tell("the lease of broker \(broker.id) ends")
            }
            guard let life = broker.life, broker.isAwake(now) else { continue }
            progress += life.store.pump(now: now)
            progress += life.step(moment(broker))
            for dial in life.takeDials() { dials.append((now + 2 * ClusterSimulation.millisecond, broker.id, dial)) }
            if let failure = life.failure {
                count("storageFailure")
                tell("broker \(broker.id) ends by itself: \(failure)")
                crash(broker, losesPower: true)
                continue
            }
            for line in story?.take() ?? [] { tell(line) }
            try oracle.look(at: broker, among: self)
            noteArchives(life)
        }
        now += progress > 0 ? 300_000 : pause()
    }

    private func noteArchives(_ life: ClusterBroker.Life) {
        for _ in life.installed..<life.stageSet.snapshotsInstalled { count("snapshot") }
        life.installed = life.stageSet.snapshotsInstalled
        for (group, positions) in life.stageSet.positions.enumerated() where positions.start.load() != life.starts[group] {
            life.starts[group] = positions.start.load()
            count("archived")
        }
    }

    private func moment(_ broker: ClusterBroker) -> Moment {
        let wall = ClusterSimulation.epoch + Int64(now / ClusterSimulation.millisecond) + broker.clockError
        return Moment(monotonic: now + UInt64(broker.id) * 1_000_000_000_000, wall: wall)
    }

    /// How long nothing happens.
    private func pause() -> UInt64 {
        var next = min(now + 10 * ClusterSimulation.millisecond, ways.nextDue)
        for broker in brokers {
            guard let life = broker.life, broker.isAwake(now) else { continue }
            let deadline = life.deadline
            if deadline < .max { next = min(next, deadline - UInt64(broker.id) * 1_000_000_000_000) }
        }
        return max(next > now ? next - now : 0, 300_000)
    }

    /// Connections between brokers are made.
    private func connect() -> Int {
        let due = dials.filter { $0.due <= now }
        dials.removeAll { $0.due <= now }
        for (_, from, dial) in due {
            let direction = PeerWays.Direction(from: from, to: dial.to)
            guard let sender = broker(from)?.life, let receiver = broker(dial.to)?.life, !ways.cuts.contains(direction) else { continue }
            dial.inbox.put(.connected(broker: dial.to, socket: ways.connect(direction, sender.peers, receiver.peers)))
        }
        return due.count
    }

    private func heal() {
        if now >= networkHealsAt {
            networkHealsAt = .max
            ways.cuts = []
            ways.faults = PeerWays.Faults()
            tell("the network heals")
        }
        if now >= storeHealsAt {
            storeHealsAt = .max
            for broker in brokers {
                broker.life?.store.inner.isCutOff = false
                broker.life?.store.inner.losesAnswers = false
            }
            tell("the store is there again")
        }
        for broker in brokers where broker.stalledUntil > 0 && now >= broker.stalledUntil {
            broker.stalledUntil = 0
            broker.disk.holdsSyncs = false
        }
    }

    // MARK: Brokers

    func broker(_ id: Int32) -> ClusterBroker? { brokers.first { $0.id == id } }

    /// For clients; nil: nobody listens there.
    func network(of id: Int32) -> SimulatedNetwork? { broker(id)?.life?.clients }

    func anyBroker() -> Int32 { brokers[random.below(brokers.count)].id }

    /// The process ends, and where power is lost, so does its machine.
    func crash(_ broker: ClusterBroker, losesPower: Bool, restartsIn milliseconds: Int? = nil) {
        guard let life = broker.life else { return }
        defer { withExtendedLifetime(life) {} }
        ways.end(broker.id)
        broker.disk.faults = nil
        // A torn end may have been acknowledged, for all that anyone can tell: together with a disk that is gone that is more than
        // replicas can stand.
        let mayTear = isWhole(except: nil)
        if !mayTear { finishFlushing(broker, life) }
        if losesPower {
            count("powerCut")
            broker.disk.crash(random: &random, kept: mayTear ? random.below(101) : 0)
        } else {
            broker.disk.endProcess(random: &random)
        }
        broker.end()
        let away = milliseconds ?? random.below(random.chance(10) ? 12_000 : 1500)
        if away > 5000 { count("stayedAway") }
        broker.startsAt = now + UInt64(away) * ClusterSimulation.millisecond
        tell("broker \(broker.id) \(losesPower ? "loses its power" : "is killed"), for \(away) ms")
    }

    /// All that was appended is flushed: a flush that is under way takes along half a frame.
    private func finishFlushing(_ broker: ClusterBroker, _ life: ClusterBroker.Life) {
        broker.disk.holdsSyncs = false
        for _ in 0..<1000 where life.stageSet.positions.contains(where: { $0.flushed.load() < $0.appended.load() }) {
            _ = broker.disk.poll() + life.step(moment(broker))
        }
        broker.disk.holdsSyncs = broker.stalledUntil > 0
    }

    /// Whether all other disks, as far as anyone can tell, have everything that was ever acknowledged.
    func isWhole(except broker: Int32?) -> Bool {
        guard damaged.keys.allSatisfy({ $0 == broker }) else { return false }
        return (0..<groups).allSatisfy { group in
            // One that has not begun would begin with the names of disks that are gone.
            guard let assignment = assignments[group] else { return false }
            return assignment.replicas.count == factor && lost.isDisjoint(with: assignment.replicas)
        }
    }
}
