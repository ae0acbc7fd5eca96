import Broker
import Coordination
import Host
import IO
import Journal
import Logging
import Replication
import Synchronization

/// A broker of a simulated cluster: its disk, and, while its process lives, all its real stages.
final class ClusterBroker {
    /// A broker that another one wants to be connected with, and who is to be told.
    struct Dial: Sendable {
        var to: Int32
        var inbox: Inbox<ReplicaNews>
    }

    /// What other threads of a broker would do.
    private final class Outside: Sendable {
        let dials = Mutex<[Dial]>([])
        let failure = Mutex<String?>(nil)
        let random: Mutex<SeededRandom>

        init(seed: UInt64) { random = Mutex(SeededRandom(seed: seed)) }
    }

    private struct Host: StageHost {
        let disk: SimulatedDisk
        let clients: SimulatedNetwork
        let peers: SimulatedNetwork
        let waker = Waker {}

        func waker(thread: Int) -> Waker { waker }
        func files(for stage: StageID, thread: Int) -> any FilePort { disk.makePort() }
        func followers(group: Int) -> [any FollowerLink] { [] }
        func sockets(for stage: StageID, thread: Int) -> any SocketPort {
            if case .replicate = stage { peers.makePort() } else { clients.makePort() }
        }
    }

    /// A process, from its start to its end.
    final class Life {
        let stageSet: ClusterStageSet
        let clients = SimulatedNetwork()
        let peers = SimulatedNetwork()
        let store: SimulatedStore
        private let outside: Outside
        /// How far each group's committed journal was held against the others'.
        var checked: [UInt64]
        /// Where each group's journal began when it was looked at last; and how many snapshots had been installed.
        var starts: [UInt64]
        var installed = 0
        /// The epoch in which each group's clients were served last.
        var served: [UInt64]

        init(_ configuration: BrokerConfiguration, disk: SimulatedDisk, shared: InMemoryCoordination, story: StoryLog?, seed: UInt64, now: UInt64) throws {
            let outside = Outside(seed: seed)
            self.outside = outside
            store = SimulatedStore(shared, name: "broker \(configuration.nodeId)", seed: seed &+ 1, now: now)
            let ground = ClusterGround(
                store: store, listener: 0, peerHost: "simulated", peerPort: 9192,
                blocking: BlockingFiles(files: disk.makePort(), source: SimulatedDiskSource(disk)), waker: Waker {},
                dial: { broker, _, _, inbox in outside.dials.withLock { $0.append(Dial(to: broker, inbox: inbox)) } },
                refuse: { reason in outside.failure.withLock { $0 = reason } }, random: { outside.random.withLock { $0.next() } })
            var silent = Logger(label: "simulated") { _ in SwiftLogNoOpLogHandler() }
            silent.logLevel = .critical
            let logger = story?.logger(configuration.nodeId) ?? silent
            stageSet = try ClusterStageSet(
                configuration, host: Host(disk: disk, clients: clients, peers: peers), ground: ground, logger: logger,
                onFailure: { code in outside.failure.withLock { $0 = "storage has failed: \(code)" } })
            let groups = stageSet.positions.count
            checked = Array(repeating: 0, count: groups)
            served = checked
            starts = checked
            stageSet.start()
        }

        /// Why the process is about to end by itself.
        var failure: String? { outside.failure.withLock { $0 } }

        func takeDials() -> [Dial] {
            outside.dials.withLock { dials in
                defer { dials = [] }
                return dials
            }
        }

        /// One round of all stages. Returns how much was done.
        func step(_ now: Moment) -> Int {
            if stageSet.draining.isHeld, stageSet.hasJoined { stageSet.draining.release() }
            var progress = clients.poll() + peers.poll()
            for stage in stageSet.stages { progress += stage.step(now) }
            return progress
        }

        /// When a stage wants to be stepped though nothing happens.
        var deadline: UInt64 { stageSet.stages.reduce(.max) { min($0, $1.deadline) } }
    }

    let id: Int32
    let configuration: BrokerConfiguration
    private(set) var disk = SimulatedDisk()
    /// Nil: it is down.
    private(set) var life: Life?
    /// Nothing of it is stepped until then.
    var pausedUntil: UInt64 = 0
    /// Its drive does not sync anything until then.
    var stalledUntil: UInt64 = 0
    /// What its wall clock is wrong by, in milliseconds.
    var clockError: Int64 = 0
    /// When it starts again, if nobody does it before.
    var startsAt: UInt64 = .max
    private(set) var startedAt: UInt64 = 0
    /// The processes that have ended, and whose leases may not have.
    private var formerStores: [SimulatedStore] = []

    init(_ configuration: BrokerConfiguration) {
        self.configuration = configuration
        id = configuration.nodeId
    }

    func isAwake(_ now: UInt64) -> Bool { life != nil && now >= pausedUntil }

    /// - Parameter story: what it logs; nil: nobody wants to know.
    func start(shared: InMemoryCoordination, story: StoryLog?, seed: UInt64, now: UInt64) throws {
        precondition(life == nil, "a broker has one process")
        startsAt = .max
        startedAt = now
        life = try Life(configuration, disk: disk, shared: shared, story: story, seed: seed, now: now)
    }

    /// The process is gone; what the disk makes of that is the caller's affair.
    func end() {
        guard let life else { return }
        life.store.inner.isCutOff = true
        formerStores.append(life.store)
        self.life = nil
        pausedUntil = 0
        stalledUntil = 0
        disk.holdsSyncs = false
        disk.faults = nil
        disk.freeBytes = .max
    }

    /// Everything that was on the disk is gone.
    func wipe() { disk = SimulatedDisk() }

    /// Leases that have not been renewed for too long end. Returns how many.
    func expireLeases(_ now: UInt64) -> Int {
        var count = 0
        formerStores.removeAll { store in
            guard store.expires(now: now) else { return false }
            count += 1
            return true
        }
        if let life, life.store.expires(now: now) { count += 1 }
        return count
    }

    func directory(_ group: Int) -> String { JournalPaths.directory(in: configuration.dataDirectory, group: group) }

    /// Shows the journal's bytes, segment by segment, as the process sees them. False: some of them can't be had.
    func show(_ group: Int, _ range: Range<UInt64>, _ look: (UInt64, UnsafeRawBufferPointer) throws -> Void) rethrows -> Bool {
        guard let cache = life?.stageSet.caches[group] else { return false }
        let segmentBytes = UInt64(cache.segmentBytes)
        var from = range.lowerBound
        while from < range.upperBound {
            let number = from / segmentBytes
            let end = min(range.upperBound, (number + 1) * segmentBytes)
            let offset = Int(from % segmentBytes)
            if let slot = cache.pin(segment: number) {
                defer { cache.unpin(slot: slot) }
                try look(from, UnsafeRawBufferPointer(start: cache.base(slot: slot) + offset, count: Int(end - from)))
            } else {
                let path = JournalPaths(directory: directory(group)).segment(number)
                guard try disk.show(path, offset..<offset + Int(end - from), { try look(from, $0) }) else { return false }
            }
            from = end
        }
        return true
    }

    /// Whether the journal's bytes, which lie in one segment, are on its stable storage.
    func holdsDurably(_ group: Int, _ position: UInt64, _ bytes: UnsafeRawBufferPointer) -> Bool {
        let segmentBytes = UInt64(configuration.journal.segmentBytes)
        let path = JournalPaths(directory: directory(group)).segment(position / segmentBytes)
        return disk.holdsDurably(path, at: Int(position % segmentBytes), bytes)
    }
}
