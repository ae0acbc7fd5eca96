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

/// What the stages of a broker stand on: the host's kernel, or simulated twins.
public protocol StageHost {
    func waker(thread: Int) -> Waker
    /// A port of its own for the stage, on its thread.
    func files(for stage: StageID, thread: Int) -> any FilePort
    func sockets(for stage: StageID, thread: Int) -> any SocketPort
    /// The ways to a partition group's other replicas.
    func followers(group: Int) -> [any FollowerLink]
}

/// Makes the stages of a broker and connects them.
final class Assembly {
    /// What the control stage's answers may take of memory together.
    private static let controlAnswerBytes = 32 << 20

    private let configuration: BrokerConfiguration
    private let plan: PlacementPlan
    private let host: any StageHost
    private let groups: [OpenedGroup]
    private let metadata: EmbeddedStore.Opened
    private let listener: Int32
    private let port: UInt16
    private let draining: DrainSwitch
    private let trace: EventTrace?
    private let logger: Logger
    private let onFailure: @Sendable (Int32) -> Void
    private let wiring: Wiring
    private let table: TopicTable
    private let connections: ConnectionCounts
    private(set) var sequencers: [StageBox<SequencerStage>] = []

    init(
        configuration: BrokerConfiguration, plan: PlacementPlan, host: any StageHost, groups: [OpenedGroup],
        metadata: EmbeddedStore.Opened, listener: Int32, port: UInt16, draining: DrainSwitch, trace: EventTrace?, logger: Logger,
        onFailure: @escaping @Sendable (Int32) -> Void
    ) {
        self.configuration = configuration
        self.plan = plan
        self.host = host
        self.groups = groups
        self.metadata = metadata
        self.listener = listener
        self.port = port
        self.draining = draining
        self.trace = trace
        self.logger = logger
        self.onFailure = onFailure
        wiring = Wiring(
            plan: plan, wakers: plan.threads.indices.map { host.waker(thread: $0) }, inFlight: configuration.intake.inFlight,
            connections: configuration.intake.connections, slots: configuration.journal.cacheSegments)
        table = metadata.state.table(defaults: configuration.topics.settings)
        connections = ConnectionCounts(
            limit: configuration.intake.connections, perAddress: configuration.intake.connectionsPerAddress)
    }

    private func files(_ stage: StageID) -> any FilePort { host.files(for: stage, thread: plan.thread(of: stage)) }
    private func sockets(_ stage: StageID) -> any SocketPort { host.sockets(for: stage, thread: plan.thread(of: stage)) }

    func makeStages() -> [StageID: AnyStage] {
        var stages: [StageID: AnyStage] = [:]
        for group in groups.indices {
            wiring.watch(groups[group].journal.positions, group: group)
            groups[group].journal.positions.serving.advance(to: UInt64(groups[group].epoch))
            let sequencer = StageBox("write", sequencer(group))
            sequencers.append(sequencer)
            stages[.write(group)] = sequencer
            stages[.flush(group)] = StageBox("flush", flush(group))
            stages[.replicate(group)] = StageBox(
                "replicate",
                ReplicateStage(positions: groups[group].journal.positions, followers: host.followers(group: group)))
            stages[.loader(group)] = StageBox("loader", loader(group))
            stages[.archive(group)] = StageBox("archive", archive(group))
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
            sockets: sockets(.io(io)), listener: listener, limits: configuration.intake, links: wiring.intake(io),
            table: table, draining: draining, counts: connections, logger: logger)
    }

    private func respond(_ io: Int) -> RespondStage {
        RespondStage(
            sockets: sockets(.respond(io)), positions: groups.map(\.journal.positions), links: wiring.respond(io),
            connections: configuration.intake.connections, queueCapacity: Wiring.pendingCapacity, sendTimeout: configuration.intake.timeouts.send, logger: logger,
            trace: trace)
    }

    private func sequencer(_ group: Int) -> SequencerStage {
        let opened = groups[group]
        let journal = JournalWriter(
            cache: opened.journal.cache, positions: opened.journal.positions, identity: opened.journal.identity, epoch: opened.epoch,
            position: opened.journal.recovered.position, previous: opened.journal.recovered.previous,
            current: opened.journal.current, prepared: wiring.prepared[group].receiver(),
            toFlush: wiring.toFlush[group].sender())
        return SequencerStage(
            group: UInt16(group), journal: journal, positions: opened.journal.positions, state: opened.state,
            links: wiring.sequencer(group), table: table,
            role: .leading(epochFrame: EpochFrame(nodeId: configuration.nodeId, start: opened.journal.recovered.position).encode()),
            nodeId: configuration.nodeId, producerExpiration: configuration.producerExpiration, logger: logger)
    }

    private func flush(_ group: Int) -> FlushStage {
        let journal = groups[group].journal
        return FlushStage(
            files: files(.flush(group)), cache: journal.cache, positions: journal.positions,
            method: configuration.flushMethod, group: group, segments: wiring.toFlush[group].receiver(),
            done: wiring.durable[group].sender(), trace: trace)
    }

    private func loader(_ group: Int) -> LoaderStage {
        let journal = groups[group].journal
        return LoaderStage(
            files: files(.loader(group)), cache: journal.cache, paths: journal.paths, positions: journal.positions,
            directory: journal.directory, existing: journal.prepared, next: journal.current.number + 1,
            used: journal.current.slot, prepared: wiring.prepared[group].sender(),
            durable: wiring.durable[group].receiver(), freed: wiring.freed[group].receiver(), free: journal.free,
            reserveBytes: configuration.journal.reserveBytes, logger: logger)
    }

    private func archive(_ group: Int) -> ArchiveStage {
        let journal = groups[group].journal
        return ArchiveStage(
            files: files(.archive(group)), paths: journal.paths, journal: journal.identity, epochs: groups[group].epochs,
            segmentBytes: journal.cache.segmentBytes, reserveBytes: configuration.journal.reserveBytes, directory: journal.directory, catalog: journal.catalog,
            positions: journal.positions, links: wiring.archive(group), logger: logger)
    }

    private func read() -> ReadStage {
        ReadStage(
            files: files(.read),
            groups: groups.map { ReadGroup($0.journal, epochs: $0.epochs) }, limits: configuration.reading, links: wiring.read(), table: table,
            waker: host.waker(thread: plan.thread(of: .read)), draining: draining, logger: logger)
    }

    private func control() -> ControlStage {
        let address = BrokerAddress(
            nodeId: configuration.nodeId, host: configuration.advertisedHost ?? configuration.listenHost,
            port: Int32(configuration.advertisedPort ?? port))
        return ControlStage(
            nodeId: configuration.nodeId, directory: LoneBroker(address, epochs: groups.map(\.epoch)), defaults: configuration.topics, settings: configuration.settings,
            store: EmbeddedStore(files: files(.control), opened: metadata), links: wiring.control(),
            answerBytes: Assembly.controlAnswerBytes, waker: host.waker(thread: plan.thread(of: .control)),
            failures: groups.map(\.journal.positions.failed), onFailure: onFailure, logger: logger)
    }
}
