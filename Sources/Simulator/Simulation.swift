import Broker
import Codecs
import Host
import IO
import Metadata
import Wire

/// What a simulation is to do.
public struct SimulationOptions: Sendable {
    public var seed: UInt64
    /// How many records are to be acknowledged durably, at least.
    public var commits: Int
    /// How many lives the broker has.
    public var lives: Int
    /// How many of them have to end with a power cut or a kill, at least.
    public var crashes: Int

    public init(seed: UInt64, commits: Int = 2000, lives: Int = 12, crashes: Int = 10) {
        self.crashes = crashes
        self.seed = seed
        self.commits = commits
        self.lives = lives
    }
}

/// What has come of it.
public struct SimulationReport: Sendable {
    public var seed: UInt64
    /// Records that were acknowledged durably.
    public var commits = 0
    /// How often each kind of thing happened: crashes, faults, kinds of requests.
    public var counts: [String: Int] = [:]
    /// Lives that ended with a power cut or a kill.
    public var crashes: Int { counts["crash", default: 0] + counts["killed", default: 0] }
    /// What went wrong; nil: nothing.
    public var failure: String?
    /// The story, a line an event.
    public var transcript: [String] = []
}

/// A whole broker with its clients and its disk, from one seed, in one thread: lives of work that end in power cuts, failing
/// drives or clean stops; between them damage; and after each start everything that was ever promised is held against what can be
/// read.
public final class Simulation {
    static let topics: [(name: String, partitions: Int32, configs: [String: String], keeping: PartitionModel.Keeping)] = [
        ("kept", 3, [:], .everything),
        ("bounded", 2, ["retention.bytes": "300000"], .bounded),
        ("young", 1, ["retention.ms": "1800000"], .young(1_800_000)),
        ("weak", 1, ["qos.leader": "received"], .everything),
        ("compacted", 2, ["cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.3", "delete.retention.ms": "600000"], .compacted),
    ]
    /// What must have come to pass, among many seeds, as a report counts it.
    public static let faults: [String] =
        DiskFaults.Kind.allCases.map(\.rawValue) + [
            "crash", "killed", "cleanStop", "startFailed", "storageFailure", "diskFull", "rot", "lostWrite", "misdirectedWrite",
            "unreadable", "rotInMetadata", "clockJump", "connectionDropped", "garbage", "deleteRecords", "topicMade", "fetchRefused",
            "refused", "compacted", "offsetCommitted", "offsetDeleted", "groupDeleted", "offsetsRead", "offsetsSnapshot",
        ]
    /// So many are made besides.
    static let mostTopics = 12

    let options: SimulationOptions
    var random: SeededRandom
    let disk = SimulatedDisk()
    var report: SimulationReport
    private(set) var models: [PartitionModel] = []
    var clients: [SimulatedProducer] = []
    let committer = SimulatedCommitter()
    private var steps = 0
    /// How often a sync had failed when the power went last.
    private var syncErrors = 0
    private var life = 0
    private var clock = Moment(monotonic: 1_000_000_000, wall: 1_700_000_000_000)
    let configuration: BrokerConfiguration
    /// What the wall clock's jumps come to, in milliseconds; put right between lives.
    var clockError: Int64 = 0
    /// The topics that were made besides those that hold records, as far as that was acknowledged; and how many were tried.
    var madeTopics: Set<String> = []
    var topicNumber = 0
    /// Damage is done in this one: what lies there may be refused, never wrong.
    let isDamaging: Bool
    /// Sectors that were damaged.
    var damagedSectors = 0
    /// All batches are of one length, so that frames which an earlier life has left stand where a later one's may end.
    let isUniform: Bool
    /// In this life batches are large: it fills many segments.
    var isBusy = false
    /// Where each group's lives began, oldest first.
    var starts: [[UInt64]]
    /// The last flushed positions of each group, oldest first.
    var flushed: [[UInt64]]

    public init(_ options: SimulationOptions) {
        self.options = options
        random = SeededRandom(seed: options.seed)
        report = SimulationReport(seed: options.seed)
        isDamaging = random.chance(40)
        isUniform = random.chance(25)
        let groups = 1 + random.below(2)
        var configuration = SimulatedBroker.configuration(
            partitionGroups: groups, flushMethod: [.linked, .dsync, .fdatasync][random.below(3)],
            journalSegments: 4 + random.below(8))
        configuration.topics.offsetsPartitions = 2
        configuration.groups.snapshotChanges = 20
        self.configuration = configuration
        flushed = Array(repeating: [], count: groups)
        starts = flushed
        for topic in Simulation.topics {
            for partition in 0..<topic.partitions {
                models.append(PartitionModel(topic: topic.name, partition: partition, keeping: topic.keeping))
            }
        }
        for number in 0..<5 { clients.append(SimulatedProducer(number: number, isIdempotent: number < 3)) }
    }

    public func run() -> SimulationReport {
        do {
            while life < options.lives || report.commits < options.commits || report.crashes < options.crashes {
                try live()
                life += 1
                guard life < 4 * options.lives + 20 else { throw Violation("no progress: \(report.commits) commits in \(life) lives") }
            }
            let broker = try start(faulty: false)
            try verify(broker)
            try proveProgress(broker)
        } catch {
            report.failure = "\(error)"
            tell("FAILED: \(error)")
        }
        for (kind, count) in disk.fired { report.counts[kind.rawValue, default: 0] += count }
        return report
    }

    /// What is on the disk: each file's path and bytes.
    public var files: [(path: String, bytes: [UInt8])] { disk.paths.map { ($0, disk.bytes($0)) } }

    func tell(_ line: @autoclosure () -> String) { report.transcript.append("life \(life) step \(steps): \(line())") }
    func count(_ what: String, _ more: Int = 1) { report.counts[what, default: 0] += more }

    func trueTime(_ broker: SimulatedBroker) -> Int64 { broker.now.wall - clockError }

    // MARK: Lives

    private func live() throws {
        let broker = try start(faulty: random.chance(20))
        try verify(broker)
        for client in clients { client.connect(broker.network) }
        committer.connect(broker.network)
        if life == 0 { try createTopics(broker) }
        let isFaulty = random.chance(60)
        if isFaulty { disk.faults = faults() }
        // A life that ends at once leaves what the one before has left.
        let rounds = random.chance(20) ? random.below(4) : 50 + random.below(120)
        isBusy = random.chance(10)
        broker.network.pieceLimit = random.chance(30) ? 1 + random.below(400) : .max
        for _ in 0..<rounds {
            try act(broker)
            for _ in 0...random.below(4) { step(broker) }
            try takeAnswers()
            if hasFailed(broker) {
                count("storageFailure")
                tell("storage has failed: the process ends")
                break
            }
        }
        disk.freeBytes = .max
        if !hasFailed(broker), random.chance(40) { try burst(broker) }
        disk.holdsSyncs = false
        broker.network.pieceLimit = .max
        try end(broker)
    }

    private func faults() -> DiskFaults {
        var faults = DiskFaults(random: SeededRandom(seed: random.next()))
        faults.slow = random.chance(50) ? random.below(700) : 0
        faults.shortWrite = random.chance(40) ? random.below(100) : 0
        // Now and then the way to the drive is all but gone.
        faults.readError = random.chance(20) ? (random.chance(25) ? 500 : random.below(20)) : 0
        faults.writeError = random.chance(15) ? 1 + random.below(4) : 0
        faults.syncError = random.chance(25) ? 1 + random.below(4) : 0
        tell("faults: slow \(faults.slow) short \(faults.shortWrite) read \(faults.readError) write \(faults.writeError) sync \(faults.syncError) of 1000")
        return faults
    }

    /// A start that meets an error of the drive ends, and is tried again.
    private func start(faulty: Bool) throws -> SimulatedBroker {
        flushed = flushed.map { _ in [] }
        if faulty {
            disk.faults = DiskFaults(random: SeededRandom(seed: random.next()))
            disk.faults!.syncError = 10
            disk.faults!.writeError = 10
            disk.faults!.readError = 10
            do {
                if let broker = try begin() { return broker }
            } catch {
                tell("the start fails: \(error)")
                powerCut()
            }
            count("startFailed")
        }
        disk.faults = nil
        guard let broker = try begin() else { throw Violation("a start whose first frame can't be written") }
        return broker
    }

    /// Nil: storage failed before the new epoch's frame was durable.
    private func begin() throws -> SimulatedBroker? {
        let network = SimulatedNetwork()
        let broker = try SimulatedBroker(disk: disk, network: network, configuration: configuration, now: clock)
        // What the disk still has to do is in the broker's memory.
        defer { withExtendedLifetime(broker) {} }
        for _ in 0..<2000 {
            broker.step()
            if broker.set.positions.allSatisfy({ $0.committed.load() == $0.appended.load() && $0.appended.load() > 0 }) { break }
            if hasFailed(broker) {
                tell("the first frame can't be written")
                powerCut()
                return nil
            }
        }
        disk.faults = nil
        for (group, positions) in broker.set.positions.enumerated() { starts[group].append(positions.committed.load()) }
        tell("started: positions \(broker.set.positions.map { $0.committed.load() })")
        return broker
    }

    private func end(_ broker: SimulatedBroker) throws {
        defer { withExtendedLifetime(broker) {} }
        for client in clients { client.disconnect() }
        committer.disconnect()
        if disk.paths.contains(where: { $0.hasSuffix(".snapshot") }) { count("offsetsSnapshot") }
        // A later edition of an archive's file has a third number.
        if disk.paths.contains(where: { $0.contains("/archive/") && $0.split(separator: "/").last?.split(separator: "-").count == 3 }) { count("compacted") }
        if !hasFailed(broker), random.chance(12) {
            disk.faults = nil
            if try broker.stop() {
                count("cleanStop")
                tell("a clean stop")
                // A drive loses nothing that was synced.
                powerCut()
                if isDamaging { damage(upTo: broker.set.positions.map { $0.flushed.load() }) }
                passTime(broker, milliseconds: 1)
                return
            }
        }
        // After a failed sync nobody knows what the drive has: that is out only once the power has gone.
        if !hasFailed(broker), (disk.fired[.syncError] ?? 0) == syncErrors, random.chance(25) {
            disk.faults = nil
            disk.endProcess(random: &random)
            count("killed")
            tell("the process is killed, the machine goes on")
            return passTime(broker, milliseconds: random.below(10_000))
        }
        powerCut()
        count("crash")
        if isDamaging { damage(upTo: flushed.map { $0.count >= 5 ? $0[$0.count - 5] : 0 }) }
        passTime(broker, milliseconds: random.below(3_600_000))
    }

    private func powerCut() {
        let kept = random.below(101)
        disk.faults = nil
        disk.crash(random: &random, kept: kept)
        syncErrors = disk.fired[.syncError] ?? 0
        tell("the power goes; of what was not synced \(kept) % is kept")
    }

    /// Between two lives; the wall clock is put right.
    private func passTime(_ broker: SimulatedBroker, milliseconds: Int) {
        clock = broker.now
        clock.monotonic += UInt64(milliseconds) * 1_000_000
        clock.wall += Int64(milliseconds) - clockError
        clockError = 0
    }

    func hasFailed(_ broker: SimulatedBroker) -> Bool { broker.set.positions.contains { $0.failure != nil } }

    func step(_ broker: SimulatedBroker) {
        steps += 1
        broker.step()
        if random.below(8) == 0 { broker.advance(milliseconds: random.below(40)) }
        for (group, positions) in broker.set.positions.enumerated() {
            let now = positions.flushed.load()
            if flushed[group].last != now { flushed[group].append(now) }
        }
    }

    private func createTopics(_ broker: SimulatedBroker) throws {
        let client = SimulatedClient(broker.network)
        var request = CreateTopicsRequest()
        request.topics = Simulation.topics.map { Simulation.creation(of: $0.name, partitions: $0.partitions, configs: $0.configs) }
        let answer = try ask(broker, client, request, version: 5)
        guard answer.topics.allSatisfy({ $0.errorCode == .none }) else { throw Violation("the topics can't be made: \(answer)") }
        client.end()
    }

    static func creation(of name: String, partitions: Int32, configs: [String: String] = [:]) -> CreateTopicsRequest.Topic {
        var topic = CreateTopicsRequest.Topic()
        topic.name = name
        topic.numPartitions = partitions
        topic.replicationFactor = 1
        topic.configs = configs.map { CreateTopicsRequest.Config(name: $0, value: $1) }
        return topic
    }

    static func offset(of model: PartitionModel, at timestamp: Int64) -> ListOffsetsRequest {
        var request = ListOffsetsRequest()
        request.topics = [.init(name: model.topic, partitions: [.init(partitionIndex: model.partition, timestamp: timestamp)])]
        return request
    }

    static func deletion(of model: PartitionModel, before offset: Int64) -> DeleteRecordsRequest {
        var part = DeleteRecordsRequest.Partition()
        part.partitionIndex = model.partition
        part.offset = offset
        var topic = DeleteRecordsRequest.Topic()
        topic.name = model.topic
        topic.partitions = [part]
        var request = DeleteRecordsRequest()
        request.timeoutMs = 1000
        request.topics = [topic]
        return request
    }

    /// One request and its answer.
    func ask<R: Request>(_ broker: SimulatedBroker, _ client: SimulatedClient, _ request: R, version: Int16) throws -> R.Response {
        guard let response = try client.ask(request, version: version, rounds: 20_000, { step(broker) }) else {
            throw Violation("\(R.self) is never answered")
        }
        return response
    }
}
