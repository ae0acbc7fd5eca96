// Unsafe on purpose: it copies batches from receive buffers into the journal's memory.

import Host
import Intake
import Journal
import Logging
import Metadata
import Responses
import Wire

/// What the write stage is given: one end of each of its channels.
public struct SequencerLinks: ~Copyable {
    /// From each io stage; the last are the groups stage's, which is a client inside the broker.
    public var requests: OwnedArray<Receiver<ClientRequest>>
    /// To each io stage.
    public var releases: OwnedArray<Sender<Release>>
    /// To the respond stage that belongs to each io stage.
    public var pending: OwnedArray<PendingSender>
    public var index: Sender<AppendedBatch>
    /// From the read stage: where logs are to start.
    public var logStarts: Receiver<LogStartRequest>
    /// To the archive stage: the state at a segment's beginning.
    public var checkpoints: Sender<Unmanaged<CheckpointBox>>
    public var tables: Receiver<Unmanaged<TopicTable>>
    /// From the replicate stage, where there are several brokers.
    public var orders: Receiver<WriteOrder>
    /// From the control stage, and to it.
    public var queries: Receiver<Unmanaged<ProducerQuery>>
    public var reports: Sender<Unmanaged<ProducerReport>>

    public init(
        requests: consuming OwnedArray<Receiver<ClientRequest>>, releases: consuming OwnedArray<Sender<Release>>,
        pending: consuming OwnedArray<PendingSender>, index: consuming Sender<AppendedBatch>,
        logStarts: consuming Receiver<LogStartRequest>, checkpoints: consuming Sender<Unmanaged<CheckpointBox>>,
        tables: consuming Receiver<Unmanaged<TopicTable>>, orders: consuming Receiver<WriteOrder>,
        queries: consuming Receiver<Unmanaged<ProducerQuery>>, reports: consuming Sender<Unmanaged<ProducerReport>>
    ) {
        self.requests = requests
        self.releases = releases
        self.pending = pending
        self.index = index
        self.logStarts = logStarts
        self.checkpoints = checkpoints
        self.tables = tables
        self.orders = orders
        self.queries = queries
        self.reports = reports
    }
}

/// What the write stage does with the journal.
public enum SequencerRole: Sendable {
    /// It appends what producers send, once it has begun the epoch with a frame of that payload.
    case leading(epochFrame: [UInt8])
    /// It takes the leader's frames in, and refuses producers.
    case following
}

/// The write stage of one partition group: takes requests in order, checks batches, gives offsets, copies each batch once
/// into the journal cache, appends the index entry and the pending response. It touches no disk, no network and no lock.
public struct SequencerStage: Stage, ~Copyable {
    private static let batch = 1024

    private enum Count {
        static let requests = StageMeter.Counter.first
        static let batches = StageMeter.Counter.second
    }

    private let group: UInt16
    let positions: JournalPositions
    private let logger: Logger
    private let producerExpiration: Int64
    private let meter: StageMeter
    private let errors: SharedCounters
    var links: SequencerLinks
    var journal: JournalWriter
    var state: SequencerState
    private var table: TopicTable
    private var job: ProduceJob
    /// The io stage whose request is under way, or whose turn is next.
    private var source = 0
    private var hasJob = false
    /// Requests that are done, and not given back yet, if their count is not 0; and the source that they came from.
    private var doneRequests = Release(connection: ConnectionID(slot: 0, generation: 0), frame: 0, count: 0)
    private var doneSource = 0
    var isLeading: Bool
    /// Whether others could lead without this broker's knowing yet.
    private let hasPeers: Bool
    /// What was refused a while ago, and may come after what was sent behind it.
    var interruption = Interruption()
    var epochFrame: [UInt8]?
    /// How much of the order that is next has been taken in.
    var takenBytes = 0
    /// Of what is asked about producers.
    var search: ProducerSearch?
    let nodeId: Int32
    /// A segment has begun since the archive stage was given a checkpoint.
    var owesCheckpoint = false
    /// How many batches were appended.
    public private(set) var appended = 0

    /// - Parameters:
    ///   - nodeId: the broker's, for the frames of epochs that it is told to begin.
    ///   - producerExpiration: after how many milliseconds of silence a producer is forgotten.
    ///   - errors: counts what is refused by error code.
    public init(
        group: UInt16, journal: consuming JournalWriter, positions: JournalPositions, state: SequencerState,
        links: consuming SequencerLinks, table: TopicTable, role: SequencerRole, nodeId: Int32, producerExpiration: Int64, meter: StageMeter = .unwatched,
        errors: SharedCounters = .unwatched, logger: Logger
    ) {
        self.meter = meter
        self.errors = errors
        self.group = group
        self.journal = journal
        self.positions = positions
        self.state = state
        self.links = links
        self.table = table
        self.nodeId = nodeId
        switch role {
        case .leading(let frame):
            isLeading = true
            epochFrame = frame
            hasPeers = false
        case .following:
            isLeading = false
            hasPeers = true
        }
        self.producerExpiration = producerExpiration
        self.logger = logger
        job = ProduceJob()
        // What was wanted of an earlier stage on this journal is not wanted of this one.
        while self.links.orders.pop() != nil {}
        self.links.orders.release()
        while self.links.logStarts.pop() != nil {}
        self.links.logStarts.release()
    }

    public mutating func step(_ now: Moment) -> Int {
        var progress = work(now)
        if publish() { progress += 1 }
        // What is done is shown before the orders count as carried out.
        links.orders.release()
        return progress
    }

    private mutating func work(_ now: Moment) -> Int {
        takeTables()
        // Only an order to stop is looked at before the epoch has its frame.
        if epochFrame != nil, !beginEpoch(now), links.orders.available() < 2 { return 0 }
        sendCheckpoint()
        var progress = takeOrders(now) + takeLogStarts(now) + report()
        job.inSync = isLeading ? InSyncCount(positions) : .unchecked
        if hasJob {
            guard resume(now) else { return progress }
            progress += 1
        }
        // A source's requests are looked for before the tables: who has been told of a new topic finds it here.
        let sources = links.requests.count
        for _ in 0..<sources {
            let waiting = min(links.requests[source].available(), SequencerStage.batch)
            takeTables()
            let done = take(waiting, now)
            progress += done
            links.requests[source].release()
            if hasJob { break }
            source = (source + 1) % sources
        }
        if progress > 0 { state.producers.expire(before: now.wall - producerExpiration) }
        return progress
    }

    public var isDrained: Bool { !hasJob && epochFrame == nil && doneRequests.count == 0 }

    /// The state and the journal's end, for a checkpoint once all threads have stopped.
    public func checkpoint() -> Checkpoint {
        Checkpoint(
            position: journal.position, previous: journal.lastChecksum, epoch: journal.epoch, state: state.encode())
    }

    mutating func beginEpoch(_ now: Moment) -> Bool {
        guard let payload = epochFrame, let room = room(for: payload.count, .epoch) else { return false }
        payload.withUnsafeBytes { room.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        journal.append(.epoch, partition: Frame.noPartition, payload: payload.count, time: now.wall)
        epochFrame = nil
        isLeading = true
        // Before a broker's first epoch there was nobody to send anything to, but for other brokers, who send here what they are sent.
        if hasPeers || journal.epoch > 1 { interruption.note(.notLeaderOrFollower, now) }
        return true
    }

    /// Room for the next frame; nil while there is none. Where it is a segment's first, what is known up to there goes to the
    /// archive stage, so that recovery need not begin further back.
    @inline(__always)
    private mutating func room(for payload: Int, _ kind: FrameKind) -> UnsafeMutableRawPointer? {
        let room = journal.room(for: payload, kind)
        if journal.isAtSegmentStart, room != nil, journal.position > 0 {
            owesCheckpoint = true
            sendCheckpoint()
        }
        return room
    }

    /// Where the last one has not been taken yet, the next is sent when it has.
    private mutating func sendCheckpoint() {
        guard owesCheckpoint, links.checkpoints.hasRoom() else { return }
        owesCheckpoint = false
        let sent = links.checkpoints.send(Unmanaged.passRetained(CheckpointBox(checkpoint())))
        precondition(sent, "there was room")
    }

    /// Makes the new log starts journal entries.
    private mutating func takeLogStarts(_ now: Moment) -> Int {
        var count = 0
        while positions.failure == nil, links.index.hasRoom(), let request = links.logStarts.peek() {
            if isLeading, request.offset > state.logStart(request.partition), request.offset <= state.nextOffset(request.partition) {
                guard let room = room(for: LogStartFrame.bytes, .logStart) else { break }
                appendLogStart(request.offset, partition: request.partition, at: room, now)
            }
            _ = links.logStarts.pop()
            count += 1
        }
        links.logStarts.release()
        return count
    }

    /// Returns the position behind it. The index has room.
    @discardableResult
    private mutating func appendLogStart(_ offset: Int64, partition: UInt32, at room: UnsafeMutableRawPointer, _ now: Moment) -> UInt64 {
        LogStartFrame(offset: offset).write(at: room)
        let position = journal.position
        let end = journal.append(.logStart, partition: partition, payload: LogStartFrame.bytes, time: now.wall)
        state.setLogStart(offset, partition: partition)
        let entry = IndexEntry(
            baseOffset: offset, position: position, maxTimestamp: 0, bytes: UInt32(LogStartFrame.bytes), lastOffsetDelta: 0)
        let sent = links.index.push(AppendedBatch(entry: entry, partition: partition, kind: .logStart))
        precondition(sent, "there was room")
        return end
    }

    private mutating func takeTables() {
        while let next = links.tables.pop() { table = next.takeRetainedValue() }
        links.tables.release()
    }

    /// The index goes before the positions: who learns of a position finds the entries before it.
    mutating func publish() -> Bool {
        if doneRequests.count > 0, links.releases[doneSource].push(doneRequests) { doneRequests.count = 0 }
        for io in 0..<links.pending.count {
            links.pending[io].publish()
            links.releases[io].publish()
        }
        links.index.publish()
        return journal.publish()
    }

    // MARK: Requests

    private mutating func take(_ count: Int, _ now: Moment) -> Int {
        guard count > 0 else { return 0 }
        let isInside = source == links.requests.count - 1
        let oldest = links.requests[source].element(links.requests[source].next).pointee.arrival
        meter.record(latency: now.monotonic > oldest ? now.monotonic - oldest : 0)
        let before = appended
        defer { meter.add(Count.batches, UInt64(appended - before)) }
        for done in 0..<count {
            job.begin(links.requests[source].element(links.requests[source].next), group: group, table: table, isInside: isInside)
            links.requests[source].skip(1)
            hasJob = true
            guard resume(now) else { return counted(done + 1) }
        }
        return counted(count)
    }

    private func counted(_ requests: Int) -> Int {
        meter.add(Count.requests, UInt64(requests))
        return requests
    }

    /// Goes on with the request under way; false where it must wait: for a segment, or for room in a queue.
    private mutating func resume(_ now: Moment) -> Bool {
        if job.isMalformed || job.answerBytesBound > links.pending[source].bytesLimit { return refuse() }
        while job.next < job.items.count {
            guard sequence(job.next, now) else { return false }
            job.next += 1
        }
        return respond()
    }

    /// Ends a request that can't be understood: its client speaks something else, and is told by closing.
    private mutating func refuse() -> Bool {
        guard close() else { return false }
        logger.notice("a Produce request that can't be read: its connection is closed")
        return true
    }

    private mutating func respond() -> Bool {
        // What was appended before the epoch ended may be cut off again: no position says anything of it.
        if !isLeading { job.refuse(.notLeaderOrFollower) }
        guard job.request.wantsAnswer else {
            // The client of acks=0 learns of an error by closing.
            for number in 0..<job.items.count where job.items[number].error != .none { return close() }
            guard canGiveBack() else { return false }
            giveBack()
            return true
        }
        // What failed altogether waits for no position.
        let quality = job.position > 0 ? job.quality : .received
        if job.position == 0 { countErrors() }
        // Before the position is shown: it is moved for that.
        if quality == .inSync, positions.awaitsInSync.load() == 0 { positions.awaitsInSync.advance(to: 1) }
        let deadline = job.request.arrival + UInt64(max(job.timeoutMs, 0)) * 1_000_000
        if job.answersWhole {
            let bytes = job.encodeWhole(state)
            let response = PendingResponse(
                position: job.position, deadline: deadline, request: job.request, bytes: bytes.count, topicCount: 1, kind: .whole,
                replicas: job.replicas)
            return finish(quality, response, bytes)
        }
        let encoded = job.encodeTopics(state)
        let response = PendingResponse(
            position: job.position, deadline: deadline, request: job.request, bytes: encoded.bytes.count,
            topicCount: encoded.topics, kind: .topics, replicas: job.replicas)
        return finish(quality, response, encoded.bytes)
    }

    @inline(never)
    private func countErrors() {
        for number in 0..<job.items.count where job.items[number].error != .none { errors.add(Int(job.items[number].error.rawValue)) }
    }

    /// Instead of an answer, the connection is closed.
    private mutating func close() -> Bool {
        let response = PendingResponse(
            position: 0, deadline: job.request.arrival, request: job.request, bytes: 0, topicCount: 0, kind: .closing)
        return finish(.received, response, UnsafeRawBufferPointer(start: nil, count: 0))
    }

    /// False where there is no room for it yet.
    @inline(__always)
    private mutating func finish(
        _ quality: QualityOfService, _ response: PendingResponse, _ bytes: UnsafeRawBufferPointer
    ) -> Bool {
        guard canGiveBack(), links.pending[source].push(quality, response, bytes) else { return false }
        giveBack()
        return true
    }

    @inline(__always)
    private mutating func canGiveBack() -> Bool { joinsDone || doneRequests.count == 0 || links.releases[doneSource].hasRoom() }

    /// Whether the request is the next behind those that are done.
    @inline(__always)
    private var joinsDone: Bool { doneSource == source && doneRequests.isFollowed(by: job.request) }

    /// The request's bytes, together with those of its neighbours.
    @inline(__always)
    private mutating func giveBack() {
        hasJob = false
        if joinsDone && doneRequests.count > 0 {
            doneRequests.count += 1
        } else {
            beginDone()
        }
    }

    private mutating func beginDone() {
        if doneRequests.count > 0 {
            let released = links.releases[doneSource].push(doneRequests)
            precondition(released, "there was room")
        }
        doneRequests = job.request.release
        doneSource = source
    }

    // MARK: Batches

    /// Appends one batch, or finds out why not; false where it must wait.
    private mutating func sequence(_ number: Int, _ now: Moment) -> Bool {
        guard job.items[number].error == .none, isLeading, let records = job.items[number].records else {
            if job.items[number].error == .notEnoughReplicas { interruption.note(.notEnoughReplicas, now) }
            return true
        }
        if let flaw = BatchValidator.flaw(records, limit: min(job.items[number].maxBytes, journal.payloadLimit)) {
            job.items[number].error = flaw
            return true
        }
        if job.items[number].needsKeys, !BatchValidator.hasKeys(records) {
            job.items[number].error = .invalidRecord
            return true
        }
        let batch = BatchFields(records.baseAddress!)
        let partition = job.items[number].place.number
        var producer: Int?
        if batch.producerId >= 0 {
            producer = state.producers.find(partition, batch.producerId)
            switch state.producers.judge(
                producer, epoch: batch.producerEpoch, firstSequence: batch.baseSequence, lastSequence: batch.lastSequence,
                isInterrupted: interruption.holds(now))
            {
            case .append: break
            case .duplicate(let baseOffset, let end):
                job.items[number].baseOffset = baseOffset
                job.position = max(job.position, end)
                return true
            case .refuse(.outOfOrderSequenceNumber): return refuseOutOfOrder(number, now)
            case .refuse(let error):
                job.items[number].error = error
                return true
            }
        }
        guard positions.failure == nil else {
            job.items[number].error = .kafkaStorageError
            return true
        }
        guard links.index.hasRoom() else { return false }
        guard let room = room(for: records.count, .batch) else {
            // A segment is on its way, unless the disk is full.
            guard !positions.hasSpace else { return false }
            job.items[number].error = .kafkaStorageError
            interruption.note(.kafkaStorageError, now)
            return true
        }
        append(number, records, batch, producer, to: room, now)
        return true
    }

    /// A batch is missing before this one. Producers take that for final: they begin a new epoch, in which nothing tells what they send again from what
    /// was there before (KIP-360), or they give up. So it is said only where it is sure: not while the missing one may have been refused for a reason
    /// that passes, and not before a majority has confirmed that nobody else led meanwhile, who may have it. False where it must wait.
    @inline(never)
    private mutating func refuseOutOfOrder(_ number: Int, _ now: Moment) -> Bool {
        if interruption.holds(now) {
            job.items[number].error = interruption.error
            return true
        }
        if hasPeers {
            // An entry that changes nothing: once it is committed, this broker has led until then.
            let partition = job.items[number].place.number
            guard positions.failure == nil, links.index.hasRoom(), let room = room(for: LogStartFrame.bytes, .logStart) else {
                guard positions.failure != nil || !positions.hasSpace else { return false }
                job.items[number].error = .kafkaStorageError
                return true
            }
            job.awaitCommit(of: appendLogStart(state.logStart(partition), partition: partition, at: room, now))
        }
        job.items[number].error = .outOfOrderSequenceNumber
        return true
    }

    @inline(__always)
    private mutating func append(
        _ number: Int, _ records: UnsafeRawBufferPointer, _ batch: BatchFields, _ producer: Int?,
        to room: UnsafeMutableRawPointer, _ now: Moment
    ) {
        let partition = job.items[number].place.number
        let baseOffset = state.takeOffsets(Int64(batch.lastOffsetDelta) + 1, partition: partition)
        room.copyMemory(from: records.baseAddress!, byteCount: records.count)
        RecordBatch.place(at: room, baseOffset: baseOffset, epoch: Int32(truncatingIfNeeded: journal.epoch))
        let position = journal.position
        let end = journal.append(.batch, partition: partition, payload: records.count, time: now.wall)
        if batch.producerId >= 0 {
            state.producers.record(
                producer, partition: partition, id: batch.producerId, epoch: batch.producerEpoch,
                batch: ProducerState.Batch(
                    firstSequence: batch.baseSequence, lastSequence: batch.lastSequence, baseOffset: baseOffset, end: end),
                time: now.wall)
        }
        let entry = IndexEntry(
            baseOffset: baseOffset, position: position, maxTimestamp: batch.maxTimestamp, bytes: UInt32(records.count),
            lastOffsetDelta: UInt32(batch.lastOffsetDelta))
        let indexed = links.index.push(AppendedBatch(entry: entry, partition: partition))
        precondition(indexed, "there was room")
        job.items[number].baseOffset = baseOffset
        job.position = max(job.position, end)
        appended += 1
    }
}
