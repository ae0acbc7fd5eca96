// Unsafe on purpose: it writes bytes over damaged blocks of segments, within the bounds that were checked.

import Fetching
import Host
import IO
import Journal
import Logging
import Metadata
import Replication
import Sequencer

/// Opens, closes, cuts off and mends partition groups' journals while the broker runs: whatever has to wait for the disk at length. Its `step` goes on with
/// what there is to do; a thread of its own calls it.
final class Steward: ReplicaHost, Stage {
    enum Wish: Sendable {
        /// The group's journal is to be here, for the first time since the start.
        case open(UInt16, key: UInt32)
        case reopen(group: Int, cut: Range<UInt64>?, committed: UInt64)
        case mend(group: Int, Range<UInt64>, [UInt8])
        case examine(group: Int, position: UInt64)
        case repair(group: Int, Range<UInt64>, [UInt8])
        case snapshot(group: Int, SnapshotOrder)
        /// The group is not to be here any more: its journal is closed and deleted, once nobody can count on it.
        case remove(UInt16)
        /// The replicate stage has let go of it.
        case released(group: Int)
    }

    /// What is under way for a group.
    private enum Phase {
        case idle
        /// Readers let go of it.
        case closing(ReadGroupNews, Wish)
        /// The stages end.
        case vacating(Wish)
        /// After an error that may pass, until then.
        case resting(Wish, until: UInt64)
        /// Readers take it on.
        case opening(ReadGroupNews, OpenedReplica)
        /// A group that leaves: the replicate stage lets go of it; then the store is told.
        case releasing
        case withdrawing
    }

    private let rooms: [GroupRoom]
    /// The monotonic time of this step.
    private var now: UInt64 = 0
    private var phases: [Phase]
    private var waiting: [[Wish]]
    private var news: OwnedArray<Sender<Unmanaged<ReadGroupNews>>>
    private var keys: [UInt16: UInt32] = [:]
    /// Whether it was looked for what earlier lives have left.
    private var hasLooked = false
    /// When something of each group was looked at last because it may be damaged.
    private var examinedAt: [UInt64]
    private let ground: ClusterGround
    private let configuration: BrokerConfiguration
    private let assembly: Assembly
    private let cluster: Cluster
    private let inbox: Inbox<ReplicaNews>
    private var snapshots: Snapshots
    let wishes: Inbox<Wish>
    private let logger: Logger
    private var blocking: BlockingFiles { ground.blocking }

    /// - Parameters:
    ///   - inbox: the replicate stage's.
    ///   - wishes: what others want of it; its waker wakes the thread that steps it.
    init(
        rooms: [GroupRoom], news: consuming OwnedArray<Sender<Unmanaged<ReadGroupNews>>>, ground: ClusterGround,
        configuration: BrokerConfiguration, assembly: Assembly, cluster: Cluster, inbox: Inbox<ReplicaNews>, wishes: Inbox<Wish>,
        logger: Logger
    ) {
        self.rooms = rooms
        phases = rooms.map { _ in .idle }
        waiting = rooms.map { _ in [] }
        examinedAt = rooms.map { _ in 0 }
        self.news = news
        self.ground = ground
        self.cluster = cluster
        self.configuration = configuration
        self.assembly = assembly
        self.inbox = inbox
        snapshots = Snapshots(rooms: rooms, blocking: ground.blocking, dataDirectory: configuration.dataDirectory, options: configuration.journal, logger: logger)
        self.wishes = wishes
        self.logger = logger
    }

    /// How often a snapshot has taken a journal's place.
    var snapshotsInstalled: Int { snapshots.installed }

    /// For logs: what is under way for each group.
    var description: String { phases.indices.map { "group \($0) \(phases[$0]), waiting \(waiting[$0].count)" }.joined(separator: "; ") }

    // MARK: What is wanted

    func reopen(group: Int, cut: Range<UInt64>?, committed: UInt64) { wishes.put(.reopen(group: group, cut: cut, committed: committed)) }
    func mend(group: Int, _ range: Range<UInt64>, _ bytes: [UInt8]) { wishes.put(.mend(group: group, range, bytes)) }
    func examine(group: Int, position: UInt64) { wishes.put(.examine(group: group, position: position)) }
    func repair(group: Int, _ range: Range<UInt64>, _ bytes: [UInt8]) { wishes.put(.repair(group: group, range, bytes)) }
    func snapshot(group: Int, _ order: SnapshotOrder) { wishes.put(.snapshot(group: group, order)) }
    func swap(group: Int, _ value: GroupAssignment, revision: Int64) { cluster.swap(group: group, value, revision: revision) }
    func heard(group: Int, leader: Int32?, epoch: UInt32) { cluster.heard(UInt16(group), leader: leader, epoch: epoch) }
    func inSync(group: Int, _ brokers: [Int32], epoch: UInt32) { cluster.inSync(UInt16(group), brokers, epoch: epoch) }
    func connect(to broker: Int32) {
        guard let peer = cluster.peer(broker) else { return }
        ground.dial(broker, peer.host, peer.port, inbox)
    }

    func step(_ now: Moment) -> Int {
        self.now = now.monotonic
        var progress = 0
        if !hasLooked {
            hasLooked = true
            findGroups()
        }
        for wish in wishes.take() {
            progress += 1
            switch wish {
            case .released(let group): released(group)
            // One look at a group at a time.
            case .examine(let group, _) where waiting[group].contains(where: { if case .examine = $0 { true } else { false } }): break
            default: waiting[group(of: wish)].append(wish)
            }
        }
        for group in rooms.indices { progress += step(group) }
        return progress
    }

    /// Other threads' stages don't ring when they are done: they are looked at.
    var deadline: UInt64 {
        phases.reduce(.max) { earliest, phase in
            switch phase {
            case .idle, .releasing: earliest
            case .withdrawing: min(earliest, now + Steward.storeLook)
            case .closing, .vacating, .resting, .opening: min(earliest, now + Steward.look)
            }
        }
    }

    private func group(of wish: Wish) -> Int {
        switch wish {
        case .open(let group, _), .remove(let group): Int(group)
        case .reopen(let group, _, _), .mend(let group, _, _), .examine(let group, _), .repair(let group, _, _), .snapshot(let group, _),
            .released(let group):
            group
        }
    }

    // MARK: Steps

    private func step(_ group: Int) -> Int {
        switch phases[group] {
        case .idle:
            guard !waiting[group].isEmpty else { return 0 }
            begin(waiting[group].removeFirst(), group)
        case .closing(let news, let wish):
            guard news.isDone.load(ordering: .acquiring) else { return 0 }
            rooms[group].vacate()
            phases[group] = .vacating(wish)
        case .vacating(let wish):
            guard rooms[group].isVacant, rooms[group].cache.hasUnpinnedSlot else { return 0 }
            rooms[group].clear()
            open(wish, group)
        case .resting(let wish, let until):
            guard now >= until else { return 0 }
            open(wish, group)
        case .opening(let news, let opened):
            guard news.isDone.load(ordering: .acquiring) else { return 0 }
            phases[group] = .idle
            inbox.put(.opened(group: group, opened))
        case .releasing: return 0
        case .withdrawing: return withdraw(group)
        }
        return 1
    }

    private func begin(_ wish: Wish, _ group: Int) {
        switch wish {
        case .mend: return open(wish, group)
        case .examine(_, let position): return examine(group, position)
        case .repair(_, let range, let bytes): return repair(group, range, bytes)
        case .snapshot(_, .install): break
        case .snapshot(_, let order):
            if case .give = order { rooms[group].positions.snapshotGiven.advance(to: now) }
            if let news = snapshots.carryOut(order, group) { inbox.put(.snapshot(group: group, news)) }
            return
        case .remove:
            phases[group] = .releasing
            return inbox.put(.release(group: group))
        case .open(_, let key): keys[UInt16(group)] = key
        case .reopen, .released: break
        }
        close(group, wish)
    }

    private func close(_ group: Int, _ wish: Wish) {
        let closed = ReadGroupNews(rooms[group].closed, isOpen: false)
        tell(closed, group)
        phases[group] = .closing(closed, wish)
    }

    private func tell(_ what: ReadGroupNews, _ group: Int) {
        let sent = news[group].send(Unmanaged.passRetained(what))
        precondition(sent, "one change of a group at a time")
    }

    private func open(_ wish: Wish, _ group: Int) {
        phases[group] = .idle
        do {
            if case .remove = wish { return try delete(group) }
            if case .mend(_, let range, let bytes) = wish { return try mend(group, range, bytes) }
            if case .snapshot(_, .install(let stored)) = wish { try snapshots.install(group, stored) }
            var cut: Range<UInt64>?
            var committed: UInt64 = 0
            if case .reopen(_, let range, let known) = wish { (cut, committed) = (range, known) }
            var isFirst = false
            if case .open = wish { isFirst = true }
            try open(group, cut: cut, committed: committed, isFirst: isFirst)
        } catch let error as IOError {
            logger.error("partition group \(group): \(error); trying again in a second")
            for port in [rooms[group].files.loader, blocking.files] { port.closeAll() }
            phases[group] = .resting(wish, until: now + Steward.rest)
        } catch {
            fail(group, "the journal can't be opened: \(error)")
        }
    }

    /// After an error, and between two looks, in nanoseconds.
    private static let rest: UInt64 = 1_000_000_000
    private static let look: UInt64 = 200_000
    private static let storeLook: UInt64 = 10_000_000

    /// Nothing works on the group's journal from here on; what is asked of it is refused.
    private func fail(_ group: Int, _ reason: String) {
        if rooms[group].write.isVacant { rooms[group].write.fill(assembly.closedSequencer(rooms[group].closed, table: assembly.currentTable())) }
        inbox.put(.failed(group: group, reason: reason))
    }

    private func open(_ group: Int, cut: Range<UInt64>?, committed: UInt64, isFirst: Bool) throws {
        let room = rooms[group]
        let stored = try storedReplica(room)
        let epochs = EpochHistory(stored.record.history.starts)
        let replay = SequencerReplay(producerLimit: configuration.producerLimit, partitions: assembly.partitionNumbers(UInt16(group)))
        let opener = JournalOpener(blocking: blocking, options: configuration.journal, logger: logger)
        let journal: OpenedJournal
        do {
            journal = try opener.open(
                stored.identity, directory: room.paths.directory, node: nil, epochs: epochs, replay: replay,
                replica: ReplicaJournal(cache: room.cache, positions: room.positions, cut: cut, committed: committed))
        } catch let damage as DamagedReplica {
            return try leaveDamaged(room, stored, damage.recovered, isFirst: isFirst)
        }
        for file in [journal.current.file, journal.directory] + journal.prepared { blocking.files.hand(file, to: room.files.loader) }
        let opened = OpenedGroup(journal: journal, state: replay.state, epoch: journal.recovered.highestEpoch, epochs: epochs)
        let suspect: @Sendable (UInt64) -> Void = { [wishes] in wishes.put(.examine(group: group, position: $0)) }
        room.fill(assembly.makeStages(group, opened, room.files, role: .following, table: assembly.currentTable(), suspect: suspect))
        var readers = ReadGroup(journal, epochs: epochs)
        readers.suspect = suspect
        let news = ReadGroupNews(readers, isOpen: true)
        tell(news, group)
        phases[group] = .opening(news, replica(stored, journal.recovered, room, damaged: []))
    }

    private func replica(_ stored: StoredReplica, _ found: RecoveredJournal, _ room: GroupRoom, damaged: [Range<UInt64>]) -> OpenedReplica {
        OpenedReplica(
            stored: stored, start: found.firstSegment * UInt64(room.cache.segmentBytes), end: found.position, previous: found.previous,
            epoch: 0, committed: damaged.isEmpty ? room.positions.committed.load() : 0, damaged: damaged, isUnsure: found.isEndUnknown, directory: room.paths.directory)
    }

    /// The replica's record; of a group that was never here a new one, with a new name for its disk.
    private func storedReplica(_ room: GroupRoom) throws -> StoredReplica {
        if let stored = try ReplicaRecordFile.read(room.paths.directory, blocking: blocking) {
            if let key = keys[room.number], stored.identity != room.identity(key: key) {
                throw JournalError("\(room.paths.directory) belongs to another cluster. Name another data directory, or the right store")
            }
            cluster.claimed(room.number, incarnation: stored.incarnation)
            return stored
        }
        guard let key = keys[room.number] else { throw JournalError("\(room.paths.directory): the group is not known yet") }
        try blocking.files.makeDirectory(room.paths.directory)
        let names = try blocking.files.list(room.paths.directory)
        guard !names.contains(where: { $0.hasSuffix(".segment") }) else {
            throw JournalError("\(room.paths.directory) has a journal, but no replica.record. Move it away: it will be made again from the other brokers.")
        }
        let stored = StoredReplica(identity: room.identity(key: key), incarnation: ground.random())
        try ReplicaRecordFile.write(stored, room.paths.directory, blocking: blocking)
        try blocking.syncDirectory(configuration.dataDirectory)
        cluster.claimed(room.number, incarnation: stored.incarnation)
        return stored
    }

    // MARK: Groups that leave

    /// Tells the cluster of the groups that have a directory here. What another life was deleting is gone then.
    private func findGroups() {
        var found: [UInt16: UInt32] = [:]
        for room in rooms {
            do {
                try snapshots.finish(room)
                try removeLeftovers(room)
            } catch {
                logger.error("what an earlier life has left of \(room.paths.directory) can't be put right: \(error)")
            }
            // What can't be read is told of when it is opened; it is not deleted.
            found[room.number] = (try? ReplicaRecordFile.read(room.paths.directory, blocking: blocking))?.identity.key
        }
        cluster.found(found)
    }

    func released(group: Int) { wishes.put(.released(group: group)) }

    /// What the replica has asked for before is of no use any more.
    private func released(_ group: Int) {
        guard case .releasing = phases[group] else { return }
        waiting[group].removeAll { if case .open = $0 { false } else { true } }
        cluster.withdraw(UInt16(group))
        phases[group] = .withdrawing
    }

    private func withdraw(_ group: Int) -> Int {
        switch cluster.leaving(UInt16(group)) {
        case .waits: return 0
        case .mayGo: close(group, .remove(UInt16(group)))
        case .stays(let key): begin(.open(UInt16(group), key: key), group)
        }
        return 1
    }

    /// Its directory gets another name first: a start after a crash goes on with what has that name, and never takes half a journal for a whole one.
    private func delete(_ group: Int) throws {
        let room = rooms[group]
        snapshots.drop(group)
        try removeLeftovers(room)
        if (try? blocking.files.list(room.paths.directory)) != nil {
            try blocking.files.rename(room.paths.directory, to: room.removedDirectory)
            try blocking.syncDirectory(configuration.dataDirectory)
            try removeLeftovers(room)
        }
        if room.write.isVacant { room.write.fill(assembly.closedSequencer(room.closed, table: assembly.currentTable())) }
        logger.notice("partition group \(group): other brokers have it now: what was here is deleted")
        cluster.left(UInt16(group))
    }

    /// What was here before, and has been put aside, is deleted.
    private func removeLeftovers(_ room: GroupRoom) throws(IOError) {
        if (try? blocking.files.list(room.removedDirectory)) != nil { try blocking.removeTree(room.removedDirectory) }
    }

    // MARK: Damage

    /// - Parameter isFirst: the replicate stage does not know the replica yet, so nobody else writes its record.
    private func leaveDamaged(_ room: GroupRoom, _ known: StoredReplica, _ found: RecoveredJournal, isFirst: Bool) throws {
        var stored = known
        if isFirst && found.isEndUnknown && !known.record.isUnsure {
            // Before anything is mended, so that it is not forgotten.
            stored.record.isUnsure = true
            try ReplicaRecordFile.write(stored, room.paths.directory, blocking: blocking)
        }
        for range in found.damaged {
            logger.error("\(room.paths.directory): DAMAGED from position \(range.lowerBound) to \(range.upperBound): to be mended from another broker")
        }
        room.write.fill(assembly.closedSequencer(room.closed, table: assembly.currentTable()))
        inbox.put(.opened(group: Int(room.number), replica(stored, found, room, damaged: found.damaged)))
    }

    /// Writes the bytes where there is damage. What was concluded from the damage is forgotten.
    private func mend(_ group: Int, _ range: Range<UInt64>, _ bytes: [UInt8]) throws(IOError) {
        let room = rooms[group]
        try put(bytes, at: range, room)
        for number in range.lowerBound / UInt64(room.cache.segmentBytes)...(range.upperBound - 1) / UInt64(room.cache.segmentBytes) {
            try? blocking.files.remove(room.paths.index(number))
        }
        inbox.put(.mended(group: group, range))
    }

    /// Looks whether the frame at that position is what it should be, where the journal is no longer in memory.
    private func examine(_ group: Int, _ position: UInt64) {
        let room = rooms[group]
        let segmentBytes = UInt64(room.cache.segmentBytes)
        let number = position / segmentBytes
        guard room.stages != nil, now >= examinedAt[group] + Steward.rest, isFull(number, room) else { return }
        if let slot = room.cache.pin(segment: number) { return room.cache.unpin(slot: slot) }
        examinedAt[group] = now
        do {
            guard let stored = try ReplicaRecordFile.read(room.paths.directory, blocking: blocking) else { return }
            let memory = AlignedBuffer(uninitialized: Int(segmentBytes))
            let reader = SegmentReader(
                blocking: blocking, paths: room.paths, journal: stored.identity, segmentBytes: Int(segmentBytes),
                epochs: EpochHistory(stored.record.history.starts), isReplica: true, memory: memory.base)
            try reader.load(number)
            let damaged = reader.damagedRanges()
            for range in damaged {
                logger.error("\(room.paths.directory): DAMAGED from position \(range.lowerBound) to \(range.upperBound), found when it was read: to be mended from another broker")
            }
            if !damaged.isEmpty { inbox.put(.damage(group: group, damaged)) }
        } catch {
            logger.error("partition group \(group): what may be damaged at position \(position) can't be looked at: \(error)")
        }
    }

    /// As `mend`, in a journal that is in use: of a segment that nobody writes to any more.
    private func repair(_ group: Int, _ range: Range<UInt64>, _ bytes: [UInt8]) {
        do throws(IOError) {
            // It may have been cut off meanwhile, and be written to again.
            if rooms[group].stages != nil, isFull((range.upperBound - 1) / UInt64(rooms[group].cache.segmentBytes), rooms[group]) {
                try put(bytes, at: range, rooms[group])
                logger.notice("\(rooms[group].paths.directory): positions \(range.lowerBound) to \(range.upperBound) were mended from another broker")
            }
        } catch {
            logger.error("partition group \(group): damage from position \(range.lowerBound) on can't be mended: \(error)")
        }
        inbox.put(.repaired(group: group, range))
    }

    /// Whether nobody writes to the segment any more.
    private func isFull(_ number: UInt64, _ room: GroupRoom) -> Bool { number < room.positions.flushed.load() / UInt64(room.cache.segmentBytes) }

    private func put(_ bytes: [UInt8], at range: Range<UInt64>, _ room: GroupRoom) throws(IOError) {
        let segmentBytes = UInt64(room.cache.segmentBytes)
        var from = range.lowerBound
        while from < range.upperBound {
            let number = from / segmentBytes
            let end = min(range.upperBound, (number + 1) * segmentBytes)
            let file = try blocking.files.open(room.paths.segment(number), .direct)
            defer { blocking.files.close(file) }
            let first = alignedDown(from % segmentBytes)
            let count = Int(alignedUp(end - number * segmentBytes) - first)
            let image = AlignedBuffer(count: count)
            // What the first and the last block hold besides stays; where they can't be read, their other frames are damaged as well.
            for block in [0, count - directAlignment] {
                _ = try? blocking.read(file, into: image.base + block, count: directAlignment, offset: first + UInt64(block))
            }
            bytes.withUnsafeBytes {
                (image.base + Int(from % segmentBytes - first)).copyMemory(
                    from: $0.baseAddress! + Int(from - range.lowerBound), byteCount: Int(end - from))
            }
            try blocking.write(file, from: image.base, count: count, offset: first)
            try blocking.sync(file)
            from = end
        }
    }
}
