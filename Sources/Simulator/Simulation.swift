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

    public init(seed: UInt64, commits: Int = 2000, lives: Int = 12) {
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
    /// What went wrong; nil: nothing.
    public var failure: String?
    /// The story, a line an event.
    public var transcript: [String] = []
}

/// A whole broker with its clients and its disk, from one seed, in one thread: lives of work that end in power cuts, failing
/// drives or clean stops; between them damage; and after each start everything that was ever promised is held against what can be
/// read.
public final class Simulation {
    static let topics: [(name: String, partitions: Int32, configs: [String: String])] = [
        ("kept", 3, [:]),
        ("bounded", 2, ["retention.bytes": "300000"]),
        ("weak", 1, ["qos.leader": "received"]),
    ]

    let options: SimulationOptions
    var random: SeededRandom
    let disk = SimulatedDisk()
    var report: SimulationReport
    private(set) var models: [PartitionModel] = []
    var clients: [SimulatedProducer] = []
    private var steps = 0
    private var life = 0
    private var clock = Moment(monotonic: 1_000_000_000, wall: 1_700_000_000_000)
    private let configuration: BrokerConfiguration
    /// Damage is done in this one: what lies there may be refused, never wrong.
    let isDamaging: Bool
    /// Sectors that were damaged.
    var damagedSectors = 0
    /// The last flushed positions of each group, oldest first.
    var flushed: [[UInt64]]

    public init(_ options: SimulationOptions) {
        self.options = options
        random = SeededRandom(seed: options.seed)
        report = SimulationReport(seed: options.seed)
        isDamaging = random.chance(30)
        let groups = 1 + random.below(2)
        configuration = SimulatedBroker.configuration(
            partitionGroups: groups, flushMethod: [.linked, .dsync, .fdatasync][random.below(3)],
            journalSegments: 4 + random.below(8))
        flushed = Array(repeating: [], count: groups)
        for topic in Simulation.topics {
            for partition in 0..<topic.partitions {
                models.append(
                    PartitionModel(topic: topic.name, partition: partition, isRetained: topic.configs["retention.bytes"] != nil))
            }
        }
        for number in 0..<5 { clients.append(SimulatedProducer(number: number, isIdempotent: number < 3)) }
    }

    public func run() -> SimulationReport {
        do {
            while life < options.lives || report.commits < options.commits {
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

    func tell(_ line: @autoclosure () -> String) { report.transcript.append("life \(life) step \(steps): \(line())") }
    func count(_ what: String, _ more: Int = 1) { report.counts[what, default: 0] += more }

    // MARK: Lives

    private func live() throws {
        let broker = try start(faulty: random.chance(20))
        try verify(broker)
        for client in clients { client.connect(broker.network) }
        if life == 0 { try createTopics(broker) }
        let isFaulty = random.chance(60)
        if isFaulty { disk.faults = faults() }
        let rounds = 50 + random.below(120)
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
        disk.holdsSyncs = false
        disk.freeBytes = .max
        broker.network.pieceLimit = .max
        try end(broker)
    }

    private func faults() -> DiskFaults {
        var faults = DiskFaults(random: SeededRandom(seed: random.next()))
        faults.slow = random.chance(50) ? random.below(700) : 0
        faults.shortWrite = random.chance(40) ? random.below(100) : 0
        faults.readError = random.chance(20) ? random.below(20) : 0
        faults.writeError = random.chance(15) ? 1 + random.below(4) : 0
        faults.syncError = random.chance(15) ? 1 + random.below(4) : 0
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
                disk.crash(random: &random, kept: random.below(101))
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
                disk.crash(random: &random, kept: random.below(101))
                return nil
            }
        }
        disk.faults = nil
        tell("started: positions \(broker.set.positions.map { $0.committed.load() })")
        return broker
    }

    private func end(_ broker: SimulatedBroker) throws {
        defer { withExtendedLifetime(broker) {} }
        for client in clients { client.disconnect() }
        if !hasFailed(broker), random.chance(12) {
            disk.faults = nil
            if try broker.stop() {
                count("cleanStop")
                tell("a clean stop")
                // A drive loses nothing that was synced.
                disk.crash(random: &random, kept: random.below(101))
                if isDamaging { damage(upTo: broker.set.positions.map { $0.flushed.load() }) }
                clock = broker.now
                clock.monotonic += 1_000_000
                return
            }
        }
        let kept = random.below(101)
        disk.faults = nil
        disk.crash(random: &random, kept: kept)
        count("crash")
        tell("the power goes; of what was not synced \(kept) % is kept")
        if isDamaging { damage(upTo: flushed.map { $0.count >= 5 ? $0[$0.count - 5] : 0 }) }
        clock = broker.now
        clock.monotonic += UInt64(random.below(3_600_000)) * 1_000_000
        clock.wall += Int64(random.below(3_600_000))
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

    /// Steps until all that was asked is answered, or nothing happens any more.
    func settle(_ broker: SimulatedBroker, until isDone: () throws -> Bool) rethrows {
        for _ in 0..<20_000 {
            step(broker)
            if try isDone() { return }
        }
    }

    private func createTopics(_ broker: SimulatedBroker) throws {
        let client = SimulatedClient(broker.network)
        var request = CreateTopicsRequest()
        for topic in Simulation.topics {
            var wanted = CreateTopicsRequest.Topic()
            wanted.name = topic.name
            wanted.numPartitions = topic.partitions
            wanted.replicationFactor = 1
            wanted.configs = topic.configs.map { name, value in
                var config = CreateTopicsRequest.Config()
                config.name = name
                config.value = value
                return config
            }
            request.topics.append(wanted)
        }
        let answer = try ask(broker, client, request, version: 5)
        guard answer.topics.allSatisfy({ $0.errorCode == .none }) else { throw Violation("the topics can't be made: \(answer)") }
        client.end()
    }

    /// One request and its answer.
    func ask<R: Request>(_ broker: SimulatedBroker, _ client: SimulatedClient, _ request: R, version: Int16) throws -> R.Response {
        let correlation = try client.send(request, version: version)
        var found: [UInt8]?
        settle(broker) {
            found = client.answers().first { $0.correlation == correlation }?.frame
            return found != nil
        }
        guard let found else { throw Violation("\(R.self) is never answered") }
        return try client.decode(R.self, found, version: version)
    }
}
