import Control
import Host
import IO
import Journal
import Logging
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

    /// Opens and recovers the data directory, and makes the stages for one thread.
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
