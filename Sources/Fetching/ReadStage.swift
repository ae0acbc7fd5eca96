import DequeModule
import Host
import IO
import Intake
import Journal
import Logging
import Metadata
import Responses
import Synchronization
import Wire

/// What the read stage is given: one end of each of its channels.
public struct ReadLinks: ~Copyable {
    /// From each io stage.
    public var requests: OwnedArray<Receiver<ClientRequest>>
    /// To each io stage.
    public var releases: OwnedArray<Sender<Release>>
    /// To the respond stage that belongs to each io stage.
    public var answers: OwnedArray<Sender<Unmanaged<Answer>>>
    /// From each partition group's write stage: its batches, in journal order.
    public var batches: OwnedArray<Receiver<AppendedBatch>>
    /// To each partition group's write stage: where logs are to start.
    public var logStarts: OwnedArray<Sender<LogStartRequest>>
    /// To each partition group's archive stage: what is to be done.
    public var orders: OwnedArray<Sender<Unmanaged<ArchiveOrder>>>
    /// From each partition group's archive stage: what has been done.
    public var catalogs: OwnedArray<Receiver<Unmanaged<ArchiveNews>>>
    public var tables: Receiver<Unmanaged<TopicTable>>
    /// From whoever opens and closes partition groups, where there are several brokers.
    public var news: OwnedArray<Receiver<Unmanaged<ReadGroupNews>>>

    public init(
        requests: consuming OwnedArray<Receiver<ClientRequest>>, releases: consuming OwnedArray<Sender<Release>>,
        answers: consuming OwnedArray<Sender<Unmanaged<Answer>>>,
        batches: consuming OwnedArray<Receiver<AppendedBatch>>, logStarts: consuming OwnedArray<Sender<LogStartRequest>>,
        orders: consuming OwnedArray<Sender<Unmanaged<ArchiveOrder>>>,
        catalogs: consuming OwnedArray<Receiver<Unmanaged<ArchiveNews>>>, tables: consuming Receiver<Unmanaged<TopicTable>>,
        news: consuming OwnedArray<Receiver<Unmanaged<ReadGroupNews>>>
    ) {
        self.requests = requests
        self.releases = releases
        self.answers = answers
        self.batches = batches
        self.logStarts = logStarts
        self.orders = orders
        self.catalogs = catalogs
        self.tables = tables
        self.news = news
    }
}

/// What bounds the read stage.
public struct ReadLimits: Sendable {
    /// The most record bytes of one answer, but for a single larger batch.
    public var fetchBytes: Int
    /// What all answers may take of memory together.
    public var answerBytes: Int
    /// What windows of old files may take of memory.
    public var coldBytes: Int
    /// How many fetches may be under way; beyond it none waits for data.
    public var jobs: Int
    /// How many segments a group's journal has before the oldest are archived.
    public var journalSegments: Int
    /// How many more it has while some replica lacks them.
    public var backlogSegments: Int
    /// How often retention is looked at though nothing else happens, in milliseconds.
    public var retentionInterval: Int

    public init(
        fetchBytes: Int, answerBytes: Int, coldBytes: Int, jobs: Int = 16_384, journalSegments: Int = 16, backlogSegments: Int = 0,
        retentionInterval: Int = 10_000
    ) {
        self.fetchBytes = fetchBytes
        self.answerBytes = answerBytes
        self.coldBytes = coldBytes
        self.jobs = jobs
        self.journalSegments = journalSegments
        self.backlogSegments = backlogSegments
        self.retentionInterval = retentionInterval
    }
}

/// One partition group, as the read stage is given it.
public struct ReadGroup: Sendable {
    public var identity: JournalIdentity
    public var positions: JournalPositions
    public var cache: JournalCache
    public var paths: JournalPaths
    public var epochs: EpochHistory
    /// The index of the newest segment, as recovery made it; and what the older ones hold.
    public var active: SegmentIndex
    public var summaries: [SegmentSummary]
    public var catalog: ArchiveCatalog
    /// By partition number.
    public var nextOffsets: [Int64]
    public var logStarts: [Int64]
    /// The wall time of the journal's newest frame, in milliseconds since 1970.
    public var newest: Int64
    /// Where the journal ended when it was opened: a replica's may not be committed up to there.
    public var recoveredEnd: UInt64
    /// Called with a position of the journal where the disk does not have what it should, and others may; nil: nobody else has it.
    public var suspect: (@Sendable (UInt64) -> Void)?

    /// A group whose journal is not open here.
    public init(closed identity: JournalIdentity, positions: JournalPositions, cache: JournalCache, paths: JournalPaths) {
        self.identity = identity
        self.positions = positions
        self.cache = cache
        self.paths = paths
        epochs = EpochHistory()
        active = SegmentIndex(segment: 0)
        summaries = []
        catalog = ArchiveCatalog(generation: 0, firstSegment: 0, files: [:])
        nextOffsets = []
        logStarts = []
        newest = 0
        recoveredEnd = 0
    }

    public init(_ opened: OpenedJournal, epochs: EpochHistory) {
        self.epochs = epochs
        identity = opened.identity
        positions = opened.positions
        cache = opened.cache
        paths = opened.paths
        active = opened.active
        summaries = opened.summaries
        catalog = opened.catalog
        nextOffsets = opened.nextOffsets
        logStarts = opened.logStarts
        newest = opened.recovered.time
        recoveredEnd = opened.recovered.position
    }
}

/// A partition group is opened or closed while the broker runs.
public final class ReadGroupNews: Sendable {
    public let group: ReadGroup
    public let isOpen: Bool
    /// The read stage goes by it.
    public let isDone = Atomic<Bool>(false)

    public init(_ group: ReadGroup, isOpen: Bool) {
        self.group = group
        self.isOpen = isOpen
    }
}

/// Answers Fetch, ListOffsets, OffsetForLeaderEpoch and DeleteRecords. It is also the one stage that advances the high watermarks: a batch enters the index when
/// the committed position has passed it, and whoever waits for it is woken by that.
public struct ReadStage: Stage, ~Copyable {
    static let coldTag: UInt64 = 1 << 20
    private static let batch = 16_384

    let files: any FilePort
    let directory: String
    var groups: [ReadGroup]
    /// By partition group whether its journal is open here, and the epoch in which it is served; 0: it is not.
    var isOpen: [Bool]
    var serving: [UInt32]
    var closing: [ReadGroupNews?]
    let limits: ReadLimits
    let logger: Logger
    let budget: AnswerBudget
    private let draining: DrainSwitch
    var links: ReadLinks
    var table: TopicTable
    var indexes: OwnedArray<GroupIndex>
    var cold: ColdCache
    var jobs = JobTable()
    /// What a step has committed to, where somebody waits.
    private var touched = PartitionMarks()
    /// Those that wait for the disk, oldest first.
    var searches: [OffsetSearch] = []
    var deleteJobs: [DeleteRecordsJob] = []
    var logDirsJobs: Deque<LogDirsJob> = []
    var keepers: [LogKeeper]
    var clock: RetentionClock

    /// - Parameters:
    ///   - directory: where the broker keeps everything, as an absolute path.
    ///   - isOpen: whether the groups' journals are open from the start.
    ///   - waker: of the thread that the stage runs on.
    public init(
        files: any FilePort, directory: String, groups: [ReadGroup], isOpen: Bool = true, limits: ReadLimits, links: consuming ReadLinks, table: TopicTable,
        waker: Waker, draining: DrainSwitch, logger: Logger
    ) {
        self.files = files
        self.directory = directory
        self.groups = groups
        self.isOpen = groups.map { _ in isOpen }
        serving = groups.map { _ in 0 }
        closing = groups.map { _ in nil }
        self.limits = limits
        self.links = links
        self.table = table
        self.draining = draining
        self.logger = logger
        budget = AnswerBudget(limit: limits.answerBytes, waker: waker)
        cold = ColdCache(
            files: files, budget: limits.coldBytes, firstTag: ReadStage.coldTag, paths: groups.map(\.paths))
        keepers = groups.map { _ in LogKeeper() }
        clock = RetentionClock(newest: groups.map(\.newest).max() ?? 0)
        indexes = OwnedArray<GroupIndex>(minimumCapacity: groups.count)
        for (number, group) in groups.enumerated() {
            keepers[number].take(table, group: number)
            indexes.append(
                GroupIndex(group, group: UInt16(number), files: files, writerTag: UInt64(number), logger: logger))
        }
    }

    public mutating func step(_ now: Moment) -> Int {
        var progress = takeCompletions(now)
        for group in 0..<groups.count {
            progress += takeNews(group)
            guard isOpen[group] else { continue }
            progress += advanceWatermarks(group)
            takeServing(group)
            progress += keep(group, now)
        }
        for io in 0..<links.requests.count { progress += takeRequests(io, now) }
        // Going down: who waits for data is answered with what there is.
        jobs.takeDue(draining.isOn ? .max : now.monotonic)
        progress += finishDeletes(draining.isOn ? .max : now.monotonic) + measureLogs()
        if budget.takeReturned() { jobs.checkStarved() }
        repeat {
            while let number = jobs.nextToCheck() {
                progress += 1
                advance(number)
            }
        } while jobs.checkLoading(limit: cold.readersAtOnce)
        for group in 0..<groups.count where isOpen[group] {
            if draining.isOn { sealIndex(group) }
            let outcome = indexes[group].writeFiles(now)
            if outcome != .nothing { progress += 1 }
            if outcome == .done { keepers[group].isDue = true }
        }
        for io in 0..<links.answers.count {
            links.answers[io].publish()
            links.releases[io].publish()
        }
        return progress
    }

    public var deadline: UInt64 {
        var deadline = jobs.deadline
        for group in 0..<groups.count where isOpen[group] {
            deadline = min(deadline, indexes[group].writerDeadline, keepers[group].deadline)
        }
        for job in deleteJobs { deadline = min(deadline, job.deadline) }
        return logDirsJobs.isEmpty ? deadline : 0
    }

    public var isDrained: Bool {
        guard logDirsJobs.isEmpty else { return false }
        for group in 0..<groups.count where isOpen[group] && !indexes[group].isDrained { return false }
        return true
    }

    /// Going down: every full segment gets its index file, though nothing may have come behind it yet, so that the next start
    /// finds them all.
    private mutating func sealIndex(_ group: Int) {
        guard links.batches[group].available() == 0 else { return }
        let cache = groups[group].cache
        indexes[group].seal(before: cache.segment(of: groups[group].positions.committed.load()))
    }

    // MARK: What comes in

    private mutating func takeCompletions(_ now: Moment) -> Int {
        var count = 0
        var coldCame = false
        while let completion = files.next() {
            count += 1
            if completion.tag >= ReadStage.coldTag {
                cold.handle(completion)
                coldCame = true
            } else {
                let group = Int(completion.tag)
                if indexes[group].handle(completion, now) == .done { keepers[group].isDue = true }
            }
        }
        if coldCame {
            jobs.noteRead()
            advanceSearches()
        }
        return count
    }

    /// The oldest few look whether what was read was for them: too many would take the windows from each other for ever.
    private mutating func advanceSearches() {
        let waiting = searches
        searches = []
        for (number, search) in waiting.enumerated() {
            guard searches.count < cold.readersAtOnce else {
                searches += waiting[number...]
                return
            }
            advance(search)
        }
    }

    private mutating func advance(_ search: OffsetSearch) {
        switch search {
        case .listOffsets(let job): advance(job)
        case .epochEnds(let job): advance(job)
        }
    }

    /// Too many at once wait for their turn.
    private mutating func begin(_ search: OffsetSearch) {
        if searches.count < cold.readersAtOnce { advance(search) } else { searches.append(search) }
    }

    /// Takes the batches that are committed into the index: the only place where a high watermark moves.
    private mutating func advanceWatermarks(_ group: Int) -> Int {
        // The position first: the batches that it covers are in the channel by then.
        let committed = groups[group].positions.committed.load()
        var count = 0
        let waiting = min(links.batches[group].available(), ReadStage.batch)
        let hasWaiters = jobs.hasWaiters
        while count < waiting, indexes[group].hasRoom {
            let batch = links.batches[group].element(links.batches[group].next).pointee
            guard batch.entry.end <= committed else { break }
            indexes[group].append(batch)
            if batch.kind == .logStart { noteLogStart(batch.partition, group) }
            // Each is woken once, however many batches it gets here.
            if hasWaiters { touched.mark(batch.partition) }
            links.batches[group].skip(1)
            count += 1
        }
        touched.take { jobs.wake(PartitionKey(group: group, number: $0)) }
        links.batches[group].release()
        return count
    }

    private mutating func takeRequests(_ io: Int, _ now: Moment) -> Int {
        var count = 0
        var waiting = links.requests[io].available()
        takeTables()
        // Each request that is taken will want a place for its answer, and those that are under way as well.
        while waiting > 0, links.answers[io].hasRoom(for: jobs.count + searches.count + deleteJobs.count + logDirsJobs.count + 1), links.releases[io].hasRoom(),
            let request = links.requests[io].pop()
        {
            waiting -= 1
            count += 1
            begin(request, io: io, now)
            let released = links.releases[io].push(request.release)
            precondition(released, "there was room")
        }
        links.requests[io].release()
        return count
    }

    private mutating func takeTables() {
        var isNew = false
        while let next = links.tables.pop() {
            table = next.takeRetainedValue()
            isNew = true
        }
        links.tables.release()
        guard isNew else { return }
        for group in keepers.indices { keepers[group].take(table, group: group) }
    }

    private mutating func begin(_ request: ClientRequest, io: Int, _ now: Moment) {
        do {
            switch APIKey(rawValue: request.key) {
            case .fetch:
                let message = try request.decode(FetchRequest.self)
                let job = FetchJob(request, io: io, message: message, table: table, limit: limits.fetchBytes)
                if jobs.count >= limits.jobs { job.isDue = true }
                jobs.add(job)
            case .deleteRecords:
                let message = try request.decode(DeleteRecordsRequest.self)
                begin(DeleteRecordsJob(request, io: io, message: message, table: table))
            case .describeLogDirs:
                let message = try request.decode(DescribeLogDirsRequest.self)
                logDirsJobs.append(LogDirsJob(request, io: io, message: message, table: table))
            case .offsetForLeaderEpoch:
                let message = try request.decode(OffsetForLeaderEpochRequest.self)
                begin(.epochEnds(EpochEndJob(request, io: io, message: message, table: table)))
            default:
                let message = try request.decode(ListOffsetsRequest.self)
                begin(.listOffsets(ListOffsetsJob(request, io: io, message: message, table: table)))
            }
        } catch {
            logger.notice("a request that can't be read: \(error.reason)")
            send(Answer(closing: request.connection, number: request.answer), io: io)
        }
    }

    mutating func send(_ answer: Answer, io: Int) {
        let owned = Unmanaged.passRetained(answer)
        if !links.answers[io].push(owned) {
            // The channel's room is checked before a request is taken; long polls may come on top.
            owned.release()
            preconditionFailure("the answers' channel has room for every fetch")
        }
    }

    /// Answers a request as a whole.
    mutating func answer(_ response: some Response, _ request: ClientRequest, io: Int) {
        do {
            let frame = try ResponseFrame.encode(response, version: request.version, correlationId: request.correlation)
            send(Answer(request.connection, number: request.answer, bytes: frame), io: io)
        } catch {
            logger.error("an answer can't be encoded: \(error.reason)")
            send(Answer(closing: request.connection, number: request.answer), io: io)
        }
    }

    /// Why a partition group can't be read here: it is led elsewhere, or the leader epoch that the reader goes by is another one (KIP-320); nil: it can.
    /// - Parameter asked: -1: the reader goes by none.
    func refusal(by group: UInt16, epoch asked: Int32) -> ErrorCode? {
        let epoch = Int32(truncatingIfNeeded: serving[Int(group)])
        if epoch == 0 { return .notLeaderOrFollower }
        guard asked >= 0, asked != epoch else { return nil }
        return asked < epoch ? .fencedLeaderEpoch : .unknownLeaderEpoch
    }

    // MARK: Fetches

    private mutating func advance(_ number: Int) {
        let job = jobs[number]
        switch job.state {
        case .collecting, .waiting, .starved:
            if job.state != .collecting { job.reset() }
            if job.bytes == 0 { job.limitBytes(budget.share(of: limits.fetchBytes)) }
            guard collect(job) else { return jobs.setLoading(number) }
            if job.bytes < job.minBytes && job.bytes < job.maxBytes && !job.hasError && !job.isDue && !job.partitions.isEmpty {
                // What was committed while it waited for the disk woke nobody.
                if hasNews(job) { return jobs.check(number) }
                return jobs.park(number)
            }
            fill(number, job)
        case .filling: fill(number, job)
        }
    }

    /// Whether a partition has got more since it was looked at; then everything is looked at again.
    private func hasNews(_ job: FetchJob) -> Bool {
        let hasNews = job.partitions.contains { partition in
            guard let place = partition.place else { return false }
            return indexes[Int(place.group)].highWatermark(place.number) > partition.highWatermark
        }
        if hasNews { job.reset() }
        return hasNews
    }

    private mutating func fill(_ number: Int, _ job: FetchJob) {
        if job.state != .filling {
            job.plan(groups)
            guard budget.allows(job.copiedBytes) else {
                job.state = .starved
                return jobs.setStarved(number)
            }
            job.beginFilling(budget)
        }
        switch fill(job) {
        case .loading: jobs.setLoading(number)
        case .failed, .moved, .unavailable:
            job.reset()
            jobs.check(number)
        case .done:
            let answer = job.answer!
            job.answer = nil
            send(answer, io: job.io)
            jobs.remove(number)
        }
    }

    /// Finds out which batches to send; false where it must wait for the disk.
    private mutating func collect(_ job: FetchJob) -> Bool {
        for index in job.partitions.indices where !job.partitions[index].isCollected {
            guard let place = job.partitions[index].place else { continue }
            let group = Int(place.group)
            if job.partitions[index].highWatermark < 0 || job.partitions[index].entries.isEmpty {
                job.partitions[index].highWatermark = indexes[group].highWatermark(place.number)
                job.partitions[index].logStart = indexes[group].logStart(place.number)
                if let error = refusal(of: job.partitions[index], by: place.group) {
                    job.fail(index, error)
                    continue
                }
            }
            guard collect(job, index, place) else { return false }
        }
        return true
    }

    private func refusal(of partition: FetchPartition, by group: UInt16) -> ErrorCode? {
        if let error = refusal(by: group, epoch: partition.leaderEpoch) { return error }
        return partition.offset < partition.logStart || partition.offset > partition.highWatermark ? .offsetOutOfRange : nil
    }

    private mutating func collect(_ job: FetchJob, _ index: Int, _ place: PartitionPlace) -> Bool {
        while !job.partitions[index].isCollected {
            let from = job.partitions[index].nextOffset
            guard from < job.partitions[index].highWatermark else {
                job.partitions[index].isCollected = true
                break
            }
            switch indexes[Int(place.group)].lookup(partition: place.number, offset: from, cold: &cold) {
            case .loading: return false
            case .failed(let code):
                logger.error("\(job.name(index)): reading the index: \(describe(errno: code))")
                noteIndexFailure(partition: place.number, offset: from, Int(place.group))
                job.stop(index, .kafkaStorageError)
            case .entries(let entries):
                if entries.isEmpty { refuse(job, index, before: job.partitions[index].highWatermark) }
                var rest = entries
                while !job.partitions[index].isCollected, let next = rest.first {
                    // Offsets have no gaps but where the journal was damaged, or the archive was compacted.
                    if next.baseOffset <= job.partitions[index].nextOffset {
                        rest = rest.dropFirst(job.take(rest, index))
                    } else if next.baseOffset < indexes[Int(place.group)].cleanEnd(place.number) {
                        job.partitions[index].nextOffset = next.baseOffset
                    } else {
                        refuse(job, index, before: next.baseOffset)
                    }
                }
            }
        }
        return true
    }

    private func refuse(_ job: FetchJob, _ index: Int, before next: Int64) {
        let partition = job.partitions[index]
        if let place = partition.place {
            // It may have been deleted since the fetch began.
            let group = Int(place.group)
            if keepers[group].isDeleted(place.number) { return job.stop(index, .unknownTopicOrPartition) }
            if indexes[group].logStart(place.number) > partition.nextOffset { return job.stop(index, .offsetOutOfRange) }
        }
        logger.error(
            "\(job.name(index)): offsets \(partition.nextOffset) to \(next - 1) were lost to damage: whoever asks for them is refused")
        job.stop(index, .corruptMessage, damaged: partition.nextOffset)
    }
}
