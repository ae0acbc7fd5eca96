import Broker
import Control
import Fetching
import Host
import IO
import Intake
import Journal
import Logging
import Metadata
import Replication

/// A follower that holds what it was sent until it is told to acknowledge it.
public final class SimulatedFollower: FollowerLink {
    /// How far it was sent the journal.
    public private(set) var sent: UInt64 = 0
    private var acks: [FollowerAck] = []

    public init() {}

    public func send(_ range: Range<UInt64>) -> UInt64 {
        sent = range.upperBound
        return range.upperBound
    }

    public func acknowledged() -> FollowerAck? { acks.isEmpty ? nil : acks.removeFirst() }

    /// It has all that it was sent in memory.
    public func acknowledgeReceived() { acks.append(FollowerAck(received: sent, persisted: 0)) }

    /// It has all that it was sent on stable storage.
    public func acknowledgePersisted() { acks.append(FollowerAck(received: sent, persisted: sent)) }
}

/// Lets files be waited for: every look moves the disk on, also one that holds its syncs back.
public final class SimulatedDiskSource: EventSource {
    private let disk: SimulatedDisk
    public let waker = Waker {}

    public init(_ disk: SimulatedDisk) { self.disk = disk }

    public func attach() {}

    public func poll() -> Int {
        let held = disk.holdsSyncs
        disk.holdsSyncs = false
        defer { disk.holdsSyncs = held }
        return disk.poll()
    }

    public func wait(nanoseconds: UInt64) {}
}

/// A whole broker, all its real stages, in one thread on a simulated disk, network and clock: nothing happens between two
/// calls of `step`.
public final class SimulatedBroker {
    private struct Host: StageHost {
        let disk: SimulatedDisk
        let network: SimulatedNetwork
        let followers: [any FollowerLink]
        let waker = Waker {}

        func waker(thread: Int) -> Waker { waker }
        func files(for stage: StageID, thread: Int) -> any FilePort { disk.makePort() }
        func sockets(for stage: StageID, thread: Int) -> any SocketPort { network.makePort() }
        func followers(group: Int) -> [any FollowerLink] { followers }
    }

    public let disk: SimulatedDisk
    public let network: SimulatedNetwork
    public let set: StageSet
    private let blocking: BlockingFiles
    /// The simulated clock.
    public private(set) var now: Moment

    /// Starts on what the disk holds.
    /// - Parameter followers: of every partition group.
    public init(
        disk: SimulatedDisk, network: SimulatedNetwork, configuration: BrokerConfiguration,
        followers: [any FollowerLink] = [], now: Moment = Moment(monotonic: 1_000_000_000, wall: 1_700_000_000_000)
    ) throws {
        self.disk = disk
        self.network = network
        self.now = now
        let source = SimulatedDiskSource(disk)
        blocking = BlockingFiles(files: disk.makePort(), source: source)
        var logger = Logger(label: "simulated") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        set = try StageSet(
            configuration, host: Host(disk: disk, network: network, followers: followers), blocking: blocking, trace: nil,
            logger: logger, onFailure: { _ in })
    }

    /// One round: the disk and the network move, then each stage steps. Returns how much was done.
    @discardableResult
    public func step() -> Int {
        var progress = disk.poll() + network.poll()
        for stage in set.stages { progress += stage.step(now) }
        return progress
    }

    /// Rounds until nothing more happens by itself.
    public func settle(limit: Int = 10_000) {
        for _ in 0..<limit where step() == 0 && (disk.faults == nil || !disk.isBusy) { return }
        let busy = set.stages.filter { $0.step(now) > 0 }.map(\.name)
        preconditionFailure("the simulated broker never comes to rest: \(busy)")
    }

    /// Moves the clock on.
    public func advance(milliseconds: Int) {
        now.monotonic += UInt64(milliseconds) * 1_000_000
        now.wall += Int64(milliseconds)
    }

    /// The wall clock jumps; the monotonic one does not.
    public func jump(wallMilliseconds: Int64) { now.wall += wallMilliseconds }

    /// A clean stop: everything is answered and durable.
    public func stop() throws -> Bool {
        set.draining.turnOn()
        settle()
        return try set.writeCheckpoints(blocking)
    }

    static let segmentBytes = 64 << 10

    /// Small sizes, so that segments roll often.
    public static func configuration(
        partitionGroups: Int = 1, flushMethod: FlushMethod = .linked, journalSegments: Int = 8, backlogSegments: Int = 0
    ) -> BrokerConfiguration {
        BrokerConfiguration(
            dataDirectory: "/data", listenHost: "simulated", listenPort: 9092, advertisedHost: nil, advertisedPort: nil,
            nodeId: 0, clusterId: "simulated", topology: Topology(nodes: [.init(id: 0, cores: [[0]])]),
            wishes: PlacementWishes(partitionGroups: partitionGroups, pin: false), flushMethod: flushMethod, ringChoice: .auto,
            journal: JournalOptions(
                segmentBytes: segmentBytes, cacheSegments: 5, locksMemory: false, journalBytes: journalSegments * segmentBytes),
            intake: IntakeLimits(
                connections: 64, receiveBytes: 16 << 10, requestBytes: 1 << 20, inFlight: 256, largeBufferBytes: 8 << 20),
            reading: ReadLimits(
                fetchBytes: 256 << 10, answerBytes: 4 << 20, coldBytes: 1 << 20, journalSegments: journalSegments,
                backlogSegments: backlogSegments, retentionInterval: 1000),
            topics: TopicDefaults(partitions: 1, autoCreate: true, settings: TopicSettings(maxMessageBytes: 32 << 10)),
            producerLimit: 1000, producerExpiration: 86_400_000, traceFile: nil)
    }
}
