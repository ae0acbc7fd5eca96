import Control
import Coordination
import Glibc
import Host
import IO
import Journal
import Logging
import Metadata
import Replication
import Synchronization

/// What makes a broker one of several, on the host's kernel: the listener for other brokers, etcd, and the steward's thread.
final class ClusterMember {
    /// Why the broker can't be part of this cluster, once it is known that it can't.
    private final class Refusal: Sendable {
        let reason = Mutex<String?>(nil)
    }

    private let made: ClusterStages
    private let ring: Ring
    private let refusal = Refusal()
    private var stewardControl: ExecutorControl?

    /// - Parameters:
    ///   - port: that clients connect to.
    ///   - wakers: of the plan's threads.
    ///   - assembly: makes stages, from the metadata.
    init(
        _ wanted: ClusterConfiguration, configuration: BrokerConfiguration, plan: PlacementPlan, port: UInt16, backend: RingBackend,
        wakers: [Waker], logger: Logger, assembly: (@escaping @Sendable () -> MetadataState) -> Assembly
    ) throws {
        let listener: Listener
        do { listener = try Listener(host: wanted.peerHost, port: wanted.peerPort) } catch {
            throw BrokerError("\(wanted.peerHost):\(wanted.peerPort) can't be listened on for other brokers: \(error). Choose another with peer.listen.")
        }
        let store: EtcdStore
        do { store = try EtcdStore(wanted.etcd, log: logger) } catch { throw BrokerError("\(error)") }
        ring = try Ring(backend)
        let dialer = Dialer(logger: logger)
        let refusal = refusal
        let ground = ClusterGround(
            store: store, listener: listener.socket, peerHost: wanted.advertisedPeerHost ?? wanted.peerHost,
            peerPort: wanted.advertisedPeerPort ?? listener.port, blocking: BlockingFiles(files: ring.makePort(), source: ring),
            waker: ring.waker, dial: { dialer.dial($0, host: $1, port: $2, inbox: $3) },
            refuse: { reason in refusal.reason.withLock { $0 = reason } }, random: { .random(in: 1 ... .max) })
        made = try ClusterStages(
            wanted, ground, configuration: configuration, plan: plan, port: port, wakers: wakers, logger: logger, assembly: assembly)
    }

    var stages: [StageID: AnyStage] { made.stages }

    /// Of each partition group that there can be.
    var positions: [JournalPositions] { made.rooms.map(\.positions) }

    /// Joins the cluster: returns when the store has told what there is, and tells others of this broker.
    func start(isCancelled: () -> Bool) throws {
        let executor = Executor(name: "steward", cpu: nil, stages: [StageBox("steward", made.steward)], source: ring, spins: 0)
        stewardControl = executor.control
        let result = executor.start()
        guard result == 0 else { throw BrokerError("a thread can't be started: \(describe(errno: -result))") }
        made.cluster.start()
        while !made.cluster.hasJoined {
            if isCancelled() { throw BrokerError("stopped while the cluster's store was waited for") }
            usleep(10_000)
        }
        if let reason = refusal.reason.withLock({ $0 }) { throw BrokerError(reason) }
    }

    /// Hands its leadership to others, and leaves.
    func leave() {
        made.resign()
        // What others need to see it: a moment. They take over at once, because nobody leads.
        for _ in 0..<100 where made.isServing { usleep(10_000) }
        usleep(100_000)
        made.cluster.stop()
        stewardControl?.stop()
        for _ in 0..<1000 where !(stewardControl?.hasEnded ?? true) { usleep(1000) }
    }
}
