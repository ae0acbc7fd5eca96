import HeapModule
import Host
import IO
import Intake
import Journal
import Logging
import Metadata
import Responses
import Wire

/// What the groups stage is given: one end of each of its channels, but for those of the client inside the broker.
public struct GroupLinks: ~Copyable {
    public var desk: ClientDesk
    public var tables: Receiver<Unmanaged<TopicTable>>

    public init(desk: consuming ClientDesk, tables: consuming Receiver<Unmanaged<TopicTable>>) {
        self.desk = desk
        self.tables = tables
    }
}

/// What the groups stage is told by the settings.
public struct GroupSettings: Sendable {
    public var limits = GroupLimits()
    /// offset.metadata.max.bytes: the most that may be kept with an offset.
    public var metadataBytes = 4096
    /// offsets.retention.minutes, in milliseconds.
    public var retention: Int64 = 7 * 24 * 3_600_000
    /// A snapshot of what a partition of `__consumer_offsets` says is made after so many changes at the earliest: to read fewer takes some milliseconds.
    public var snapshotChanges = 10_000
    /// offsets.retention.check.interval.ms, in nanoseconds.
    public var retentionInterval: UInt64 = 600_000_000_000
    /// offsets.skip.damaged: groups are served without what is damaged for good.
    public var skipsDamaged = false

    public init() {}
}

/// Coordinates the consumer groups of those partitions of `__consumer_offsets` that this broker leads. It is a client inside the broker: what is to last goes into
/// the journal like any record, and is answered when that is as safe as the topic asks for (docs/decisions/groups.md).
public struct GroupStage: Stage, ~Copyable {
    /// Requests that are taken in a step from each io stage.
    private static let requestsAStep = 1024

    /// When a group wants to be looked at.
    private struct Look: Comparable {
        var deadline: UInt64
        var partition: Int32
        var group: String

        static func < (a: Look, b: Look) -> Bool { a.deadline < b.deadline }
    }

    private struct GroupKey: Hashable {
        var partition: Int32
        var group: String
    }

    let settings: GroupSettings
    let logger: Logger
    let positions: [JournalPositions]
    private let draining: DrainSwitch
    private let random: @Sendable () -> UInt64
    let hosts: ClientHosts
    /// What answers may take of memory together; beyond it requests are taken when some have been sent.
    private let budget: AnswerBudget
    private var links: GroupLinks
    var client: LocalClient
    private(set) var table: TopicTable
    /// By partition of `__consumer_offsets`.
    var shards: [CoordinatedShard] = []
    /// Those that have something to read or to send.
    var busy: Set<Int> = []
    /// By partition group, the epoch in which this broker coordinates what the group has of them; 0: it does not.
    var followed: [UInt64]
    private(set) var topicId: Uuid?
    var snapshots: ShardSnapshots
    /// Shards that are worth a new snapshot.
    var dueSnapshots: Set<Int> = []
    /// How much is to be done once something is stored, or can't be.
    var unstored = 0
    /// Who waits for a JoinGroup's or SyncGroup's answer.
    var waiting: [UInt64: Caller] = [:]
    private var nextToken: UInt64 = 1
    private var looks = Heap<Look>()
    /// The earliest look at each group that is in `looks`.
    private var nextLooks: [GroupKey: UInt64] = [:]
    private var nextRetention: UInt64 = 0
    var now = ConsumerGroup.Moments(monotonic: 0, wall: 0)

    /// - Parameters:
    ///   - directory: where the broker keeps everything, as an absolute path.
    ///   - positions: of each partition group.
    ///   - hosts: of the members' clients.
    ///   - waker: of the thread that the stage runs on.
    ///   - random: numbers that nobody else draws, for the ids of members.
    public init(
        settings: GroupSettings, files: any FilePort, directory: String, positions: [JournalPositions], links: consuming GroupLinks, local: consuming LocalLinks, hosts: ClientHosts, table: TopicTable,
        answerBytes: Int, waker: Waker, draining: DrainSwitch, random: @escaping @Sendable () -> UInt64, logger: Logger
    ) {
        self.settings = settings
        snapshots = ShardSnapshots(files: files, directory: directory)
        self.positions = positions
        self.draining = draining
        self.random = random
        self.hosts = hosts
        budget = AnswerBudget(limit: answerBytes, waker: waker)
        self.logger = logger
        self.table = table
        followed = positions.map { _ in 0 }
        self.links = links
        client = LocalClient(positions: positions, links: local)
        take(table)
    }

    public mutating func step(_ now: Moment) -> Int {
        self.now = ConsumerGroup.Moments(monotonic: now.monotonic, wall: now.wall)
        var progress = takeTables()
        progress += takeOutcomes()
        for group in positions.indices { progress += followLeader(of: group) }
        for io in 0..<links.desk.count { progress += takeRequests(io) }
        progress += lookAtGroups()
        for partition in busy.sorted() {
            progress += load(partition) + send(partition)
            if shards[partition].isIdle { busy.remove(partition) }
        }
        progress += keepSnapshots()
        links.desk.publish()
        return progress
    }

    public var deadline: UInt64 {
        busy.reduce(min(looks.min?.deadline ?? .max, shards.isEmpty ? .max : nextRetention, snapshotDeadline)) { min($0, shards[$1].deadline) }
    }

    public var isDrained: Bool { snapshots.isAtRest && shards.allSatisfy { $0.outgoing.isEmpty && $0.sent.isEmpty } }

    var isDraining: Bool { draining.isOn }

    // MARK: Topics

    private mutating func takeTables() -> Int {
        var count = 0
        while let next = links.tables.pop() {
            take(next.takeRetainedValue())
            count += 1
        }
        links.tables.release()
        return count
    }

    private mutating func take(_ table: TopicTable) {
        let gone = Set(self.table.topics.filter { table.topic(named: $0.name)?.id != $0.id }.map(\.name))
        self.table = table
        if !gone.isEmpty { forget(gone) }
        let topic = table.topic(named: TopicName.consumerOffsets)
        guard topic?.id != topicId else { return }
        for partition in shards.indices {
            giveUp(partition, .notCoordinator)
            while let (_, batch) = shards[partition].sent.popFirst() { refuse(batch, .notCoordinator, partition) }
        }
        topicId = topic?.id
        shards = (topic?.partitions ?? []).enumerated().map { CoordinatedShard(partition: Int32($0), place: $1, limits: settings.limits) }
        busy = []
        dueSnapshots = []
        followed = positions.map { _ in 0 }
    }

    /// What was read of a topic means nothing for one that is made later under its name.
    private mutating func forget(_ topics: Set<String>) {
        for partition in shards.indices where shards[partition].state == .serving {
            let records = shards[partition].shard.offsets(ofTopics: topics)
            if !records.isEmpty { store(records, .nothing, partition) }
        }
    }

    // MARK: Requests and answers

    private mutating func takeRequests(_ io: Int) -> Int {
        var count = 0
        // At most so many answers are owed.
        while count < GroupStage.requestsAStep, budget.allows(0), let request = links.desk.next(io, owed: waiting.count + unstored) {
            count += 1
            let caller = Caller(request: request, io: io)
            do { try handle(caller) } catch {
                logger.notice("a request that can't be answered: \((error as? WireError)?.reason ?? "\(error)")")
                links.desk.close(request, io)
            }
            links.desk.giveBack(request, io)
        }
        return count
    }

    mutating func answer(_ response: some Response, _ caller: Caller) {
        do { _ = try links.desk.answer(response, caller.request, caller.io, budget: budget) } catch {
            logger.error("an answer can't be encoded: \(error.reason)")
            links.desk.close(caller.request, caller.io)
        }
    }

    /// A number under which a request waits for its answer.
    mutating func wait(_ caller: Caller) -> UInt64 {
        defer { nextToken += 1 }
        waiting[nextToken] = caller
        return nextToken
    }

    /// What no other member's id has: as many digits as a UUID has.
    func fresh() -> String {
        let digits = [random(), random()].map { String($0, radix: 16) }.map { String(repeating: "0", count: 16 - $0.count) + $0 }.joined()
        var text = digits[...]
        return [8, 4, 4, 4, 12].map { count in
            defer { text = text.dropFirst(count) }
            return String(text.prefix(count))
        }.joined(separator: "-")
    }

    // MARK: Groups

    /// Something happens to a group; what it wants done then is done. Nil: there is no such group.
    @discardableResult
    mutating func change<Result>(_ partition: Int, _ id: String, _ body: (inout ConsumerGroup, ConsumerGroup.Moments) -> Result) -> Result? {
        let moments = now
        let result = shards[partition].shard.withGroup(id) { body(&$0, moments) }
        settle(partition, id)
        return result
    }

    /// Does what a group wants done, and looks at it again in time.
    mutating func settle(_ partition: Int, _ id: String) {
        guard let effects = shards[partition].shard.withGroup(id, { $0.takeEffects() }) else { return }
        for effect in effects {
            switch effect {
            case .joined(let token, let response): if let caller = waiting.removeValue(forKey: token) { answer(response, caller) }
            case .synced(let token, let response): if let caller = waiting.removeValue(forKey: token) { answer(response, caller) }
            case .store(let number):
                let metadata = shards[partition].shard[id]?.group.metadata
                store([.group(id, metadata)], .group(id, number), partition)
            }
        }
        shards[partition].shard.forgetIfEmpty(id)
        look(at: id, partition)
    }

    /// Looks at the group when it wants to be. A look that was put down before may come too early; then it is put off.
    private mutating func look(at id: String, _ partition: Int) {
        guard let deadline = shards[partition].shard[id]?.group.deadline, deadline < .max else { return }
        let key = GroupKey(partition: Int32(partition), group: id)
        guard deadline < nextLooks[key] ?? .max else { return }
        nextLooks[key] = deadline
        looks.insert(Look(deadline: deadline, partition: Int32(partition), group: id))
    }

    private mutating func lookAtGroups() -> Int {
        var count = 0
        while let look = looks.min, look.deadline <= now.monotonic {
            looks.removeMin()
            let key = GroupKey(partition: look.partition, group: look.group)
            guard nextLooks[key] == look.deadline else { continue }
            nextLooks[key] = nil
            count += 1
            let partition = Int(look.partition)
            guard partition < shards.count, shards[partition].state == .serving else { continue }
            change(partition, look.group) { $0.expire($1) }
        }
        if now.monotonic >= nextRetention {
            nextRetention = now.monotonic + settings.retentionInterval
            for partition in shards.indices where shards[partition].state == .serving {
                let records = shards[partition].shard.expired(retention: settings.retention, wall: now.wall)
                if !records.isEmpty { store(records, .nothing, partition) }
            }
            renewSnapshots()
        }
        return count
    }

    /// Nothing comes of what was to be stored.
    private mutating func refuse(_ batch: StoredBatch, _ error: ErrorCode, _ partition: Int) {
        end(batch.records, isOwn: batch.life == shards[partition].life, partition)
        complete(batch, error, partition)
    }

    /// Nothing is known of the partition's groups any more; who waits is told, but for those whose outcome is open.
    mutating func giveUp(_ partition: Int, _ error: ErrorCode) {
        while let batch = shards[partition].outgoing.popFirst() { refuse(batch, error, partition) }
        for id in shards[partition].shard.entries.keys.sorted() { change(partition, id) { $0.end(error, now: $1) } }
        shards[partition].begin(.away, limits: settings.limits)
        // What a group has asked for at the last is not.
        while let batch = shards[partition].outgoing.popFirst() { refuse(batch, error, partition) }
    }
}
