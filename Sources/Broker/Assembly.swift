import Control
import Fetching
import Groups
import Host
import IO
import Intake
import Journal
import Logging
import Metadata
import Meters
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
    /// What the answers of control, and those of groups, may take of memory together.
    private static let answerBytes = 32 << 20

    private let configuration: BrokerConfiguration
    private let plan: PlacementPlan
    private let host: any StageHost
    private let metadata: @Sendable () -> MetadataState
    private let listener: Int32
    private let port: UInt16
    private let draining: DrainSwitch
    private let trace: EventTrace?
    private let board: MeterBoard?
    private let logger: Logger
    private let onFailure: @Sendable (Int32) -> Void
    let wiring: Wiring
    private let table: TopicTable
    private let connections: ConnectionCounts
    private let hosts = ClientHosts()
    /// Of the io stages, on the host's kernel.
    private(set) var intakePorts: [RingPort?] = []
    private(set) var sequencers: [StageBox<SequencerStage>] = []

    init(
        configuration: BrokerConfiguration, plan: PlacementPlan, host: any StageHost, metadata: @escaping @Sendable () -> MetadataState,
        listener: Int32, port: UInt16, draining: DrainSwitch, trace: EventTrace?, board: MeterBoard? = nil, logger: Logger,
        onFailure: @escaping @Sendable (Int32) -> Void
    ) {
        self.board = board
        self.configuration = configuration
        self.plan = plan
        self.host = host
        self.metadata = metadata
        self.listener = listener
        self.port = port
        self.draining = draining
        self.trace = trace
        self.logger = logger
        self.onFailure = onFailure
        wiring = Wiring(
            plan: plan, wakers: plan.threads.indices.map { host.waker(thread: $0) }, inFlight: configuration.intake.inFlight,
            connections: configuration.intake.connections, slots: configuration.journal.cacheSegments, isCluster: configuration.cluster != nil)
        table = metadata().table(defaults: configuration.topics.settings)
        connections = ConnectionCounts(
            limit: configuration.intake.connections, perAddress: configuration.intake.connectionsPerAddress)
    }

    func files(_ stage: StageID) -> any FilePort { host.files(for: stage, thread: plan.thread(of: stage)) }
    func sockets(_ stage: StageID) -> any SocketPort { host.sockets(for: stage, thread: plan.thread(of: stage)) }
    func meter(_ stage: StageID) -> StageMeter { board?.meter(of: stage) ?? .unwatched }

    /// The topics as they are now.
    func currentTable() -> TopicTable { metadata().table(defaults: configuration.topics.settings) }

    /// How many partition numbers the group has given out.
    func partitionNumbers(_ group: UInt16) -> UInt32 {
        let numbers = metadata().partitionNumbers
        return Int(group) < numbers.count ? numbers[Int(group)] : 0
    }

    /// The stages of a broker that is alone, which leads all its groups.
    func makeStages(_ opened: [OpenedGroup], _ metadata: EmbeddedStore.Opened) -> [StageID: AnyStage] {
        var stages: [StageID: AnyStage] = [:]
        for (group, each) in opened.enumerated() {
            let files = GroupFiles(flush: files(.flush(group)), loader: files(.loader(group)), archive: files(.archive(group)))
            let frame = EpochFrame(nodeId: configuration.nodeId, start: each.journal.recovered.position).encode()
            let made = makeStages(group, each, files, role: .leading(epochFrame: frame), table: table)
            sequencers.append(made.write)
            stages[.write(group)] = made.write
            stages[.flush(group)] = made.flush
            stages[.loader(group)] = made.loader
            stages[.archive(group)] = made.archive
            stages[.replicate(group)] = StageBox(
                "replicate", ReplicateStage(positions: each.journal.positions, followers: host.followers(group: group), meter: meter(.replicate(group))))
            each.journal.positions.serve(each.epochs)
        }
        let address = BrokerAddress(
            nodeId: configuration.nodeId, host: configuration.advertisedHost ?? configuration.listenHost,
            port: Int32(configuration.advertisedPort ?? port))
        addCommonStages(
            &stages, groups: opened.map { ReadGroup($0.journal, epochs: $0.epochs) }, areOpen: true,
            directory: LoneBroker(address, epochs: opened.map(\.epoch)), store: EmbeddedStore(files: files(.control), opened: metadata))
        return stages
    }

    /// The stages that serve all partition groups.
    func addCommonStages(
        _ stages: inout [StageID: AnyStage], groups: [ReadGroup], areOpen: Bool, directory: any BrokerDirectory, store: any MetadataStore
    ) {
        for (number, group) in groups.enumerated() { wiring.watch(group.positions, group: number) }
        for io in 0..<plan.ioThreads {
            stages[.io(io)] = StageBox("io", intake(io))
            stages[.respond(io)] = StageBox("respond", respond(io, groups.map(\.positions)))
        }
        stages[.read] = StageBox("read", read(groups, areOpen: areOpen))
        stages[.control] = StageBox("control", control(directory, store, failures: groups.map(\.positions.failed)))
        stages[.groups] = StageBox("groups", coordinator(groups.map(\.positions)))
    }

    /// The stages that work on one partition group's journal.
    /// - Parameter suspect: of a replica: called with a position where the disk does not have what it should.
    func makeStages(
        _ group: Int, _ opened: OpenedGroup, _ files: GroupFiles, role: SequencerRole, table: TopicTable,
        suspect: (@Sendable (UInt64) -> Void)? = nil
    ) -> GroupStages {
        let channels = wiring.channels(group)
        wiring.segmentsAhead[group].withLock { $0 = channels.prepared }
        return GroupStages(
            write: StageBox("write", sequencer(group, opened, channels, role: role, table: table)),
            flush: StageBox("flush", flush(group, opened.journal, channels, files.flush)),
            loader: StageBox("loader", loader(opened.journal, channels, files.loader)),
            archive: StageBox("archive", archive(group, opened, channels, files.archive, suspect)), channels: channels)
    }

    // MARK: Each stage

    private func intake(_ io: Int) -> IntakeStage {
        let sockets = sockets(.io(io))
        intakePorts.append(sockets as? RingPort)
        return IntakeStage(
            sockets: sockets, listener: listener, limits: configuration.intake, links: wiring.intake(io),
            table: table, draining: draining, number: io, counts: connections, hosts: hosts, meter: meter(.io(io)),
            requests: board?.requests ?? .unwatched, logger: logger)
    }

    private func respond(_ io: Int, _ positions: [JournalPositions]) -> RespondStage {
        RespondStage(
            sockets: sockets(.respond(io)), positions: positions, links: wiring.respond(io),
            connections: configuration.intake.connections, queueCapacity: Wiring.pendingCapacity, sendTimeout: configuration.intake.timeouts.send,
            meter: meter(.respond(io)), errors: board?.errors ?? .unwatched, logger: logger,
            trace: trace)
    }

    private func sequencer(
        _ group: Int, _ opened: OpenedGroup, _ channels: GroupChannels, role: SequencerRole, table: TopicTable
    ) -> SequencerStage {
        let journal = JournalWriter(
            cache: opened.journal.cache, positions: opened.journal.positions, identity: opened.journal.identity, epoch: opened.epoch,
            position: opened.journal.recovered.position, previous: opened.journal.recovered.previous,
            current: opened.journal.current, prepared: channels.prepared.receiver(), toFlush: channels.toFlush.sender())
        return SequencerStage(
            group: UInt16(group), journal: journal, positions: opened.journal.positions, state: opened.state,
            links: wiring.sequencer(group, channels), table: table, role: role, nodeId: configuration.nodeId,
            producerExpiration: configuration.producerExpiration, meter: meter(.write(group)), errors: board?.errors ?? .unwatched,
            logger: logger)
    }

    /// A write stage without a journal: it refuses what is asked of it.
    func closedSequencer(_ group: ReadGroup, table: TopicTable) -> StageBox<SequencerStage> {
        let number = Int(group.identity.group)
        let channels = wiring.channels(number)
        let journal = JournalWriter(
            cache: group.cache, positions: group.positions, identity: group.identity, epoch: 0, position: 0, previous: 0, current: nil,
            prepared: channels.prepared.receiver(), toFlush: channels.toFlush.sender())
        return StageBox("write", SequencerStage(
            group: group.identity.group, journal: journal, positions: group.positions, state: SequencerState(producerLimit: 1),
            links: wiring.sequencer(number, channels), table: table, role: .following, nodeId: configuration.nodeId,
            producerExpiration: configuration.producerExpiration, logger: logger))
    }

    private func flush(_ group: Int, _ journal: OpenedJournal, _ channels: GroupChannels, _ files: any FilePort) -> FlushStage {
        FlushStage(
            files: files, cache: journal.cache, positions: journal.positions, method: configuration.flushMethod, group: group,
            segments: channels.toFlush.receiver(), done: channels.durable.sender(), trace: trace,
            meter: meter(.flush(group)))
    }

    private func loader(_ journal: OpenedJournal, _ channels: GroupChannels, _ files: any FilePort) -> LoaderStage {
        LoaderStage(
            files: files, cache: journal.cache, paths: journal.paths, positions: journal.positions,
            directory: journal.directory, existing: journal.prepared, next: journal.current.number + 1,
            used: journal.current.slot, prepared: channels.prepared.sender(),
            durable: channels.durable.receiver(), freed: channels.freed.receiver(), free: journal.free,
            // A replica's end is told from what was never written by the zeros behind it.
            reserveBytes: configuration.journal.reserveBytes, recycles: configuration.cluster == nil, logger: logger)
    }

    private func archive(
        _ group: Int, _ opened: OpenedGroup, _ channels: GroupChannels, _ files: any FilePort, _ suspect: (@Sendable (UInt64) -> Void)?
    ) -> ArchiveStage {
        let journal = opened.journal
        return ArchiveStage(
            files: files, paths: journal.paths, journal: journal.identity, epochs: opened.epochs,
            segmentBytes: journal.cache.segmentBytes, reserveBytes: configuration.journal.reserveBytes,
            compaction: configuration.journal.compaction, directory: journal.directory, catalog: journal.catalog,
            positions: journal.positions, suspect: suspect, links: wiring.archive(group, channels), logger: logger)
    }

    private func read(_ groups: [ReadGroup], areOpen: Bool) -> ReadStage {
        ReadStage(
            files: files(.read), directory: configuration.directory, groups: groups, isOpen: areOpen, limits: configuration.reading, links: wiring.read(), table: table,
            waker: host.waker(thread: plan.thread(of: .read)), draining: draining, logger: logger)
    }

    private func control(_ directory: any BrokerDirectory, _ store: any MetadataStore, failures: [Position]) -> ControlStage {
        ControlStage(
            nodeId: configuration.nodeId, directory: directory, defaults: configuration.topics, settings: configuration.settings,
            store: store, links: wiring.control(), answerBytes: Assembly.answerBytes,
            waker: host.waker(thread: plan.thread(of: .control)), failures: failures, onFailure: onFailure, logger: logger)
    }

    private func coordinator(_ positions: [JournalPositions]) -> GroupStage {
        GroupStage(
            settings: configuration.groups, files: files(.groups), directory: configuration.directory, positions: positions, links: wiring.groups(), local: wiring.local(), hosts: hosts, table: table,
            answerBytes: Assembly.answerBytes, waker: host.waker(thread: plan.thread(of: .groups)), draining: draining, random: { .random(in: 0 ... .max) }, logger: logger)
    }
}

/// The file ports of the stages that work on one partition group's journal.
struct GroupFiles {
    let flush: any FilePort
    let loader: any FilePort
    let archive: any FilePort
}

/// The stages that work on one partition group's journal, and the channels between them.
struct GroupStages {
    let write: StageBox<SequencerStage>
    let flush: StageBox<FlushStage>
    let loader: StageBox<LoaderStage>
    let archive: StageBox<ArchiveStage>
    let channels: GroupChannels
}
