import Control
import Coordination
import Fetching
import Glibc
import Host
import IO
import Journal
import Logging
import Metadata
import Replication
import Synchronization

/// What makes a broker one of several: its rooms for partition groups, the steward who opens and closes them, its part in the store.
final class ClusterMember {
    /// Why the broker can't be part of this cluster, once it is known that it can't.
    private final class Refusal: Sendable {
        let reason = Mutex<String?>(nil)
    }

    let stages: [StageID: AnyStage]
    private let cluster: Cluster
    private let steward: Steward
    private let ring: Ring
    private let inbox: Inbox<ReplicaNews>
    private let rooms: [GroupRoom]
    private let refusal = Refusal()
    private var stewardControl: ExecutorControl?

    /// - Parameters:
    ///   - port: that clients connect to.
    ///   - wakers: of the plan's threads.
    ///   - assembly: makes stages, from the metadata.
    init(
        _ wanted: ClusterConfiguration, configuration: BrokerConfiguration, plan: PlacementPlan, port: UInt16, backend: RingBackend,
        blocking: BlockingFiles, wakers: [Waker], logger: Logger, assembly makeAssembly: (@escaping @Sendable () -> MetadataState) -> Assembly
    ) throws {
        try ClusterMember.refuseLoneData(configuration.dataDirectory, blocking)
        let listener: Listener
        do { listener = try Listener(host: wanted.peerHost, port: wanted.peerPort) } catch {
            throw BrokerError("\(wanted.peerHost):\(wanted.peerPort) can't be listened on for other brokers: \(error). Choose another with peer.listen.")
        }
        let store: EtcdStore
        do { store = try EtcdStore(wanted.etcd, log: logger) } catch { throw BrokerError("\(error)") }
        let replicate = wakers[plan.thread(of: .replicate(0))]
        inbox = Inbox(waker: replicate)
        ring = try Ring(backend)
        let wishes = Inbox<Steward.Wish>(waker: ring.waker)
        let registration = BrokerRegistration(
            host: configuration.advertisedHost ?? configuration.listenHost, port: Int32(configuration.advertisedPort ?? port),
            peerHost: wanted.advertisedPeerHost ?? wanted.peerHost, peerPort: wanted.advertisedPeerPort ?? listener.port)
        let refusal = refusal
        cluster = Cluster(
            Cluster.Settings(
                nodeId: configuration.nodeId, id: configuration.clusterId, groups: wanted.groups, defaultReplicas: wanted.defaultReplicas,
                registration: registration),
            store: store, inbox: inbox, control: wakers[plan.thread(of: .control)], logger: logger,
            open: { wishes.put(.open($0, key: $1)) }, refuse: { reason in refusal.reason.withLock { $0 = reason } })
        let assembly = makeAssembly { [cluster] in cluster.metadata }
        rooms = try ClusterMember.makeRooms(configuration, plan, assembly, blocking, logger)
        var news = OwnedArray<Sender<Unmanaged<ReadGroupNews>>>(minimumCapacity: rooms.count)
        for group in rooms.indices { news.append(assembly.wiring.readNews[group].sender()) }
        steward = Steward(
            rooms: rooms, news: news, blocking: BlockingFiles(files: ring.makePort(), source: ring), configuration: configuration,
            assembly: assembly, inbox: inbox, wishes: wishes, logger: logger)
        steward.cluster = cluster
        steward.dialer = Dialer(inbox: inbox, logger: logger)

        var made: [StageID: AnyStage] = [:]
        var groups = OwnedArray<ReplicaStage.Group>(minimumCapacity: rooms.count)
        for (number, room) in rooms.enumerated() {
            made[.write(number)] = room.write
            made[.flush(number)] = room.flush
            made[.loader(number)] = room.loader
            made[.archive(number)] = room.archive
            room.write.fill(assembly.closedSequencer(room.closed, table: assembly.currentTable()))
            groups.append(
                ReplicaStage.Group(
                    positions: room.positions, cache: room.cache, paths: room.paths,
                    orders: assembly.wiring.writeOrders[number].sender()))
        }
        made[.replicate(0)] = StageBox(
            "replicate",
            ReplicaStage(
                nodeId: configuration.nodeId, sockets: assembly.sockets(.replicate(0)), files: assembly.files(.replicate(0)),
                listener: listener.socket, inbox: inbox, host: steward, groups: groups, times: wanted.times, logger: logger))
        assembly.addCommonStages(
            &made, groups: rooms.map(\.closed), areOpen: false, directory: cluster,
            store: ClusterMetadata(cluster: cluster, waker: wakers[plan.thread(of: .control)]))
        stages = made
    }

    /// Data of a broker that was alone is not taken for a replica's.
    private static func refuseLoneData(_ directory: String, _ blocking: BlockingFiles) throws {
        let names = (try? blocking.files.list(directory)) ?? []
        guard !names.contains("metadata.log") else {
            throw BrokerError(
                "\(directory) has the data of a broker that is alone. Name another directory with --data-dir, or leave etcd.endpoints away.")
        }
    }

    private static func makeRooms(
        _ configuration: BrokerConfiguration, _ plan: PlacementPlan, _ assembly: Assembly, _ blocking: BlockingFiles, _ logger: Logger
    ) throws -> [GroupRoom] {
        let opener = JournalOpener(blocking: blocking, options: configuration.journal, logger: logger)
        return try (0..<plan.partitionGroups).map { number in
            let files = GroupFiles(
                flush: assembly.files(.flush(number)), loader: assembly.files(.loader(number)), archive: assembly.files(.archive(number)))
            return GroupRoom(
                number: UInt16(number), positions: JournalPositions(start: 0), cache: try opener.makeCache(node: plan.nodeOfGroup[number]),
                paths: JournalPaths(directory: "\(configuration.dataDirectory)/group-\(number)"), files: files,
                waker: { assembly.wiring.waker($0) })
        }
    }

    // MARK: Life

    /// Joins the cluster: returns when the store has told what there is, and tells others of this broker.
    func start(isCancelled: () -> Bool) throws {
        let executor = Executor(name: "steward", cpu: nil, stages: [StageBox("steward", steward)], source: ring, spins: 0)
        stewardControl = executor.control
        let result = executor.start()
        guard result == 0 else { throw BrokerError("a thread can't be started: \(describe(errno: -result))") }
        cluster.start()
        while !cluster.hasJoined {
            if isCancelled() { throw BrokerError("stopped while the cluster's store was waited for") }
            usleep(10_000)
        }
        if let reason = refusal.reason.withLock({ $0 }) { throw BrokerError(reason) }
    }

    /// Hands its leadership to others, and leaves.
    func leave() {
        for group in rooms.indices { inbox.put(.resign(group: group)) }
        // What others need to see it: a moment. They take over at once, because nobody leads.
        for _ in 0..<100 where rooms.contains(where: { $0.positions.serving.load() > 0 }) { usleep(10_000) }
        usleep(100_000)
        cluster.stop()
        stewardControl?.stop()
        for _ in 0..<1000 where !(stewardControl?.hasEnded ?? true) { usleep(1000) }
    }
}
