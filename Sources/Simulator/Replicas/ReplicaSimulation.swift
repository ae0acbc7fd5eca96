import Host
import Replication

/// Replicas of one partition group from one seed: the cores as they are, on a model of disk, network and store in which everything
/// that docs/REPLICATION.md speaks of goes wrong. After each step what is committed is held against what was committed before.
public final class ReplicaSimulation {
    /// What has come of it.
    public struct Report: Sendable {
        public var seed: UInt64
        public var commits = 0
        public var elections = 0
        public var counts: [String: Int] = [:]
        public var failure: String?
        public var transcript: [String] = []
    }

    /// What must have come to pass, among many seeds.
    public static let faults = [
        "crash", "powerCut", "pause", "wiped", "rot", "drop", "duplicate", "delay", "cut", "oneWayCut", "bridge", "storeAway",
        "swapUnknown", "setChanged", "mended", "cutOff", "leftOut", "allDown", "slowDisk", "moved", "handedOver", "elected", "resigned", "retired",
        "archived", "snapshot", "snapshotOvertaken", "rotBehind", "leaderLostAfterSnapshot", "leaderIsolated",
        "replicated", "replicatedLost", "candidateHidden",
    ]

    struct Envelope {
        var from: ReplicaID
        var to: ReplicaID
        var message: ReplicaMessage
        var frames: [ModelFrame]
        var at: UInt64
    }

    struct Swap {
        var from: Int32
        var value: GroupAssignment
        var revision: Int64
        var at: UInt64
        /// The outcome never reaches who asked.
        var isUnknown: Bool
    }

    static let store: Int32 = -1
    static let millisecond: UInt64 = 1_000_000
    static let lease: UInt64 = 300 * millisecond

    var random: SeededRandom
    var replicas: [ModelReplica]
    var modelStore: ModelStore
    var now: UInt64 = 1_000_000_000
    var network: [Envelope] = []
    var swaps: [Swap] = []
    /// Ways that are cut: from one broker to another, or to the store.
    var cuts: Set<Way> = []
    var healsAt: UInt64 = .max
    var storeBackAt: UInt64 = .max
    private var nextId: UInt64 = 1
    var nextIncarnation: UInt64 = 100
    private var committed: [ModelFrame] = []
    /// What clients were told is durable.
    private var promised: [UInt64] = []
    private var begun: Set<UInt32> = []
    /// What clients were told is in a majority's memory.
    var replicated = ReplicatedOracle()
    private var report: Report
    private let times: ReplicaTimes
    var isDisturbed = true
    /// The group is moved around, rather than staying with all brokers.
    let moves: Bool
    /// What is committed is archived now and then.
    private let archives: Bool
    /// The target was changed, and the set is not yet what it says.
    var isMoving = false
    /// Who ends and begins again at once.
    var restarting: Set<Int32> = []
    /// Who is to lose what its leader has archived, and when.
    var rotting: (index: Int, at: UInt64)?
    /// Who is to lead no longer, and from when on.
    var resigning: [Int32: UInt64] = [:]
    /// Of whose candidacy no leader hears, until the network heals.
    var hidden: Int32?
    /// Percentages of messages.
    var drops = 0
    var duplicates = 0
    var delays = 0

    struct Way: Hashable {
        var from: Int32
        var to: Int32
    }

    public init(seed: UInt64, brokers: Int) {
        random = SeededRandom(seed: seed)
        report = Report(seed: seed)
        var times = ReplicaTimes()
        times.silence = 400 * Self.millisecond
        times.heartbeat = 50 * Self.millisecond
        times.candidacy = 400 * Self.millisecond
        times.backoff = 200 * Self.millisecond
        times.retry = 60 * Self.millisecond
        times.window = 24
        times.message = 8
        times.steady = 300 * Self.millisecond
        self.times = times
        moves = seed % 2 == 0
        archives = seed % 3 > 0
        replicas = (0..<Int32(brokers)).map { ModelReplica(broker: $0, disk: ModelDisk(incarnation: UInt64($0) + 1)) }
        modelStore = ModelStore(value: GroupAssignment(), target: GroupTarget(brokers: replicas.map(\.broker)))
        if moves { modelStore.target.brokers = Array(modelStore.target.brokers.prefix(3)) }
        modelStore.value.replicas = modelStore.target.brokers.map { replicas[Int($0)].id }
    }

    // MARK: Running

    /// - Parameters:
    ///   - steps: how many steps of about a millisecond things go wrong for.
    public func run(steps: Int) -> Report {
        do {
            for index in replicas.indices where modelStore.names(replicas[index].broker) { start(index) }
            for _ in 0..<steps {
                disturb()
                try step()
            }
            try proveProgress()
        } catch {
            report.failure = "\(error)"
            tell("FAILED: \(error)")
        }
        report.commits = committed.count
        report.counts["replicated"] = replicated.count
        report.counts["replicatedLost"] = replicated.lost
        return report
    }

    func tell(_ line: @autoclosure () -> String) { report.transcript.append("\(now / Self.millisecond) ms: \(line())") }
    func count(_ what: String) { report.counts[what, default: 0] += 1 }

    private func step() throws {
        now += Self.millisecond
        modelStore.isAway = now < storeBackAt && storeBackAt != .max
        try runStore()
        replicated.saw(set: modelStore.value.replicas)
        try deliver()
        for index in replicas.indices where replicas[index].isAwake(now) {
            if archives { try takeSnapshot(index) }
            guard replicas[index].listens else { continue }
            try work(index)
            replicas[index].core!.tick(now: now)
            if random.below(100) == 0 { _ = replicas[index].core!.balance(now: now) }
            try carryOut(index, [])
            try tellReplicated(index)
        }
        try replicated.check(committed)
        for index in replicas.indices { openOrRetire(index) }
    }

    /// After all has healed: the one leads that is to, it commits, all that are to have everything do, and nobody else has anything.
    private func proveProgress() throws {
        isDisturbed = false
        cuts = []
        (drops, duplicates, delays) = (0, 0, 0)
        storeBackAt = now
        for index in replicas.indices {
            replicas[index].pausedUntil = 0
            if replicas[index].core == nil, replicas[index].retiresAt == nil { start(index) }
        }
        let before = committed.count
        for _ in 0..<30_000 {
            try step()
            if committed.count > before + 20, isSettled, modelStore.value.leader?.broker == modelStore.target.brokers[0],
                replicas.allSatisfy({ replica in
                    modelStore.names(replica.broker)
                        ? replica.core?.committed ?? 0 >= UInt64(before + 20) : replica.core == nil && replica.disk.frames.isEmpty
                })
            {
                let ids = Set(committed.map(\.id))
                guard promised.allSatisfy(ids.contains) else { throw Violation("what was promised is not there") }
                return
            }
        }
        throw Violation(
            "no progress after the faults: the store has \(modelStore.value), wanted is \(modelStore.target), \(replicas.map { $0.core?.description ?? "\($0.id)" })")
    }

    // MARK: Brokers

    func start(_ index: Int) {
        replicas[index].start(times: times, seed: random.next(), now: now)
        replicated.took(replicas[index].log, replicas[index].id)
        tell("\(replicas[index].id) starts, log up to \(replicas[index].log.count), \(replicas[index].disk.record), damaged \(replicas[index].core!.damaged)")
    }

    /// Whether each broker of the target has its replica in the set, and nobody else has one.
    var isSettled: Bool {
        Set(modelStore.value.replicas) == Set(modelStore.target.brokers.map { replicas[Int($0)].id })
    }

    /// As a broker's steward does. What is wanted here is opened. What is not takes no part any more; its name is taken back; and if then it still is
    /// not wanted, it is deleted some time later, whatever the store says by then.
    private func openOrRetire(_ index: Int) {
        let replica = replicas[index]
        if let at = replica.retiresAt {
            guard now >= at else { return }
            count("retired")
            empty(index)
            replicas[index].retiresAt = nil
            return tell("\(replica.id) is deleted: now \(replicas[index].id)")
        }
        guard now >= replica.pausedUntil, !isCut(replica.broker, Self.store), !isCut(Self.store, replica.broker), !modelStore.isAway,
            random.below(20) == 0
        else { return }
        if modelStore.names(replica.broker) {
            // The others come back in their time.
            if replica.core == nil, replica.disk.frames.isEmpty { start(index) }
        } else if replica.core != nil {
            end(index, tears: false)
        } else if !replica.disk.frames.isEmpty || replica.disk.record != ReplicaRecord() {
            modelStore.leases[replica.broker] = nil
            replicas[index].retiresAt = now + UInt64(random.below(500)) * Self.millisecond
        }
    }

    /// Disk and clients of a broker that is awake.
    private func work(_ index: Int) throws {
        if let (record, at) = replicas[index].recording, now >= at {
            guard record.promised >= replicas[index].disk.record.promised else { throw Violation("a promise is taken back") }
            replicas[index].recording = nil
            replicas[index].disk.record = record
            replicas[index].core!.recorded(record, now: now)
            try carryOut(index, [])
        }
        for (range, frames, at) in replicas[index].mending where now >= at {
            for (frame, position) in zip(frames, range) {
                replicas[index].disk.write(frame, at: Int(position))
                if Int(position) < replicas[index].log.count { replicas[index].log[Int(position)] = frame }
            }
            count("mended")
            replicas[index].core!.mended(range, now: now)
            if replicas[index].core!.damaged.isEmpty {
                replicas[index].core!.reopened(
                    start: UInt64(replicas[index].disk.start), end: UInt64(replicas[index].log.count), damaged: [], now: now)
            }
        }
        replicas[index].mending.removeAll { now >= $0.at }
        // At the end clients wait for their answers, so that followers can keep up.
        if replicas[index].serving != nil, random.chance(isDisturbed ? 30 : 10), isDisturbed || replicas[index].pending.count < 20 {
            append(index, epoch: replicas[index].serving!)
            replicas[index].pending.append((replicas[index].log.count, nextId - 1))
        }
        let behind = replicas[index].log.count - replicas[index].flushed
        if behind > 0, now >= replicas[index].stalledUntil, random.chance(now < replicas[index].slowUntil ? 2 : 40) {
            let end = replicas[index].flushed + 1 + random.below(behind)
            for position in replicas[index].flushed..<end { replicas[index].disk.write(replicas[index].log[position], at: position) }
            replicas[index].flushed = end
        }
        moved(index)
        try carryOut(index, [])
    }

    private func moved(_ index: Int) {
        replicas[index].core!.moved(
            appended: UInt64(replicas[index].log.count), flushed: UInt64(replicas[index].flushed), now: now)
    }

    private func append(_ index: Int, epoch: UInt32) {
        replicas[index].log.append(
            ModelFrame(epoch: epoch, id: nextId, previous: replicas[index].log.last?.id ?? 0))
        nextId += 1
    }

    /// Does what the core wants, with the frames that came with the message that it has taken.
    private func carryOut(_ index: Int, _ frames: [ModelFrame], from first: UInt64 = 0) throws {
        while !replicas[index].core!.effects.isEmpty {
            for effect in replicas[index].core!.takeEffects() {
                switch effect {
                case .send(let message, let to): send(message, index, to)
                case .record(let record):
                    let most = now < replicas[index].slowUntil ? 300 : 30
                    replicas[index].recording = (record, now + UInt64(1 + random.below(most)) * Self.millisecond)
                case .cut(let position):
                    tell("\(replicas[index].id) cuts off from \(position), of \(replicas[index].log.count)")
                    count("cutOff")
                    replicas[index].log.removeLast(replicas[index].log.count - Int(position))
                    replicas[index].flushed = min(replicas[index].flushed, Int(position))
                    replicas[index].checked = min(replicas[index].checked, Int(position))
                case .take(let range):
                    let new = frames[Int(range.lowerBound - first)..<Int(range.upperBound - first)]
                    guard UInt64(replicas[index].log.count) == range.lowerBound else { throw Violation("a gap in a log") }
                    let last = replicas[index].log.last
                    guard last?.id == UInt64.max || new.first?.previous == last?.id ?? 0 else { throw Violation("what is taken in does not follow") }
                    replicas[index].log += new
                    replicated.took(new, replicas[index].id)
                    moved(index)
                case .mend(let range):
                    let new = Array(frames[Int(range.lowerBound - first)..<Int(range.upperBound - first)])
                    replicas[index].mending.append((range, new, now + UInt64(1 + random.below(20)) * Self.millisecond))
                case .beginEpoch(let epoch):
                    guard begun.insert(epoch).inserted else { throw Violation("epoch \(epoch) is begun twice") }
                    report.elections += 1
                    tell("\(replicas[index].id) begins epoch \(epoch) at \(replicas[index].log.count)")
                    append(index, epoch: epoch)
                    replicas[index].core!.begunEpoch(frameEnd: UInt64(replicas[index].log.count), now: now)
                case .serve(let epoch):
                    tell("\(replicas[index].id) serves in epoch \(epoch)")
                    replicas[index].serving = epoch
                case .stop(let epoch):
                    tell("\(replicas[index].id) stops epoch \(epoch)")
                    replicas[index].serving = nil
                    replicas[index].pending = []
                    replicas[index].told = 0
                case .commit(let position): try check(index, Int(position))
                case .swap(let value, let revision):
                    let isUnknown = random.chance(10)
                    if isUnknown { count("swapUnknown") }
                    swaps.append(
                        Swap(
                            from: replicas[index].broker, value: value, revision: revision,
                            at: now + UInt64(1 + random.below(40)) * Self.millisecond, isUnknown: isUnknown))
                case .leftOut(let range):
                    count("leftOut")
                    tell("\(replicas[index].id) leaves out \(range)")
                case .needSnapshot(let leader, let epoch, _):
                    guard !replicas[index].fetches.contains(where: { $0.epoch == epoch }) else { break }
                    let begin = now + UInt64(1 + random.below(100)) * Self.millisecond
                    let end = begin + UInt64(1 + random.below(random.chance(30) ? 1500 : 300)) * Self.millisecond
                    replicas[index].fetches.append(ModelFetch(leader: leader, epoch: epoch, beginsAt: begin, completeAt: end))
                    if isDisturbed, random.below(3) == 0 { overtakeSnapshot(index, leader.broker, at: begin + 1) }
                case .install(let record): replicas[index].installing = (record, now + UInt64(1 + random.below(30)) * Self.millisecond)
                case .alarm(let reason): throw Violation("\(replicas[index].id): \(reason)")
                }
            }
        }
    }

    /// Clients that want no more than that are told once a majority has their records in memory.
    private func tellReplicated(_ index: Int) throws {
        let leader = replicas[index]
        guard leader.serving != nil, let reached = leader.core?.replicated else { return }
        for (end, id) in leader.pending where end > leader.told && end <= Int(reached) {
            let holders = replicas.filter { $0.core != nil && $0.log.count >= end && $0.log[end - 1].id == id }
            try replicated.tell(id, end: end, holders: Set(holders.map(\.id)), leader: leader.id)
        }
        replicas[index].told = max(leader.told, Int(reached))
    }

    /// What one says is committed must be what all say.
    private func check(_ index: Int, _ position: Int) throws {
        let replica = replicas[index]
        guard position <= replica.log.count else { throw Violation("\(replica.id) commits up to \(position), but has \(replica.log.count)") }
        for place in replica.checked..<position {
            let frame = replica.log[place]
            if frame.id == .max { continue }
            if place < committed.count {
                guard committed[place] == frame else {
                    throw Violation("position \(place): \(committed[place]) was committed, and \(replica.id) has \(frame)")
                }
            } else {
                guard place == committed.count else { throw Violation("a gap in what is committed") }
                committed.append(frame)
            }
        }
        replicas[index].checked = max(replica.checked, position)
        for (end, id) in replica.pending where end <= position { promised.append(id) }
        replicas[index].pending.removeAll { $0.position <= position }
    }

    // MARK: Snapshots

    /// What is committed and sound here goes to archives, now and then; and a snapshot that is under way goes on.
    private func takeSnapshot(_ index: Int) throws {
        let replica = replicas[index]
        if isDisturbed, replica.listens, random.below(300) == 0 {
            let end = min(Int(replica.core!.committed), replica.flushed)
            if end > replica.disk.start, !(replica.disk.start..<end).contains(where: { replica.disk.damaged.contains($0) || replica.log[$0].id == .max }) {
                count("archived")
                replicas[index].disk.start = replica.disk.start + 1 + random.below(end - replica.disk.start)
                replicas[index].core!.moved(start: UInt64(replicas[index].disk.start))
            }
        }
        for fetch in replica.fetches where fetch.content == nil && now >= fetch.beginsAt {
            let place = replicas[index].fetches.firstIndex { $0.epoch == fetch.epoch }!
            if let source = replicas.first(where: { $0.id == fetch.leader }), source.isAwake(now), source.core!.role == .leader(epoch: fetch.epoch),
                !isCut(fetch.leader.broker, replica.broker), !isCut(replica.broker, fetch.leader.broker)
            {
                replicas[index].fetches[place].content = (Array(source.log[..<Int(source.core!.persisted)]), source.disk.start)
            } else {
                replicas[index].fetches.remove(at: place)
            }
        }
        for fetch in replica.fetches where replica.listens && now >= fetch.completeAt {
            replicas[index].fetches.removeAll { $0.epoch == fetch.epoch }
            guard let content = fetch.content else { continue }
            guard replicas[index].core!.install(epoch: fetch.epoch, end: UInt64(content.frames.count)) else {
                count("snapshotOvertaken")
                continue
            }
            replicas[index].snapshot = content
            try carryOut(index, [])
        }
        if let (record, at) = replicas[index].installing, now >= at, let snapshot = replicas[index].snapshot {
            count("snapshot")
            tell("\(replica.id) has a snapshot of \(snapshot.frames.count), from \(snapshot.start) on, in place of \(replica.log.count), \(record)")
            guard record.promised >= replica.disk.record.promised else { throw Violation("a promise is taken back") }
            replicas[index].install(record)
            replicated.took(snapshot.frames, replicas[index].id)
            replicas[index].core!.installed(
                start: UInt64(snapshot.start), end: UInt64(snapshot.frames.count), committed: UInt64(snapshot.start), damaged: [], now: now)
            try carryOut(index, [])
            afterSnapshot(index)
        }
    }

    // MARK: Network

    private func send(_ message: ReplicaMessage, _ index: Int, _ to: ReplicaID) {
        var frames: [ModelFrame] = []
        switch message {
        case .append(_, _, let range, _), .bytes(_, let range):
            frames = Array(replicas[index].log[Int(range.lowerBound)..<Int(range.upperBound)])
        default: break
        }
        if isDisturbed, case .promise = message, random.below(hidden == to.broker ? 2 : 15) == 0 {
            // What was promised must not be forgotten, even if who was promised is not heard of for a while.
            restarting.insert(replicas[index].broker)
            cuts.insert(Way(from: to.broker, to: replicas[index].broker))
            if healsAt == .max { healsAt = now + UInt64(random.below(1000)) * Self.millisecond }
        }
        if isDisturbed, case .matched(_, _, let end) = message, random.below(20) == 0 { isolateLeader(to, ahead: end) }
        let envelope = Envelope(from: replicas[index].id, to: to, message: message, frames: frames, at: now + latency())
        if random.chance(drops) { return count("drop") }
        network.append(envelope)
        if random.chance(duplicates) {
            count("duplicate")
            var copy = envelope
            copy.at = now + latency() + UInt64(random.below(300)) * Self.millisecond
            network.append(copy)
        }
    }

    private func latency() -> UInt64 {
        if random.chance(delays) {
            count("delay")
            return UInt64(random.below(400)) * Self.millisecond
        }
        return UInt64(1 + random.below(4)) * Self.millisecond
    }

    private func isCut(_ from: Int32, _ to: Int32) -> Bool { cuts.contains(Way(from: from, to: to)) }

    private func deliver() throws {
        let due = network.filter { $0.at <= now }
        network.removeAll { $0.at <= now }
        for envelope in due where !isCut(envelope.from.broker, envelope.to.broker) {
            guard let index = replicas.firstIndex(where: { $0.id == envelope.to }), replicas[index].listens else { continue }
            guard replicas[index].isAwake(now) else {
                var later = envelope
                later.at = replicas[index].pausedUntil
                network.append(later)
                continue
            }
            replicas[index].core!.take(envelope.message, from: envelope.from, now: now)
            let first: UInt64 = switch envelope.message {
            case .append(_, _, let range, _), .bytes(_, let range): range.lowerBound
            default: 0
            }
            try carryOut(index, envelope.frames, from: first)
        }
    }

    // MARK: The store

    private func runStore() throws {
        guard !modelStore.isAway else { return }
        // Of who takes no part there is no name.
        for replica in replicas where replica.isAwake(now) && !isCut(replica.broker, Self.store) {
            modelStore.leases[replica.broker] = (now + Self.lease, replica.disk.incarnation)
        }
        let due = swaps.filter { $0.at <= now }
        swaps.removeAll { $0.at <= now }
        for var swap in due {
            if isCut(swap.from, Self.store) {
                swap.isUnknown = true
            } else {
                let before = modelStore.value.replicas
                if modelStore.swap(swap.value, revision: swap.revision) {
                    tell("the store has \(modelStore.value)")
                    if let leader = swap.value.leader, leader.broker != swap.from {
                        count("handedOver")
                        if isDisturbed, random.below(3) == 0 {
                            swap.isUnknown = true
                            hideFromLeaders(leader.broker)
                        }
                    }
                }
                if modelStore.value.replicas != before { count("setChanged") }
                if isMoving, isSettled {
                    count("moved")
                    isMoving = false
                }
            }
            try answer(swap)
        }
        for index in replicas.indices where replicas[index].isAwake(now) && !isCut(Self.store, replicas[index].broker) && random.chance(20) {
            replicas[index].core!.saw(modelStore.value, target: modelStore.target, revision: modelStore.revision, now: now)
            replicas[index].core!.saw(live: modelStore.live(now: now), now: now)
            try carryOut(index, [])
        }
    }

    private func answer(_ swap: Swap) throws {
        guard let index = replicas.firstIndex(where: { $0.broker == swap.from }), replicas[index].core?.isSwapping(swap.value) ?? false
        else { return }
        if swap.isUnknown || isCut(Self.store, swap.from) {
            replicas[index].core!.swapped(nil, target: modelStore.target, revision: 0, now: now)
        } else {
            replicas[index].core!.swapped(modelStore.value, target: modelStore.target, revision: modelStore.revision, now: now)
        }
        try carryOut(index, [])
    }
}
