import Control
import Coordination
import Host
import IO
import Journal
import Logging
import Metadata
import Replication
import Sequencer

/// The stages of a broker, made and connected, without threads: for an executor, or for a simulator that steps them itself.
public struct StageSet {
    /// In the order of the produce path.
    public let stages: [AnyStage]
    public let draining: DrainSwitch
    /// Of each partition group.
    public let positions: [JournalPositions]
    public let plan: PlacementPlan
    private let sequencers: [StageBox<SequencerStage>]
    private let groups: [OpenedGroup]

    /// Opens and recovers the data directory, and makes the stages of a broker that is alone for one thread.
    /// - Parameter blocking: files to open with; the stages get ports of their own from `host`.
    public init(
        _ configuration: BrokerConfiguration, host: any StageHost, blocking: BlockingFiles, trace: EventTrace?,
        logger: Logger, onFailure: @escaping @Sendable (Int32) -> Void
    ) throws {
        var wishes = configuration.wishes
        wishes.layout = .single
        plan = PlacementPlan.make(topology: configuration.topology, wishes: wishes)
        let opening = Opening(configuration: configuration, plan: plan, blocking: blocking, logger: logger)
        let (metadata, groups) = try opening.open()
        self.groups = groups
        draining = DrainSwitch()
        let assembly = Assembly(
            configuration: configuration, plan: plan, host: host, metadata: { metadata.state }, listener: 0,
            port: configuration.listenPort, draining: draining, trace: trace, logger: logger, onFailure: onFailure)
        let made = assembly.makeStages(groups, metadata)
        stages = plan.threads.flatMap { $0.stages.map { made[$0]! } }
        sequencers = assembly.sequencers
        positions = groups.map(\.journal.positions)
    }

    /// What a clean stop writes: where everything is durable.
    public func writeCheckpoints(_ blocking: BlockingFiles) throws -> Bool {
        try StageSet.writeCheckpoints(groups, sequencers, blocking)
    }

    static func writeCheckpoints(
        _ groups: [OpenedGroup], _ sequencers: [StageBox<SequencerStage>], _ blocking: BlockingFiles
    ) throws -> Bool {
        for (group, sequencer) in zip(groups, sequencers) {
            let checkpoint = sequencer.body.checkpoint()
            guard group.journal.positions.flushed.load() == checkpoint.position else { return false }
            try CheckpointFile.write(checkpoint, paths: group.journal.paths, blocking: blocking)
        }
        return true
    }
}

/// The stages of a broker of a cluster, made and connected, without threads: for a simulator that steps them itself.
public final class ClusterStageSet {
    /// In the order of the produce path; last, the steward.
    public let stages: [AnyStage]
    public let draining: DrainSwitch
    private let made: ClusterStages

    /// - Parameters:
    ///   - configuration: of a broker that is one of several.
    ///   - ground: on which its part in the cluster stands.
    public init(
        _ configuration: BrokerConfiguration, host: any StageHost, ground: ClusterGround, logger: Logger,
        onFailure: @escaping @Sendable (Int32) -> Void
    ) throws {
        guard let cluster = configuration.cluster else { throw BrokerError("a broker that is alone has no part in a cluster") }
        var wishes = configuration.wishes
        wishes.layout = .single
        wishes.partitionGroups = cluster.groups
        let plan = PlacementPlan.make(topology: configuration.topology, wishes: wishes)
        let draining = DrainSwitch(isHeld: true)
        self.draining = draining
        made = try ClusterStages(
            cluster, ground, configuration: configuration, plan: plan, port: configuration.listenPort,
            wakers: plan.threads.indices.map { host.waker(thread: $0) }, logger: logger
        ) { metadata in
            Assembly(
                configuration: configuration, plan: plan, host: host, metadata: metadata, listener: 0, port: configuration.listenPort,
                draining: draining, trace: nil, logger: logger, onFailure: onFailure)
        }
        let placed = made.stages
        stages = plan.threads.flatMap { $0.stages.compactMap { placed[$0] } } + [StageBox("steward", made.steward)]
    }

    /// Of each partition group that there can be.
    public var positions: [JournalPositions] { made.rooms.map(\.positions) }
    public var caches: [JournalCache] { made.rooms.map(\.cache) }

    /// Asks the store what there is, and tells it of this broker.
    public func start() { made.cluster.start() }

    /// Whether clients can be let in.
    public var hasJoined: Bool { made.cluster.hasJoined }

    /// Another broker is to lead what this one leads.
    public func resign() { made.resign() }

    public func stop() { made.cluster.stop() }

    /// The partition group of a topic's partition, as far as the broker knows; nil: there is none.
    public func group(topic: String, partition: Int32) -> Int? {
        made.cluster.metadata.topics[topic]?.partitions.place(of: partition).map { Int($0.group) }
    }

    /// Whether the group's replica here knows how far it had come, and can read all of it.
    public func isSure(group: Int) -> Bool { made.replicate.body.isSure(group: group) }

    /// How often a snapshot has taken a journal's place here.
    public var snapshotsInstalled: Int { made.steward.snapshotsInstalled }

    /// For logs: what each group's replica here is doing.
    public var description: String { "\(made.replicate.body.description); steward: \(made.steward.description)" }

    /// The brokers that are to have a partition group, as the store has it; nil: there is no such group.
    public static func target(group: Int, in store: InMemoryCoordination) -> [Int32]? {
        store.value(ClusterKey.group(UInt16(group))).flatMap { ClusterValue.decode(GroupEntry.self, $0) }?.brokers
    }

    /// A partition group's replicas and its leader, as the store has it; nil: it has not begun.
    public static func assignment(group: Int, in store: InMemoryCoordination) -> GroupAssignment? {
        store.value(ClusterKey.group(UInt16(group))).flatMap { ClusterValue.decode(GroupEntry.self, $0) }?.assignment
    }
}
