import Control
import Coordination
import Fetching
import Host
import IO
import Journal
import Logging
import Metadata
import Replication

/// What a broker's part in its cluster stands on: etcd, sockets and a thread of its own, or simulated twins.
public struct ClusterGround {
    public var store: any CoordinationStore
    /// Where other brokers connect to, as a port of the replicate stage takes it.
    public var listener: Int32
    /// The same, as other brokers are told of it.
    public var peerHost: String
    public var peerPort: UInt16
    /// Files of the steward, who waits for them.
    public var blocking: BlockingFiles
    /// Of the thread that steps the steward.
    public var waker: Waker
    /// Connects to a broker and tells the inbox of it; called from any thread, returns at once.
    public var dial: @Sendable (_ broker: Int32, _ host: String, _ port: UInt16, Inbox<ReplicaNews>) -> Void
    /// Called when the broker can't be part of this cluster: a sentence.
    public var refuse: @Sendable (String) -> Void
    /// Numbers that nobody else draws: names of disks and journals.
    public var random: @Sendable () -> UInt64

    public init(
        store: any CoordinationStore, listener: Int32, peerHost: String, peerPort: UInt16, blocking: BlockingFiles, waker: Waker,
        dial: @escaping @Sendable (Int32, String, UInt16, Inbox<ReplicaNews>) -> Void, refuse: @escaping @Sendable (String) -> Void,
        random: @escaping @Sendable () -> UInt64
    ) {
        self.store = store
        self.listener = listener
        self.peerHost = peerHost
        self.peerPort = peerPort
        self.blocking = blocking
        self.waker = waker
        self.dial = dial
        self.refuse = refuse
        self.random = random
    }
}

/// The stages of a broker that is one of several, made and connected: its rooms for partition groups, the steward who opens and closes them, its
/// part in the store.
final class ClusterStages {
    /// By the plan's places.
    let stages: [StageID: AnyStage]
    let steward: Steward
    let replicate: StageBox<ReplicaStage>
    let cluster: Cluster
    let inbox: Inbox<ReplicaNews>
    let rooms: [GroupRoom]

    /// - Parameters:
    ///   - port: that clients connect to.
    ///   - wakers: of the plan's threads.
    ///   - assembly: makes stages, from the metadata.
    init(
        _ wanted: ClusterConfiguration, _ ground: ClusterGround, configuration: BrokerConfiguration, plan: PlacementPlan, port: UInt16,
        wakers: [Waker], logger: Logger, assembly makeAssembly: (@escaping @Sendable () -> MetadataState) -> Assembly
    ) throws {
        try ClusterStages.refuseLoneData(configuration.dataDirectory, ground.blocking)
        let replicateWaker = wakers[plan.thread(of: .replicate(0))]
        let control = wakers[plan.thread(of: .control)]
        inbox = Inbox(waker: replicateWaker)
        let wishes = Inbox<Steward.Wish>(waker: ground.waker)
        let registration = BrokerRegistration(
            host: configuration.advertisedHost ?? configuration.listenHost, port: Int32(configuration.advertisedPort ?? port),
            peerHost: ground.peerHost, peerPort: ground.peerPort)
        cluster = Cluster(
            Cluster.Settings(
                nodeId: configuration.nodeId, id: configuration.clusterId, groups: wanted.groups, defaultReplicas: wanted.defaultReplicas,
                registration: registration, random: ground.random),
            store: ground.store, inbox: inbox, control: control, logger: logger, open: { wishes.put(.open($0, key: $1)) },
            remove: { wishes.put(.remove($0)) }, refuse: ground.refuse)
        let assembly = makeAssembly { [cluster] in cluster.metadata }
        rooms = try ClusterStages.makeRooms(configuration, plan, assembly, ground.blocking, logger)
        var news = OwnedArray<Sender<Unmanaged<ReadGroupNews>>>(minimumCapacity: rooms.count)
        for group in rooms.indices { news.append(assembly.wiring.readNews[group].sender()) }
        steward = Steward(
            rooms: rooms, news: news, ground: ground, configuration: configuration, assembly: assembly, cluster: cluster, inbox: inbox,
            wishes: wishes, logger: logger)

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
                    orders: assembly.wiring.writeOrders[number].sender(), seed: ground.random()))
        }
        replicate = StageBox(
            "replicate",
            ReplicaStage(
                nodeId: configuration.nodeId, sockets: assembly.sockets(.replicate(0)), files: assembly.files(.replicate(0)),
                listener: ground.listener, inbox: inbox, host: steward, groups: groups, times: wanted.times, meter: assembly.meter(.replicate(0)),
                logger: logger))
        made[.replicate(0)] = replicate
        assembly.addCommonStages(
            &made, groups: rooms.map(\.closed), areOpen: false, directory: cluster, store: ClusterMetadata(cluster: cluster, waker: control))
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
                paths: JournalPaths(directory: JournalPaths.directory(in: configuration.dataDirectory, group: number)), files: files,
                waker: { assembly.wiring.waker($0) })
        }
    }

    /// Another broker is to lead what this one leads.
    func resign() { for group in rooms.indices { inbox.put(.resign(group: group)) } }

    /// Whether it leads nothing, as far as its clients are concerned.
    var isServing: Bool { rooms.contains { $0.positions.serving.load() > 0 } }
}
