// Unsafe on purpose: bytes of other brokers' are handed to the write stage where they lie; their buffers are held until it has given them back.

import DequeModule
import Host
import IO
import Journal
import Logging

/// One partition group in the replicate stage of a cluster's broker: the core, and what connects it with the stages that work on the journal.
final class ReplicaGroup {
    /// What the stages that work on the journal are doing.
    enum Phase: Equatable {
        /// No journal is open here.
        case closed
        /// It is being opened, closed or mended elsewhere: what others send is not listened to. They will send it again.
        case busy
        /// Damage is to be mended before any stage works on it.
        case damaged
        case open
        /// The write stage is giving its epoch up.
        case stopping
        /// Something went wrong that only an operator can judge.
        case halted
    }

    let number: Int
    private let nodeId: Int32
    let positions: JournalPositions
    let cache: JournalCache
    private let files: any FilePort
    private let host: any ReplicaHost
    private let times: ReplicaTimes
    let logger: Logger
    private var orders: Sender<WriteOrder>
    private let seed: UInt64
    private(set) var phase = Phase.closed
    private(set) var core: ReplicaCore?
    private(set) var stored: StoredReplica?
    /// Nil: no journal is here.
    private var recordWriter: ReplicaRecordWriter?
    /// Buffers that the write stage still reads, with the number of the order behind theirs.
    private var held: Deque<(order: Int, bytes: Int, buffer: AnyObject)> = []
    /// How far the journal's bytes that came from the leader were handed to the write stage, and checked.
    private var check = FrameCheck(position: 0, previous: 0, epoch: 0)
    /// The beginning of a frame whose rest is still to come, of that leader's session; and how many bytes the write stage has not taken yet.
    private var carry: [UInt8] = []
    private var carrySession: (leader: ReplicaID, epoch: UInt32, session: UInt32)?
    private var heldBytes = 0
    /// The order that makes the write stage lead, or stop, while it has not been carried out.
    private var leadOrder: Int?
    private var stopOrder: Int?
    /// What the core wants of the journal while it is not open.
    private var waitingEffects: [ReplicaEffect] = []
    /// To be cut off when the write stage has stopped.
    private var waitingCut: Range<UInt64>?
    private var repair = ReplicaRepair()
    private var fetch: SnapshotFetch?
    private var assignment: (value: GroupAssignment, target: GroupTarget, revision: Int64)?
    /// The journal is to be let go of, as soon as nothing of it is under way.
    private var isReleasing = false
    private var live: [Int32: UInt64] = [:]
    private var lastAppended: UInt64 = 0
    private var lastFlushed: UInt64 = 0
    private var committed: UInt64 = 0
    /// Who leads, as it was told last.
    private var toldLeader: ReplicaID?
    private var toldEpoch: UInt32 = 0
    /// Who is in sync, as it was told last; and when it is to be told again, because a store that was away has not taken it.
    private var toldInSync: [ReplicaID] = []
    private var tellInSyncAt: UInt64 = 0
    private static let tellInterval: UInt64 = 1_000_000_000
    /// Messages for others, in order.
    var outgoing: [(ReplicaMessage, ReplicaID)] = []

    private let meter: StageMeter
    private var probe = LatencyProbe()

    init(
        number: Int, nodeId: Int32, positions: JournalPositions, cache: JournalCache, files: any FilePort, host: any ReplicaHost,
        orders: consuming Sender<WriteOrder>, seed: UInt64, times: ReplicaTimes, meter: StageMeter, logger: Logger
    ) {
        self.meter = meter
        self.number = number
        self.nodeId = nodeId
        self.positions = positions
        self.cache = cache
        self.files = files
        self.host = host
        self.orders = orders
        self.seed = seed
        self.times = times
        self.logger = logger
    }

    private var isLeading: Bool {
        if case .leader = core?.role { return true }
        return false
    }

    /// For logs.
    private var name: String { "partition group \(number)" }

    // MARK: What comes in

    func take(_ news: ReplicaNews, _ now: UInt64) {
        switch news {
        case .opened(_, let opened): open(opened, now)
        case .mended(_, let range):
            phase = .damaged
            core?.mended(range, now: now)
            if core?.damaged.isEmpty ?? false { reopen(nil) }
        case .damage(_, let ranges): repair.begin(ranges)
        case .repaired(_, let range): repair.end(range)
        case .snapshot(_, let news): take(news, now)
        case .failed(_, let reason):
            logger.error("\(name): \(reason). This replica takes no part")
            halt(now)
        case .release: isReleasing = true
        case .assignment(_, let value, let target, let revision):
            assignment = (value, target, revision)
            // Who takes no part begins no epoch that is handed to it.
            core?.saw(value, target: target, revision: revision, now: now)
            if phase == .halted { halt(now) }
        case .swapped(_, let tried, let value, let target, let revision):
            if core?.isSwapping(tried) ?? false { core?.swapped(value, target: target, revision: revision, now: now) }
            if phase == .halted { halt(now) }
        case .live(let brokers):
            live = brokers.compactMapValues { $0[UInt16(number)] }
            core?.saw(live: live, now: now)
        case .connected(let broker, _):
            for replica in core?.followerIDs ?? [] where replica.broker == broker { core?.connected(replica, now: now) }
        case .resign: core?.resign(now: now)
        }
        _ = carryOut(now)
    }

    /// Nothing is done here any more until the broker is started again, but that another may lead.
    private func halt(_ now: UInt64) {
        phase = .halted
        positions.serving.advance(to: 0)
        core?.giveUp(now: now)
        for case .swap(let value, let revision) in core?.takeEffects() ?? [] { host.swap(group: number, value, revision: revision) }
    }

    /// The journal is there: for the first time, or after it was closed.
    private func open(_ opened: OpenedReplica, _ now: UInt64) {
        stored = opened.stored
        repair = ReplicaRepair()
        phase = opened.damaged.isEmpty ? .open : .damaged
        check = FrameCheck(position: opened.end, previous: opened.previous, epoch: opened.epoch)
        carry = []
        lastAppended = opened.end
        lastFlushed = opened.end
        if recordWriter == nil { recordWriter = try? ReplicaRecordWriter(files: files, tag: UInt64(number), directory: opened.directory) }
        committed = max(committed, opened.committed)
        if core == nil {
            let shape = LogShape(start: opened.start, history: opened.stored.record.history, end: opened.end, damaged: opened.damaged)
            let own = ReplicaID(broker: nodeId, incarnation: opened.stored.incarnation)
            core = ReplicaCore(own: own, record: opened.stored.record, shape: shape, times: times, seed: seed, now: now)
            if let assignment { core!.saw(assignment.value, target: assignment.target, revision: assignment.revision, now: now) }
            core!.saw(live: live, now: now)
        } else if fetch != nil, core!.isInstalling {
            fetch = nil
            core!.installed(
                start: opened.start, end: opened.end, committed: opened.committed, damaged: opened.damaged, isUnsure: opened.isUnsure, now: now)
        } else {
            core!.reopened(
                start: opened.start, end: opened.end, damaged: opened.damaged, isUnsure: opened.isUnsure, now: now)
        }
        if phase == .open {
            let waiting = waitingEffects
            waitingEffects = []
            for effect in waiting { carryOut(effect, now) }
        }
    }

    /// A message of another replica's. The journal's bytes that came with it lie in the buffer.
    func take(_ message: ReplicaMessage, _ bytes: UnsafeRawBufferPointer, in buffer: AnyObject, from: ReplicaID, _ now: UInt64) throws(FrameCheck.Failure) {
        switch phase {
        case .open: break
        case .damaged:
            if case .append = message { return }
        default: return
        }
        // What one message leads to is done before the next is looked at.
        defer { _ = carryOut(now) }
        switch message {
        case .append(let epoch, let session, let range, let committed):
            // What a leader before, or this one before it began anew, has left half said is not gone on with.
            if carrySession.map({ $0 != (from, epoch, session) }) ?? true { carry = [] }
            carrySession = (from, epoch, session)
            defer { if !(core?.follows(from, epoch: epoch, session: session) ?? false) { carry = [] } }
            do throws(FrameCheck.Failure) {
                try takeBytes(range, bytes, in: buffer) { part in
                    core?.take(.append(epoch: epoch, session: session, part, committed: committed), from: from, now: now)
                }
            } catch {
                carry = []
                outgoing.append((.unreadable(epoch: epoch, error.position..<error.position + 1, start: core?.start ?? 0), from))
                throw error
            }
        case .unreadable(_, let range, let start) where repair.range?.lowerBound == range.lowerBound && range.upperBound - range.lowerBound > 1:
            repair.refuse(from, start: start)
        case .unreadable(let epoch, let range, _) where core?.role == .leader(epoch: epoch):
            // What it was sent is no frame: unless it was spoilt on its way, it is none here.
            if range.lowerBound < core!.appended { host.examine(group: number, position: range.lowerBound) }
        case .fetch(let epoch, let stretch):
            guard let core, core.role == .leader(epoch: epoch) else { return }
            host.snapshot(group: number, .give(stretch, end: core.persisted, epoch: epoch, to: from))
        case .file(let epoch, let stretch, let size, let bytes):
            guard fetch?.leader == from, fetch?.epoch == epoch, fetch!.take(stretch) else { return }
            host.snapshot(group: number, bytes.isEmpty ? .restart : .take(stretch, bytes, size: size))
        case .bytes(_, let range) where repair.range?.lowerBound == range.lowerBound && phase == .open: takeRepair(range, bytes)
        case .bytes(let epoch, let range):
            if phase == .damaged, core?.damaged.first?.lowerBound != range.lowerBound { return }
            if let first = core?.damaged.first, first.lowerBound == range.lowerBound {
                core?.take(message, from: from, now: now)
                mend(bytes)
            } else {
                carry = []
                defer { carry = [] }
                try takeBytes(range, bytes, in: buffer) { part in
                    core?.take(.bytes(epoch: epoch, part), from: from, now: now)
                }
            }
        default: core?.take(message, from: from, now: now)
        }
    }

    /// Bytes that may continue the journal: what of them is whole frames is shown to the core, and where it takes them, to the write stage.
    private func takeBytes(
        _ range: Range<UInt64>, _ bytes: UnsafeRawBufferPointer, in buffer: AnyObject, _ tell: (Range<UInt64>) -> Void
    ) throws(FrameCheck.Failure) {
        let held = check.position + UInt64(carry.count)
        // What does not continue what is there, the core judges without bytes: it takes none of it.
        guard let core, range.lowerBound <= held, range.upperBound > held, check.position == core.appended, orders.hasRoom(for: 4),
            heldBytes < Int(times.window)
        else {
            if range.isEmpty || range.upperBound <= check.position { tell(range.isEmpty ? range : range.clamped(to: 0..<check.position)) }
            return
        }
        let new = UnsafeRawBufferPointer(rebasing: bytes[Int(held - range.lowerBound)...])
        let (all, owner) = carry.isEmpty ? (new, buffer) : joinCarry(with: new)
        carry = []
        let from = check.position
        var next = check
        let taken = try next.take(all, of: stored!.identity, segmentBytes: cache.segmentBytes)
        offer(from..<next.position, UnsafeRawBufferPointer(rebasing: all[..<taken]), in: owner, next, tell)
        if check.position == from + UInt64(taken) { carry = Array(all[taken...]) }
    }

    /// What was kept of the message before, and what has come now, together; and who owns that memory.
    private func joinCarry(with new: UnsafeRawBufferPointer) -> (UnsafeRawBufferPointer, AnyObject) {
        let joined = AlignedBuffer(uninitialized: carry.count + new.count)
        carry.withUnsafeBytes { joined.base.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        (joined.base + carry.count).copyMemory(from: new.baseAddress!, byteCount: new.count)
        return (UnsafeRawBufferPointer(start: joined.base, count: carry.count + new.count), joined)
    }

    private func offer(
        _ range: Range<UInt64>, _ bytes: UnsafeRawBufferPointer, in buffer: AnyObject, _ next: FrameCheck, _ tell: (Range<UInt64>) -> Void
    ) {
        tell(range)
        // Only what the core has just taken goes on.
        guard !range.isEmpty, core?.takeEffect(where: { $0 == .take(range) }) != nil else { return }
        check = next
        let sent = orders.push(.take(bytes.baseAddress!, count: bytes.count, position: range.lowerBound))
        precondition(sent, "there was room")
        held.append((orders.next, bytes.count, buffer))
        heldBytes += bytes.count
    }

    private func mend(_ bytes: UnsafeRawBufferPointer) {
        guard case .mend(let range)? = core?.takeEffect(where: { if case .mend = $0 { true } else { false } }) else { return }
        phase = .busy
        host.mend(group: number, range, Array(bytes.prefix(Int(range.upperBound - range.lowerBound))))
    }

    private func takeRepair(_ range: Range<UInt64>, _ bytes: UnsafeRawBufferPointer) {
        guard let stored, let wanted = repair.range else { return }
        let sound = ReplicaRepair.soundBytes(
            UnsafeRawBufferPointer(rebasing: bytes.prefix(Int(clamping: wanted.upperBound - wanted.lowerBound))), at: range.lowerBound,
            of: stored.identity, epochs: EpochHistory(stored.record.history.starts))
        // Another may have it whole.
        guard sound > 0 else { return }
        host.repair(group: number, range.lowerBound..<range.lowerBound + UInt64(sound), Array(bytes.prefix(sound)))
    }

    /// Who may have what has rotted here.
    private func askForRepair(_ now: UInt64) {
        // A leader that has it no more, as its journal begins behind it, gives a snapshot instead.
        core?.rot = repair.range?.lowerBound
        guard let wanted = repair.range, let core else { return }
        let (leader, epoch) = core.knownLeader
        let others = isLeading ? core.holders(of: wanted.upperBound) : [leader].compactMap { $0 }
        if isLeading, let healthy = repair.healthy(among: others), self.core!.letLead(healthy, now: now) {
            logger.notice("\(name): nobody has what has rotted here at position \(wanted.lowerBound) in its journal any more: broker \(healthy.broker), which has archived it, is to lead")
        }
        if let (other, range) = repair.ask(others, times, now: now) { outgoing.append((.read(epoch: epoch, range), other)) }
    }

    // MARK: Snapshots

    private func take(_ news: SnapshotNews, _ now: UInt64) {
        switch news {
        case .given(let stretch, let bytes, let size, let epoch, let to):
            guard core?.role == .leader(epoch: epoch) else { return }
            outgoing.append((.file(epoch: epoch, stretch, size: size, bytes), to))
        case .step(.wants(let stretch), let isLate): fetch?.want(stretch, at: isLate ? now + 2 * times.retry : now)
        case .step(.spoilt(let position), _):
            guard let fetch else { return }
            // It may be so on the leader's disk as well: who leads sees to that.
            outgoing.append((.unreadable(epoch: fetch.epoch, position..<position + 1, start: core?.start ?? 0), fetch.leader))
            host.snapshot(group: number, .restart)
        case .step(.complete(let end), _): fetch?.completeEnd = end
        // The core will say so again.
        case .failed: fetch = nil
        }
    }

    /// The core needs a snapshot: it is asked for, unless it is already.
    private func fetchSnapshot(_ leader: ReplicaID, _ epoch: UInt32, _ history: LogHistory) {
        guard fetch?.leader != leader || fetch?.epoch != epoch else { return }
        logger.notice("\(name): what this replica lacks is no longer in the journal of broker \(leader.broker): a snapshot is asked for")
        fetch = SnapshotFetch(leader: leader, epoch: epoch)
        host.snapshot(group: number, .begin(history))
    }

    private func goOnFetching(_ now: UInt64) {
        guard let fetch, phase == .open || phase == .damaged else { return }
        guard core?.lacking?.epoch == fetch.epoch else {
            self.fetch = nil
            return host.snapshot(group: number, .drop)
        }
        if let end = fetch.completeEnd {
            self.fetch!.completeEnd = nil
            // It may have been overtaken by what there is here.
            if !core!.install(epoch: fetch.epoch, end: end) { host.snapshot(group: number, .restart) }
            return
        }
        if let stretch = self.fetch!.ask(times, now: now) { outgoing.append((.fetch(epoch: fetch.epoch, stretch), fetch.leader)) }
    }

    /// Log and record are replaced where waiting for the disk is allowed. The record is not being written: the core sees to that.
    private func install(_ record: ReplicaRecord) {
        logger.notice("\(name): a snapshot takes the journal's place")
        phase = .busy
        carry = []
        stored!.record = record
        recordWriter = nil
        host.snapshot(group: number, .install(stored!))
    }

    // MARK: Steps

    /// Goes on. Returns how much was done.
    func step(_ now: UInt64) -> Int {
        var progress = giveBack()
        if isReleasing { return progress + release(now) }
        guard core != nil else { return progress }
        if phase == .open { progress += follow(now) }
        if phase == .stopping, let stopOrder, orders.consumed - stopOrder >= 0 { progress += finishStopping(now) }
        goOnFetching(now)
        setNeeded()
        progress += carryOut(now)
        orders.publish()
        tellLeader(now)
        return progress
    }

    private func tellLeader(_ now: UInt64) {
        guard let (leader, epoch) = core?.heardLeader(now: now), leader != toldLeader || epoch != toldEpoch else { return }
        (toldLeader, toldEpoch) = (leader, epoch)
        host.heard(group: number, leader: leader?.broker, epoch: epoch)
    }

    /// Time has passed.
    func tick(_ now: UInt64) {
        guard !isReleasing, phase == .open || phase == .damaged else { return }
        core?.tick(now: now)
        if phase == .open { askForRepair(now) }
        _ = carryOut(now)
        tellInSync(now)
    }

    private func tellInSync(_ now: UInt64) {
        guard let core, case .leader(let epoch) = core.role, core.inSync != toldInSync || now >= tellInSyncAt else { return }
        toldInSync = core.inSync
        tellInSyncAt = now + ReplicaGroup.tellInterval
        host.inSync(group: number, toldInSync.map(\.broker), epoch: epoch)
    }

    /// Hands the lead to the broker that is to have it, if that is another. Whether that is tried.
    func balance(_ now: UInt64) -> Bool {
        guard !isReleasing, phase == .open, core?.balance(now: now) ?? false else { return false }
        logger.notice("\(name): broker \(core?.handsOverTo?.broker ?? -1) is to lead, and has kept up: handing over")
        _ = carryOut(now)
        return true
    }

    /// Lets go of the journal once the record is on stable storage and the write stage has taken what it was given. From then on it is as if the
    /// group had never been here.
    private func release(_ now: UInt64) -> Int {
        core = nil
        outgoing = []
        orders.publish()
        let isCarriedOut = [leadOrder, stopOrder].allSatisfy { $0.map { orders.consumed - $0 >= 0 } ?? true }
        guard recordWriter?.isIdle ?? true, held.isEmpty, isCarriedOut else { return 0 }
        isReleasing = false
        (recordWriter, stored) = (nil, nil)
        phase = .closed
        (carry, carrySession) = ([], nil)
        (leadOrder, stopOrder, waitingCut, waitingEffects) = (nil, nil, nil, [])
        (committed, repair, fetch) = (0, ReplicaRepair(), nil)
        positions.serving.advance(to: 0)
        host.released(group: number)
        return 1
    }

    private func giveBack() -> Int {
        var count = 0
        while let first = held.first, orders.consumed - first.order >= 0 {
            held.removeFirst()
            heldBytes -= first.bytes
            count += 1
        }
        return count
    }

    /// The journal's positions have moved.
    private func follow(_ now: UInt64) -> Int {
        var progress = 0
        let flushed = positions.flushed.load()
        let appended = positions.appended.load()
        if let order = leadOrder {
            guard orders.consumed - order >= 0 else { return 0 }
            leadOrder = nil
            core!.moved(appended: appended, flushed: min(flushed, appended), now: now)
            // The frame ends at or before this; what has come behind it meanwhile makes no difference.
            core!.begunEpoch(frameEnd: appended, now: now)
            progress += 1
        }
        let end = isLeading ? appended : check.position
        if end != lastAppended || flushed != lastFlushed {
            lastAppended = end
            lastFlushed = flushed
            core!.moved(appended: end, flushed: min(flushed, end), now: now)
            progress += 1
        }
        if isLeading { probe.begin(flushed, now) } else { probe.forget() }
        if advanceCommitted() {
            if let took = probe.reached(positions.committed.load(), now) { meter.record(latency: took) }
            progress += 1
        }
        let replicated = min(max(core!.replicated, positions.committed.load()), appended)
        if replicated > positions.replicated.load() { positions.replicated.advance(to: replicated) }
        setInSync()
        return progress
    }

    /// Who does not lead leaves it as it was: what is pending is void anyway.
    private func setInSync() {
        guard isLeading else { return }
        positions.setInSync(
            core!.inSync.count, majority: core!.assignment.majority, reached: min(core!.inSyncReached, positions.committed.load()))
    }

    /// What others need is kept, while it is known who does.
    private func setNeeded() {
        if let start = core?.start, positions.start.load() > start { core!.moved(start: positions.start.load()) }
        let needed = core?.neededByFollowers ?? JournalPositions.nothingNeeded
        if needed != positions.needed.load() { positions.needed.advance(to: needed) }
    }

    /// As far as the journal here reaches. Whether that is news.
    private func advanceCommitted() -> Bool {
        let reached = min(committed, positions.appended.load())
        guard reached > positions.committed.load() else { return false }
        positions.committed.advance(to: reached)
        return true
    }

    /// The write stage has given its epoch up.
    private func finishStopping(_ now: UInt64) -> Int {
        stopOrder = nil
        phase = .open
        let appended = positions.appended.load()
        check = FrameCheck(
            position: appended, previous: UInt32(truncatingIfNeeded: positions.lastChecksum.load()),
            epoch: 0)
        carry = []
        lastAppended = appended
        lastFlushed = positions.flushed.load()
        if let cut = waitingCut {
            // The core knows of no more than what will be left.
            waitingCut = nil
            reopen(cut.lowerBound..<max(cut.upperBound, appended))
        } else {
            core!.moved(appended: appended, flushed: min(lastFlushed, appended), now: now)
        }
        return 1
    }

    private func reopen(_ cut: Range<UInt64>?) {
        phase = .busy
        carry = []
        host.reopen(group: number, cut: cut, committed: committed)
    }

    // MARK: What the core wants

    private func carryOut(_ now: UInt64) -> Int {
        var progress = 0
        while let effects = core?.takeEffects(), !effects.isEmpty {
            for effect in effects {
                progress += 1
                carryOut(effect, now)
            }
        }
        return progress
    }

    private func carryOut(_ effect: ReplicaEffect, _ now: UInt64) {
        switch effect {
        case .beginEpoch, .stop, .cut:
            // While the journal is closed or being opened, it can't be; and then in order.
            if phase == .busy || phase == .closed || !waitingEffects.isEmpty && phase != .open { return waitingEffects.append(effect) }
            if phase == .damaged, case .cut = effect {} else if phase == .damaged { return waitingEffects.append(effect) }
        default: break
        }
        switch effect {
        case .send(let message, let to): outgoing.append((message, to))
        case .record(let record): write(record)
        case .cut(let position):
            logger.notice("\(name): the journal is cut off from position \(position) on: another leader's goes on differently")
            let end = max(check.position, positions.appended.load())
            if phase == .stopping { waitingCut = min(position, waitingCut?.lowerBound ?? position)..<end } else { reopen(position..<max(end, position)) }
        case .take, .mend: break  // what the bytes of which have gone will be sent again
        case .alarm(let reason):
            logger.critical("\(name): \(reason). This replica takes no part until an operator has looked at it")
            positions.serving.advance(to: 0)
            phase = .halted
        case .beginEpoch(let epoch):
            logger.notice("\(name): leads in epoch \(epoch)")
            // The write stage goes by it from its first request on.
            setInSync()
            let sent = orders.push(.lead(epoch: epoch))
            precondition(sent, "nothing else is asked of the write stage now")
            leadOrder = orders.next
        case .serve(let epoch):
            logger.info("\(name): serves clients in epoch \(epoch)")
            _ = advanceCommitted()
            positions.serve(EpochHistory(core!.record.history.starts))
        case .stop(let epoch):
            logger.notice("\(name): no longer leads in epoch \(epoch)")
            positions.serving.advance(to: 0)
            leadOrder = nil
            let sent = orders.push(.stop(epoch: epoch))
            precondition(sent, "nothing else is asked of the write stage now")
            stopOrder = orders.next
            phase = .stopping
        case .commit(let position): committed = max(committed, position)
        case .swap(let value, let revision): host.swap(group: number, value, revision: revision)
        case .leftOut(let range):
            logger.error("\(name): positions \(range.lowerBound) to \(range.upperBound) can't be read by any replica, and were not committed: the journal goes on without them")
        case .needSnapshot(let leader, let epoch, let history): fetchSnapshot(leader, epoch, history)
        case .install(let record): install(record)
        }
    }

    // MARK: The record

    private func write(_ record: ReplicaRecord) {
        guard stored != nil, let recordWriter else { return }
        stored!.record = record
        do { try recordWriter.begin(stored!) } catch { positions.fail(error.code) }
    }

    /// A completion of the record's file.
    func handle(_ completion: Completion, _ now: UInt64) {
        do throws(IOError) {
            if let record = try recordWriter?.handle(completion) { core?.recorded(record, now: now) }
        } catch {
            positions.fail(error.code)
        }
    }

    var isDrained: Bool {
        guard phase == .open, isLeading else { return true }
        return positions.failure != nil || positions.committed.load() == positions.appended.load()
    }
}
