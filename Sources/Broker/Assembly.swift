import BasicContainers
import Control
import Fetching
import Host
import IO
import Intake
import Journal
import Logging
import Metadata
import Replication
import Responses
import Sequencer

/// Makes the stages of a broker and connects them.
final class Assembly {
    private let configuration: BrokerConfiguration
    private let plan: PlacementPlan
    private let rings: [Ring]
    private let groups: [Broker.OpenedGroup]
    private let metadata: EmbeddedStore.Opened
    private let listener: Listener
    private let draining: DrainSwitch
    private let trace: EventTrace?
    private let logger: Logger
    private let onFailure: @Sendable (Int32) -> Void
    private let wiring: Wiring
    private let table: TopicTable
    private(set) var sequencers: [StageBox<SequencerStage>] = []

    init(
        configuration: BrokerConfiguration, plan: PlacementPlan, rings: [Ring], groups: [Broker.OpenedGroup],
        metadata: EmbeddedStore.Opened, listener: Listener, draining: DrainSwitch, trace: EventTrace?, logger: Logger,
        onFailure: @escaping @Sendable (Int32) -> Void
    ) {
        self.configuration = configuration
        self.plan = plan
        self.rings = rings
        self.groups = groups
        self.metadata = metadata
        self.listener = listener
        self.draining = draining
        self.trace = trace
        self.logger = logger
        self.onFailure = onFailure
        wiring = Wiring(
            plan: plan, wakers: rings.map(\.waker), inFlight: configuration.intake.inFlight,
            connections: configuration.intake.connections, slots: configuration.journal.cacheSegments)
        table = metadata.state.table(defaults: configuration.topics.settings)
    }

    /// A port on the ring of the thread that runs the stage.
    private func port(_ stage: StageID) -> RingPort { rings[plan.thread(of: stage)].makePort() }

    func makeStages() -> [StageID: AnyStage] {
        var stages: [StageID: AnyStage] = [:]
        for group in groups.indices {
            wiring.watch(groups[group].journal.positions, group: group)
            let sequencer = StageBox("write", sequencer(group))
            sequencers.append(sequencer)
            stages[.write(group)] = sequencer
            stages[.flush(group)] = StageBox("flush", flush(group))
            stages[.replicate(group)] = StageBox("replicate", ReplicateStage(positions: groups[group].journal.positions))
            stages[.loader(group)] = StageBox("loader", loader(group))
        }
        for io in 0..<plan.ioThreads {
            stages[.io(io)] = StageBox("io", intake(io))
            stages[.respond(io)] = StageBox("respond", respond(io))
        }
        stages[.read] = StageBox("read", read())
        stages[.control] = StageBox("control", control())
        return stages
    }

    private func intake(_ io: Int) -> IntakeStage {
        IntakeStage(
            sockets: port(.io(io)), listener: listener.socket, limits: configuration.intake, links: wiring.intake(io),
            table: table, draining: draining, logger: logger)
    }

    private func respond(_ io: Int) -> RespondStage {
        RespondStage(
            sockets: port(.respond(io)), positions: groups.map(\.journal.positions), links: wiring.respond(io),
            queueCapacity: Wiring.pendingCapacity, logger: logger, trace: trace)
    }

    private func sequencer(_ group: Int) -> SequencerStage {
        let opened = groups[group]
        let journal = JournalWriter(
            cache: opened.journal.cache, positions: opened.journal.positions, group: UInt16(group), epoch: opened.epoch,
            position: opened.journal.recovered.position, previous: opened.journal.recovered.previous,
            current: opened.journal.current, prepared: wiring.prepared[group].receiver(),
            toFlush: wiring.toFlush[group].sender())
        return SequencerStage(
            group: UInt16(group), journal: journal, positions: opened.journal.positions, state: opened.state,
            links: wiring.sequencer(group), table: table,
            epochFrame: EpochFrame(nodeId: configuration.nodeId, start: opened.journal.recovered.position).encode(),
            producerExpiration: configuration.producerExpiration, logger: logger)
    }

    private func flush(_ group: Int) -> FlushStage {
        let journal = groups[group].journal
        return FlushStage(
            files: port(.flush(group)), cache: journal.cache, positions: journal.positions,
            method: configuration.flushMethod, group: group, segments: wiring.toFlush[group].receiver(),
            done: wiring.durable[group].sender(), trace: trace)
    }

    private func loader(_ group: Int) -> LoaderStage {
        let journal = groups[group].journal
        return LoaderStage(
            files: port(.loader(group)), cache: journal.cache, paths: journal.paths, positions: journal.positions,
            directory: journal.directory, existing: journal.prepared, next: journal.current.number + 1,
            used: journal.current.slot, prepared: wiring.prepared[group].sender(),
            durable: wiring.durable[group].receiver(), logger: logger)
    }

    private func read() -> ReadStage {
        ReadStage(
            files: port(.read),
            groups: groups.map { group in
                ReadGroup(
                    positions: group.journal.positions, cache: group.journal.cache, paths: group.journal.paths,
                    epoch: group.epoch, firstSegment: group.journal.recovered.firstSegment, active: group.journal.active)
            }, limits: configuration.reading, links: wiring.read(), table: table,
            waker: rings[plan.thread(of: .read)].waker, draining: draining, logger: logger)
    }

    private func control() -> ControlStage {
        let identity = BrokerIdentity(
            nodeId: configuration.nodeId, host: configuration.advertisedHost ?? configuration.listenHost,
            port: Int32(configuration.advertisedPort ?? listener.port), epochs: groups.map(\.epoch))
        return ControlStage(
            identity: identity, defaults: configuration.topics,
            store: EmbeddedStore(files: port(.control), opened: metadata), links: wiring.control(),
            failures: groups.map(\.journal.positions.failed), onFailure: onFailure, logger: logger)
    }
}
