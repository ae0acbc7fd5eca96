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
    /// From each io stage.
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

    public init(
        requests: consuming OwnedArray<Receiver<ClientRequest>>, releases: consuming OwnedArray<Sender<Release>>,
        pending: consuming OwnedArray<PendingSender>, index: consuming Sender<AppendedBatch>,
        logStarts: consuming Receiver<LogStartRequest>, checkpoints: consuming Sender<Unmanaged<CheckpointBox>>,
        tables: consuming Receiver<Unmanaged<TopicTable>>
    ) {
        self.requests = requests
        self.releases = releases
        self.pending = pending
        self.index = index
        self.logStarts = logStarts
        self.checkpoints = checkpoints
        self.tables = tables
    }
}

/// The write stage of one partition group: takes requests in order, checks batches, gives offsets, copies each batch once
/// into the journal cache, appends the index entry and the pending response. It touches no disk, no network and no lock.
public struct SequencerStage: Stage, ~Copyable {
    private static let batch = 4096

    private let group: UInt16
    private let positions: JournalPositions
    private let logger: Logger
    private let producerExpiration: Int64
    private var links: SequencerLinks
    private var journal: JournalWriter
    private var state: SequencerState
    private var table: TopicTable
    private var job: ProduceJob
    /// The io stage whose request is under way, or whose turn is next.
    private var source = 0
    private var hasJob = false
    /// Requests that are done, and not given back yet; and the source that they came from.
    private var doneRequests: Release?
    private var doneSource = 0
    private var epochFrame: [UInt8]?
    /// A segment has begun since the archive stage was given a checkpoint.
    private var owesCheckpoint = false
    /// How many batches were appended.
    public private(set) var appended = 0

    /// - Parameters:
    ///   - epochFrame: the payload of the frame with which the new epoch begins.
    ///   - producerExpiration: after how many milliseconds of silence a producer is forgotten.
    public init(
        group: UInt16, journal: consuming JournalWriter, positions: JournalPositions, state: SequencerState,
        links: consuming SequencerLinks, table: TopicTable, epochFrame: [UInt8], producerExpiration: Int64, logger: Logger
    ) {
        self.group = group
        self.journal = journal
        self.positions = positions
        self.state = state
        self.links = links
        self.table = table
        self.epochFrame = epochFrame
        self.producerExpiration = producerExpiration
        self.logger = logger
        job = ProduceJob()
    }

    public mutating func step(_ now: Moment) -> Int {
        takeTables()
        if epochFrame != nil && !beginEpoch(now) { return 0 }
        sendCheckpoint()
        var progress = takeLogStarts(now)
        if hasJob {
            guard resume(now) else { return publish() ? 1 : 0 }
            progress += 1
        }
        // A source's requests are looked for before the tables: who has been told of a new topic finds it here.
        let sources = links.requests.count
        for _ in 0..<sources {
            let waiting = min(links.requests[source].available(), SequencerStage.batch)
            takeTables()
            let done = take(waiting, now)
            progress += done
            if hasJob { break }
            links.requests[source].release()
            source = (source + 1) % sources
        }
        if progress > 0 { state.producers.expire(before: now.wall - producerExpiration) }
        if publish() { progress += 1 }
        return progress
    }

    public var isDrained: Bool { !hasJob && epochFrame == nil && doneRequests == nil }

    /// The state and the journal's end, for a checkpoint once all threads have stopped.
    public func checkpoint() -> Checkpoint {
        Checkpoint(
            position: journal.position, previous: journal.lastChecksum, epoch: journal.epoch, state: state.encode())
    }

    private mutating func beginEpoch(_ now: Moment) -> Bool {
        guard let payload = epochFrame, let room = room(for: payload.count, .epoch) else { return false }
        payload.withUnsafeBytes { room.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        journal.append(.epoch, partition: Frame.noPartition, payload: payload.count, time: now.wall)
        epochFrame = nil
        return true
    }

    /// Room for the next frame; nil while there is none. Where it is a segment's first, what is known up to there goes to the
    /// archive stage, so that recovery need not begin further back.
    private mutating func room(for payload: Int, _ kind: FrameKind) -> UnsafeMutableRawPointer? {
        let room = journal.room(for: payload, kind)
        if room != nil, journal.isAtSegmentStart, journal.position > 0 {
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
            if request.offset > state.logStart(request.partition), request.offset <= state.nextOffset(request.partition) {
                guard let room = room(for: LogStartFrame.bytes, .logStart) else { break }
                LogStartFrame(offset: request.offset).write(at: room)
                let position = journal.position
                journal.append(.logStart, partition: request.partition, payload: LogStartFrame.bytes, time: now.wall)
                state.setLogStart(request.offset, partition: request.partition)
                let entry = IndexEntry(
                    baseOffset: request.offset, position: position, maxTimestamp: 0, bytes: UInt32(LogStartFrame.bytes),
                    lastOffsetDelta: 0)
                let sent = links.index.push(AppendedBatch(entry: entry, partition: request.partition, kind: .logStart))
                precondition(sent, "there was room")
            }
            _ = links.logStarts.pop()
            count += 1
        }
        links.logStarts.release()
        return count
    }

    private mutating func takeTables() {
        while let next = links.tables.pop() { table = next.takeRetainedValue() }
        links.tables.release()
    }

    /// The index goes before the positions: who learns of a position finds the entries before it.
    private mutating func publish() -> Bool {
        if let done = doneRequests, links.releases[doneSource].push(done) { doneRequests = nil }
        for io in 0..<links.pending.count {
            links.pending[io].publish()
            links.releases[io].publish()
        }
        links.index.publish()
        return journal.publish()
    }

    // MARK: Requests

    private mutating func take(_ count: Int, _ now: Moment) -> Int {
        for done in 0..<count {
            guard let request = links.requests[source].pop() else { return done }
            job.begin(request, group: group, table: table)
            hasJob = true
            guard resume(now) else { return done + 1 }
        }
        return count
    }

    /// Goes on with the request under way; false where it must wait: for a segment, or for room in a queue.
    private mutating func resume(_ now: Moment) -> Bool {
        if job.isMalformed || job.topicBytesBound > links.pending[source].topicBytesLimit { return refuse(now) }
        let quality = job.quality
        guard links.pending[source].hasRoom(quality, topicBytes: job.topicBytesBound),
            links.pending[source].hasRoom(.received, topicBytes: job.topicBytesBound),
            links.releases[doneSource].hasRoom()
        else { return false }
        while job.next < job.items.count {
            guard sequence(job.next, now) else { return false }
            job.next += 1
        }
        respond(quality, now)
        return true
    }

    /// Ends a request that can't be understood: its client speaks something else, and is told by closing.
    private mutating func refuse(_ now: Moment) -> Bool {
        guard links.pending[source].hasRoom(.received, topicBytes: 0), links.releases[doneSource].hasRoom() else { return false }
        logger.notice("a Produce request that can't be read: its connection is closed")
        finish(.received, position: 0, topicBytes: 0, topicCount: 0, closes: true)
        return true
    }

    private mutating func respond(_ quality: QualityOfService, _ now: Moment) {
        if !job.request.wantsAnswer {
            guard job.items.contains(where: { $0.error != .none }) else {
                giveBack()
                return
            }
            return finish(.received, position: 0, topicBytes: 0, topicCount: 0, closes: true)
        }
        let starts = state.logStarts
        let encoded = job.encodeTopics { Int($0) < starts.count ? starts[Int($0)] : 0 }
        // What failed altogether waits for no position.
        let waits = job.position > 0
        finish(
            waits ? quality : .received, position: job.position, topicBytes: encoded.bytes, topicCount: encoded.topics,
            closes: false)
    }

    private mutating func finish(
        _ quality: QualityOfService, position: UInt64, topicBytes: Int, topicCount: Int, closes: Bool
    ) {
        let timeout = UInt64(max(job.timeoutMs, 0)) * 1_000_000
        let response = PendingResponse(
            position: position, deadline: job.request.arrival + timeout, request: job.request, topicBytes: topicBytes,
            topicCount: topicCount, closes: closes)
        links.pending[source].push(quality, response, topics: job.encoding.base)
        giveBack()
    }

    /// The request's bytes, together with those of its neighbours.
    private mutating func giveBack() {
        hasJob = false
        if doneSource == source, doneRequests?.join(job.request.release) == true { return }
        if let done = doneRequests {
            let released = links.releases[doneSource].push(done)
            precondition(released, "there was room")
        }
        doneRequests = job.request.release
        doneSource = source
    }

    // MARK: Batches

    /// Appends one batch, or finds out why not; false where it must wait.
    private mutating func sequence(_ number: Int, _ now: Moment) -> Bool {
        let item = job.items[number]
        guard item.error == .none, let records = item.records else { return true }
        if let flaw = BatchValidator.flaw(records, limit: min(item.maxBytes, journal.payloadLimit)) {
            job.items[number].error = flaw
            return true
        }
        let batch = BatchFields(records.baseAddress!)
        let partition = item.place.number
        if batch.producerId >= 0 {
            switch state.producers.judge(
                partition: partition, id: batch.producerId, epoch: batch.producerEpoch,
                firstSequence: batch.baseSequence, lastSequence: batch.lastSequence)
            {
            case .append: break
            case .duplicate(let baseOffset, let end):
                job.items[number].baseOffset = baseOffset
                job.position = max(job.position, end)
                return true
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
            return true
        }
        append(number, records, batch, to: room, now)
        return true
    }

    private mutating func append(
        _ number: Int, _ records: UnsafeRawBufferPointer, _ batch: BatchFields, to room: UnsafeMutableRawPointer,
        _ now: Moment
    ) {
        let partition = job.items[number].place.number
        let baseOffset = state.nextOffset(partition)
        room.copyMemory(from: records.baseAddress!, byteCount: records.count)
        room.storeBytes(of: baseOffset.bigEndian, toByteOffset: RecordBatch.Field.baseOffset, as: Int64.self)
        room.storeBytes(
            of: Int32(truncatingIfNeeded: journal.epoch).bigEndian,
            toByteOffset: RecordBatch.Field.partitionLeaderEpoch, as: Int32.self)
        let position = journal.position
        let end = journal.append(.batch, partition: partition, payload: records.count, time: now.wall)
        state.setNextOffset(baseOffset + Int64(batch.lastOffsetDelta) + 1, partition: partition)
        if batch.producerId >= 0 {
            state.producers.record(
                partition: partition, id: batch.producerId, epoch: batch.producerEpoch,
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
