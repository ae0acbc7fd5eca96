// Unsafe on purpose: the stages are made here and handed to their threads, and come back when the threads have ended; in
// between, this file touches none of them.

import CHost
import Control
import Fetching
import Foundation
import Glibc
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
import Wire

/// A whole broker: its stages, wired by the plan, on its threads.
public final class Broker {
    public let configuration: BrokerConfiguration
    public let plan: PlacementPlan
    /// The port that is listened on.
    public let port: UInt16
    /// Where input and output go through.
    public let backend: RingBackend
    private let logger: Logger
    private let groups: [OpenedGroup]
    /// Where it is one of several; nil: it is alone.
    private let member: ClusterMember?
    private let sequencers: [StageBox<SequencerStage>]
    private let threads: [ThreadParts]
    /// What happens in its stages, to be read by anyone.
    public let board: MeterBoard
    private let watching: Watching
    private let draining: DrainSwitch
    private let lock: Int32
    private let listener: Listener
    private var controls: [ExecutorControl] = []

    /// The host's kernel: a ring a thread.
    private struct RingHost: StageHost {
        let rings: [Ring]

        func waker(thread: Int) -> Waker { rings[thread].waker }
        func files(for stage: StageID, thread: Int) -> any FilePort { rings[thread].makePort() }
        func sockets(for stage: StageID, thread: Int) -> any IO.SocketPort { rings[thread].makePort() }
        func followers(group: Int) -> [any FollowerLink] { [] }
    }

    private struct ThreadParts {
        var planned: PlannedThread
        var ring: Ring
        var stages: [AnyStage]
    }

    /// Opens the data directory, recovers what is there, and makes the stages. Nothing runs yet.
    /// - Parameter onFailure: called from a thread of the broker's with an errno when storage fails: nothing more is
    ///   acknowledged, and the process should end.
    public init(
        _ configuration: BrokerConfiguration, logger: Logger, onFailure: @escaping @Sendable (Int32) -> Void
    ) throws {
        let configuration = try Broker.fitted(configuration, logger)
        self.configuration = configuration
        self.logger = logger
        lock = try Broker.lockDirectory(configuration.dataDirectory)
        plan = Broker.plan(configuration)
        listener = try Broker.listen(configuration)
        port = listener.port
        let trace = configuration.traceFile.flatMap { EventTrace(path: $0) }
        draining = DrainSwitch(isHeld: configuration.cluster != nil)

        // One for the start, and one a thread: all now, so that all are of one backend.
        var rings = try Broker.makeRings(configuration.ringChoice, count: 1 + plan.threads.count, logger)
        let startRing = rings.removeFirst()
        backend = startRing.backend
        startRing.attach()
        let blocking = BlockingFiles(files: startRing.makePort(), source: startRing)

        var described = configuration
        described.settings = Broker.inForce(configuration.settings, plan, backend)
        let (plan, listener, draining) = (plan, listener, draining)
        let existing = Broker.existing(plan, isCluster: configuration.cluster != nil)
        let board = try Broker.makeBoard(configuration, existing, backend, listener.port, lock)
        self.board = board
        var watched: Assembly?
        func assembly(_ metadata: @escaping @Sendable () -> MetadataState) -> Assembly {
            let made = Assembly(
                configuration: described, plan: plan, host: RingHost(rings: rings), metadata: metadata, listener: listener.socket,
                port: listener.port, draining: draining, trace: trace, board: board, logger: logger, onFailure: onFailure)
            watched = made
            return made
        }
        var stages: [StageID: AnyStage]
        let positions: [JournalPositions]
        if let wanted = configuration.cluster {
            let member = try ClusterMember(
                wanted, configuration: configuration, plan: plan, port: listener.port, backend: backend, wakers: rings.map(\.waker),
                logger: logger, assembly: assembly)
            stages = member.stages
            positions = member.positions
            self.member = member
            groups = []
            sequencers = []
        } else {
            let opening = Opening(configuration: configuration, plan: plan, blocking: blocking, logger: logger)
            let (metadata, opened) = try opening.open()
            let assembly = assembly { metadata.state }
            stages = assembly.makeStages(opened, metadata)
            positions = opened.map(\.journal.positions)
            member = nil
            groups = opened
            sequencers = assembly.sequencers
        }
        for (kind, wedge) in configuration.wedges {
            for (id, stage) in stages where StageKind.of(id).kind == kind { stages[id] = WedgedStage(stage, wedge) }
        }
        guard let watched else { preconditionFailure("the stages have been made") }
        watching = Watching(
            board: board, plan: existing, isCluster: member != nil, wiring: watched.wiring, intakePorts: watched.intakePorts, positions: positions,
            cacheBytes: configuration.journal.segmentBytes * configuration.journal.cacheSegments)
        threads = zip(existing.threads, rings).map { planned, ring in
            ThreadParts(planned: planned, ring: ring, stages: planned.stages.map { stages[$0]! })
        }
    }

    /// The plan without what is not there: in a cluster one replicate stage serves all partition groups.
    private static func existing(_ plan: PlacementPlan, isCluster: Bool) -> PlacementPlan {
        var plan = plan
        guard isCluster else { return plan }
        for thread in plan.threads.indices {
            plan.threads[thread].stages.removeAll { if case .replicate(let group) = $0 { group > 0 } else { false } }
        }
        return plan
    }

    /// Counters for all stages, which others find by what the directory's lock says.
    private static func makeBoard(
        _ configuration: BrokerConfiguration, _ plan: PlacementPlan, _ backend: RingBackend, _ port: UInt16, _ lock: Int32
    ) throws -> MeterBoard {
        let advertised = "\(configuration.advertisedHost ?? configuration.listenHost):\(configuration.advertisedPort ?? port)"
        let board = try MeterBoard(
            BoardDescription(
                version: Program.version, brokerId: Int(configuration.nodeId), listen: "\(configuration.listenHost):\(port)", advertised: advertised,
                dataDirectory: configuration.directory, backend: backend.rawValue, flushMethod: configuration.flushMethod.rawValue,
                isCluster: configuration.cluster != nil, plan: plan))
        let text = Array(board.address.utf8)
        guard ftruncate(lock, 0) == 0, pwrite(lock, text, text.count, 0) == text.count else {
            throw BrokerError("\(configuration.dataDirectory)/lock can't be written to: \(describe(errno: errno)).")
        }
        return board
    }

    /// The settings with what the host has made of those that say `auto`.
    private static func inForce(
        _ settings: [DescribedSetting], _ plan: PlacementPlan, _ backend: RingBackend
    ) -> [DescribedSetting] {
        let chosen = [
            "io.backend": backend.rawValue, "threads.layout": plan.layout.rawValue, "threads.io": String(plan.ioThreads),
            "partition.groups": String(plan.partitionGroups),
        ]
        return settings.map { setting in
            var setting = setting
            setting.value = chosen[setting.name] ?? setting.value
            return setting
        }
    }

    // MARK: Running

    /// Requests wait for each of the threads in turn: they are to run as soon as they wake up, and are soon done.
    private static let slice: UInt64 = 100_000

    /// Starts the threads, and returns when clients are answered: alone, once the new epoch is on stable storage; in a cluster, once its store has told what
    /// there is.
    /// - Parameter isCancelled: asked while the store is waited for; true: that is given up.
    public func start(isCancelled: () -> Bool = { false }) throws {
        for line in plan.lines { logger.info("\(line)") }
        for group in groups { group.journal.cache.populate() }
        for (number, thread) in threads.enumerated() {
            let executor = Executor(
                name: thread.planned.name, cpu: thread.planned.cpu, stages: thread.stages, source: thread.ring,
                spins: plan.spins, slice: Broker.slice, meter: watching.meter(ofThread: number))
            controls.append(executor.control)
            let result = executor.start()
            guard result == 0 else { throw BrokerError("a thread can't be started: \(describe(errno: -result))") }
        }
        if let member {
            try member.start(isCancelled: isCancelled)
            draining.release()
            for thread in threads { thread.ring.waker.ring() }
        }
        for group in groups {
            let positions = group.journal.positions
            while positions.committed.load() <= group.journal.recovered.position {
                if let code = positions.failure {
                    throw BrokerError("\(group.journal.paths.directory) can't be written: \(describe(errno: code))")
                }
                usleep(200)
            }
        }
    }

    /// Takes nothing new, answers what was taken, makes everything durable, and ends the threads. Returns whether all
    /// ended in time.
    public func stop() -> Bool {
        member?.leave()
        draining.turnOn()
        let limit = Moment.now().monotonic + UInt64(configuration.drainMilliseconds) * 1_000_000
        for control in controls { control.drain() }
        var quiet = 0
        while quiet < 2 && Moment.now().monotonic < limit {
            usleep(5000)
            quiet = controls.allSatisfy(\.isQuiet) ? quiet + 1 : 0
        }
        for control in controls { control.stop() }
        while !controls.allSatisfy(\.hasEnded) && Moment.now().monotonic < limit + 5_000_000_000 { usleep(1000) }
        guard controls.allSatisfy(\.hasEnded) else { return false }
        return quiet >= 2 && (member != nil || writeCheckpoints())
    }

    /// After a clean stop the next start need not read the journal's frames again.
    private func writeCheckpoints() -> Bool {
        do {
            let ring = try Ring(backend)
            ring.attach()
            let blocking = BlockingFiles(files: ring.makePort(), source: ring)
            return try StageSet.writeCheckpoints(groups, sequencers, blocking)
        } catch {
            logger.error("the checkpoint can't be written: \(error)")
            return false
        }
    }

    // MARK: The host

    /// With as many connections as the process's descriptors allow.
    private static func fitted(_ wanted: BrokerConfiguration, _ logger: Logger) throws -> BrokerConfiguration {
        let descriptors = raiseDescriptorLimit()
        guard let connections = wanted.intake.connections(descriptors: descriptors) else {
            throw BrokerError(
                "only \(descriptors) files may be open at once, at least \(IntakeLimits.fewestDescriptors) are needed: raise the limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile=).")
        }
        var configuration = wanted
        if connections < wanted.intake.connections {
            logger.warning(
                "at most \(connections) connections, not the \(wanted.intake.connections) of max.connections: only \(descriptors) files may be open at once. Raise the limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile=).")
            configuration.intake.connections = connections
        }
        return configuration
    }

    private static func lockDirectory(_ path: String) throws -> Int32 {
        if mkdir(path, 0o750) != 0 && errno != EEXIST {
            throw BrokerError("\(path) can't be made: \(describe(errno: errno)). Make it, or name another with --data-dir.")
        }
        let file = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o640)
        guard file >= 0 else {
            throw BrokerError(
                "\(path) can't be written to: \(describe(errno: errno)). Give the user of this process the right, or name another directory with --data-dir.")
        }
        guard lockFile(file) else {
            throw BrokerError("\(path) is in use by another broker. Stop that one, or name another directory with --data-dir.")
        }
        return file
    }

    /// As many partition groups as the data has, or as are wished for.
    private static func plan(_ configuration: BrokerConfiguration) -> PlacementPlan {
        var wishes = configuration.wishes
        if let cluster = configuration.cluster { wishes.partitionGroups = cluster.groups }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: configuration.dataDirectory)) ?? []
        let existing = names.compactMap { $0.hasPrefix("group-") ? Int($0.dropFirst(6)) : nil }.max().map { $0 + 1 } ?? 0
        if existing > 0 { wishes.partitionGroups = max(existing, wishes.partitionGroups ?? 0) }
        return PlacementPlan.make(topology: configuration.topology, wishes: wishes)
    }

    private static func listen(_ configuration: BrokerConfiguration) throws -> Listener {
        let address = "\(configuration.listenHost):\(configuration.listenPort)"
        do { return try bind(configuration) } catch {
            switch error.code {
            case EADDRINUSE:
                throw BrokerError("\(address) is in use. Stop what listens there, or choose another address with --listen.")
            case EADDRNOTAVAIL:
                throw BrokerError("\(address) is not an address of this host. Choose another with --listen.")
            case EACCES:
                throw BrokerError("\(address) may not be listened on by this user. Choose a port from 1024 up with --listen.")
            default: throw BrokerError("\(address) can't be listened on: \(describe(errno: error.code))")
            }
        }
    }

    /// The kernel lets go of a killed process's socket a moment after the process is gone; so a port in use is tried again.
    private static func bind(_ configuration: BrokerConfiguration) throws(IOError) -> Listener {
        for _ in 0..<20 {
            do throws(IOError) {
                return try Listener(host: configuration.listenHost, port: configuration.listenPort)
            } catch {
                if error.code != EADDRINUSE { throw error }
                usleep(50_000)
            }
        }
        return try Listener(host: configuration.listenHost, port: configuration.listenPort)
    }

    private static func makeRings(_ choice: RingChoice, count: Int, _ logger: Logger) throws -> [Ring] {
        let made: RingSet
        do { made = try RingSet(choice, count: count) } catch let refusal as RingRefusal {
            throw BrokerError("\(refusal) Or let the broker use epoll, which is slower: --set io.backend=auto.")
        } catch { throw BrokerError("\(error)") }
        if let refusal = made.refusal {
            logger.warning(
                "RUNNING ON EPOLL, WHICH IS SLOWER THAN IO_URING. \(refusal) (As it is, without this warning: --set io.backend=epoll.)")
        }
        return made.rings
    }
}
