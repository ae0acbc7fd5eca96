import DequeModule
import Glibc
import Host
import IO
import Intake
import Journal
import Logging
import Metadata
import Synchronization
import Wire

/// What the respond stage is given: one end of each of its channels.
public struct RespondLinks: ~Copyable {
    /// For each partition group the queues of pending responses, one a quality of service, from received on.
    public var pending: OwnedArray<Receiver<PendingCell>>
    /// Complete answers, from each stage that makes them.
    public var answers: OwnedArray<Receiver<Unmanaged<Answer>>>
    public var fromIntake: Receiver<ConnectionEvent>
    public var toIntake: Sender<ConnectionEvent>

    public init(
        pending: consuming OwnedArray<Receiver<PendingCell>>, answers: consuming OwnedArray<Receiver<Unmanaged<Answer>>>,
        fromIntake: consuming Receiver<ConnectionEvent>, toIntake: consuming Sender<ConnectionEvent>
    ) {
        self.pending = pending
        self.answers = answers
        self.fromIntake = fromIntake
        self.toIntake = toIntake
    }
}

/// Sends the answers: each when the position that its quality of service asks for is passed, or its time is up; those of a
/// connection in the order of its requests; as many as there are with one send.
public struct RespondStage: Stage, ~Copyable {
    /// How often timers are set for what has come to wait: most answers have left by then and never need one.
    private static let timerInterval: UInt64 = 50_000_000
    private static let batch = 8192

    private enum Count {
        static let answers = StageMeter.Counter.first
        static let bytes = StageMeter.Counter.second
        static let timedOut = StageMeter.Counter.third
    }

    private let sockets: any SocketPort
    private let positions: [JournalPositions]
    private let trace: EventTrace?
    private let meter: StageMeter
    private let errors: SharedCounters
    private let queueCapacity: Int
    private var links: RespondLinks
    private var connections: OwnedArray<ResponderConnection>
    private var dirty: [UInt32] = []
    /// Connections of whose sent answers the io stage is still to be told.
    private var untold: [UInt32] = []
    private var spareChunks: [SendChunk] = []
    private var timers: TimerWheel
    private var dueTimers: [Int] = []
    /// For each queue the first response for which no timer has been considered.
    private var unconsidered: [Int]
    private var nextTimerRound: UInt64 = 0
    private let sendTimeout: UInt64
    private var log: ConnectionLog
    /// Looks at sends that are under way.
    private var watch = DeadlineWatch()
    /// The monotonic time of this step.
    private var now: UInt64 = 0

    /// - Parameters:
    ///   - positions: of each partition group.
    ///   - connections: how many there may be at once.
    ///   - queueCapacity: of each queue of pending responses, in cells.
    ///   - sendTimeout: after how many nanoseconds in which a client took no byte it is given up.
    ///   - errors: counts produce requests that failed by error code.
    public init(
        sockets: any SocketPort, positions: [JournalPositions], links: consuming RespondLinks, connections: Int, queueCapacity: Int,
        sendTimeout: UInt64, meter: StageMeter = .unwatched, errors: SharedCounters = .unwatched, logger: Logger, trace: EventTrace? = nil
    ) {
        self.meter = meter
        self.errors = errors
        precondition(links.pending.count == PendingSender.queueCount * positions.count, "a queue for each quality of service")
        self.sockets = sockets
        self.positions = positions
        self.links = links
        self.connections = OwnedArray(minimumCapacity: connections)
        self.queueCapacity = queueCapacity
        self.sendTimeout = sendTimeout
        log = ConnectionLog(logger)
        self.trace = trace
        timers = TimerWheel(capacity: PendingSender.queueCount * positions.count * queueCapacity)
        unconsidered = Array(repeating: 0, count: PendingSender.queueCount * positions.count)
    }

    deinit { for chunk in spareChunks { chunk.deallocate() } }

    public mutating func step(_ now: Moment) -> Int {
        self.now = now.monotonic
        var progress = takeEvents()
        if !untold.isEmpty {
            let slots = untold
            untold = []
            for slot in slots where connections[Int(slot)].sendsMore { tellSent(Int(slot)) }
        }
        while let completion = sockets.next() {
            progress += 1
            sent(completion)
        }
        for source in 0..<links.answers.count { progress += takeAnswers(source) }
        for queue in 0..<links.pending.count { progress += takePassed(queue) }
        progress += takeTimedOut(now) + dropStalled()
        flush()
        links.toIntake.publish()
        return progress
    }

    public var deadline: UInt64 {
        let next = min(timers.deadline, watch.deadline)
        for queue in unconsidered.indices where unconsidered[queue] < links.pending[queue].end {
            return min(nextTimerRound, next)
        }
        return next
    }

    public var isDrained: Bool {
        for slot in 0..<connections.count where connections[slot].state != .free { return false }
        return true
    }

    // MARK: Connections

    private mutating func takeEvents() -> Int {
        var count = 0
        while let event = links.fromIntake.pop() {
            count += 1
            let slot = Int(event.connection.slot)
            while connections.count <= slot { connections.append(ResponderConnection()) }
            switch event.kind {
            case .opened:
                precondition(connections[slot].state == .free, "a slot is taken anew only when it is done")
                connections[slot] = ResponderConnection(
                    state: .open, generation: event.connection.generation, socket: event.socket)
            case .finished:
                switch connections[slot].state {
                case .dead: connections[slot].state = .dead(told: true)
                case .finishing(let answers, _): connections[slot].state = .finishing(answers, told: true)
                case .open: connections[slot].state = .finishing(event.answers, told: true)
                case .free: preconditionFailure("a connection is finished once")
                }
                endIfDone(slot)
            case .aborted:
                drop(slot, told: true)
            case .sent, .broken, .done: preconditionFailure("these go the other way")
            }
        }
        links.fromIntake.release()
        return count
    }

    /// The connection's slot; nil where it has gone, so that what is meant for it is dropped.
    private mutating func slot(of id: ConnectionID) -> Int? {
        let slot = Int(id.slot)
        // What is meant for a connection may come before the word of its opening: both are on their way at once.
        if slot >= connections.count || connections[slot].generation != id.generation { _ = takeEvents() }
        guard slot < connections.count, connections[slot].generation == id.generation, connections[slot].sendsMore
        else { return nil }
        return slot
    }

    /// - Parameters:
    ///   - told: the io stage knows already that it ends.
    ///   - tells: it is to be told now.
    private mutating func drop(_ slot: Int, told: Bool, tells: Bool? = nil) {
        connections[slot].state = .dead(told: told)
        connections[slot].parked = [:]
        // What the kernel is reading stays until it has done so.
        connections[slot].tail = nil
        while connections[slot].outgoing.count > (connections[slot].isSending ? 1 : 0) {
            recycle(connections[slot].outgoing.removeLast())
        }
        if tells ?? !told { tell(.broken, slot) }
        endIfDone(slot)
    }

    /// The answers before this one are still sent; then it is done. The io stage reads no more.
    private mutating func finish(_ slot: Int, before answer: UInt32) {
        switch connections[slot].state {
        case .open:
            connections[slot].state = .finishing(answer, told: false)
            tell(.broken, slot)
        case .finishing(let last, let told) where Int32(bitPattern: answer &- last) < 0:
            // It was to end anyway, but later: what was asked from here on is never answered.
            connections[slot].state = .finishing(answer, told: told)
        default: return
        }
        connections[slot].parked = connections[slot].parked.filter { Int32(bitPattern: $0.key &- answer) < 0 }
        endIfDone(slot)
    }

    private mutating func endIfDone(_ slot: Int) {
        let isDone: Bool
        if case .dead(told: true) = connections[slot].state { isDone = !connections[slot].isSending } else {
            isDone = connections[slot].isFinished
        }
        guard isDone else { return }
        connections[slot].state = .free
        tell(.done, slot)
    }

    /// Tells the io stage how many answers have been sent; later, where the channel has only the room that ends need.
    private mutating func tellSent(_ slot: Int) {
        guard connections[slot].toldAnswers != connections[slot].sentAnswers else { return }
        guard links.toIntake.hasRoom(for: links.toIntake.channel.capacity / 2) else { return untold.append(UInt32(slot)) }
        connections[slot].toldAnswers = connections[slot].sentAnswers
        let id = ConnectionID(slot: UInt32(slot), generation: connections[slot].generation)
        let told = links.toIntake.push(ConnectionEvent(.sent, id, answers: connections[slot].sentAnswers))
        precondition(told, "there was room")
    }

    private mutating func tell(_ kind: ConnectionEvent.Kind, _ slot: Int) {
        let id = ConnectionID(slot: UInt32(slot), generation: connections[slot].generation)
        let told = links.toIntake.push(ConnectionEvent(kind, id))
        precondition(told, "the channel has room for two events of each connection")
    }

    // MARK: Positions

    private func positions(_ queue: Int) -> JournalPositions { positions[queue / PendingSender.queueCount] }

    private func quality(_ queue: Int) -> QualityOfService {
        QualityOfService(rawValue: UInt8(queue % PendingSender.queueCount + 1)) ?? .inSync
    }

    /// Takes the responses whose position is passed.
    private mutating func takePassed(_ queue: Int) -> Int {
        guard links.pending[queue].available() > 0 else { return 0 }
        // The position before what is void: a later leader's positions say nothing of what an earlier one has appended.
        let group = positions(queue)
        let quality = quality(queue)
        let passed = group.position(of: quality)
        // Nor those in sync before the position that all of them have reached.
        let replicas = quality == .inSync ? UInt8(clamping: group.inSyncReplicas.load()) : .max
        let voided = links.pending[queue].voided
        let hasFailed = group.failure != nil && quality != .received
        var count = 0
        var end: UInt64 = 0
        var oldest = now
        while count < RespondStage.batch, links.pending[queue].next < links.pending[queue].end {
            let number = links.pending[queue].next
            let response = PendingCell.response(links.pending[queue].element(number))
            if !response.pointee.isAnswered {
                if number < voided, response.pointee.position > 0 {
                    answer(response, queue: queue, number: number, error: .notLeaderOrFollower)
                } else if response.pointee.position <= passed, response.pointee.replicas > replicas {
                    answer(response, queue: queue, number: number, error: .notEnoughReplicasAfterAppend)
                } else if response.pointee.position <= passed {
                    end = max(end, response.pointee.position)
                    oldest = min(oldest, response.pointee.arrival)
                    if !answerInTurn(response, queue, number) { answer(response, queue: queue, number: number, error: nil) }
                } else if hasFailed {
                    answer(response, queue: queue, number: number, error: .kafkaStorageError)
                } else {
                    break
                }
                if timers.count > 0 {
                    let timer = self.timer(queue, number)
                    if timers.isSet(timer) { timers.cancel(timer) }
                }
            }
            links.pending[queue].skip(response.pointee.cells)
            count += 1
        }
        if count > 0 { note(count, from: oldest, to: end, group) }
        links.pending[queue].release()
        unconsidered[queue] = max(unconsidered[queue], links.pending[queue].next)
        return count
    }

    /// So many have been answered, the first of which came at `oldest`, the last of which ended at `end`.
    private func note(_ count: Int, from oldest: UInt64, to end: UInt64, _ group: JournalPositions) {
        meter.add(Count.answers, UInt64(count))
        if oldest < now { meter.record(latency: now - oldest) }
        if end > group.answered.load(ordering: .relaxed) { group.answered.max(end, ordering: .relaxed) }
    }

    /// Puts out an answer as is done with most: a whole one, whose turn it is, behind which none is parked. False, and nothing
    /// done, where it is not so.
    @inline(__always)
    private mutating func answerInTurn(_ response: UnsafeMutablePointer<PendingResponse>, _ queue: Int, _ number: Int) -> Bool {
        let slot = Int(response.pointee.connection.slot)
        guard response.pointee.kind == .whole, trace == nil, !response.pointee.wantsReceipt, slot < connections.count,
            connections[slot].takes(response.pointee.answer, of: response.pointee.connection.generation)
        else { return false }
        putWhole(response, queue, number, slot)
        return true
    }

    /// Puts out a whole answer, whose turn it is: its cells, of which the next answer overwrites what is too much.
    @inline(__always)
    private mutating func putWhole(_ response: UnsafeMutablePointer<PendingResponse>, _ queue: Int, _ number: Int, _ slot: Int) {
        guard let chunk = room(slot, SendChunk.most) else { preconditionFailure("a chunk has room for a whole answer") }
        var at = chunk.base + chunk.used
        for cell in 1..<response.pointee.cells {
            at.storeBytes(of: links.pending[queue].element(number + cell).pointee, as: PendingCell.self)
            at += PendingCell.bytes
        }
        chunk.used += Int(response.pointee.bytes)
        let next = response.pointee.answer &+ 1
        connections[slot].nextAnswer = next
        chunk.answers = next
    }

    // MARK: Time

    private func timer(_ queue: Int, _ number: Int) -> Int { queue * queueCapacity + number % queueCapacity }

    private mutating func takeTimedOut(_ now: Moment) -> Int {
        if now.monotonic >= nextTimerRound {
            nextTimerRound = now.monotonic + RespondStage.timerInterval
            for queue in 0..<links.pending.count { considerTimers(queue) }
        }
        guard timers.count > 0 else {
            timers.advance(to: now.monotonic) { _ in }
            return 0
        }
        var due = dueTimers
        timers.advance(to: now.monotonic) { due.append($0) }
        for timer in due {
            let queue = timer / queueCapacity
            let head = links.pending[queue].next
            let number = head + (timer % queueCapacity - head % queueCapacity + queueCapacity) % queueCapacity
            let response = PendingCell.response(links.pending[queue].element(number))
            meter.add(Count.timedOut, 1)
            answer(response, queue: queue, number: number, error: .requestTimedOut)
            response.pointee.isAnswered = true
        }
        let count = due.count
        due.removeAll(keepingCapacity: true)
        dueTimers = due
        return count
    }

    private mutating func considerTimers(_ queue: Int) {
        var number = unconsidered[queue]
        let end = links.pending[queue].end
        while number < end {
            let response = PendingCell.response(links.pending[queue].element(number))
            if !response.pointee.isAnswered { timers.set(timer(queue, number), deadline: response.pointee.deadline) }
            number += response.pointee.cells
        }
        unconsidered[queue] = number
    }

    // MARK: Answers

    private mutating func takeAnswers(_ source: Int) -> Int {
        var count = 0
        while let next = links.answers[source].pop() {
            count += 1
            let answer = next.takeRetainedValue()
            guard let slot = slot(of: answer.connection) else { continue }
            if answer.closes {
                finish(slot, before: answer.number)
                continue
            }
            guard connections[slot].isOwed(answer.number) else { continue }
            if answer.number == connections[slot].nextAnswer {
                put(answer, slot)
                putParked(slot)
            } else {
                connections[slot].parked[answer.number] = .answer(answer)
            }
        }
        links.answers[source].release()
        return count
    }

    /// Answers a pending response, or this group's part of it.
    private mutating func answer(_ pending: UnsafeMutablePointer<PendingResponse>, queue: Int, number: Int, error: ErrorCode?) {
        let response = pending.pointee
        guard let slot = slot(of: response.connection) else { return }
        if response.kind == .closing { return finish(slot, before: response.answer) }
        guard connections[slot].isOwed(response.answer) else { return }
        if let error { errors.add(Int(error.rawValue)) } else {
            trace?.line("answer group=\(queue / PendingSender.queueCount) qos=\(quality(queue).rawValue) position=\(response.position)")
        }
        if response.wantsReceipt, response.kind == .whole, response.version >= 9, error == nil {
            var frame = encoded(response, queue, number)
            Receipt(response, positions(queue)).add(to: &frame)
            let id = ConnectionID(slot: UInt32(slot), generation: connections[slot].generation)
            connections[slot].parked[response.answer] = .answer(Answer(id, number: response.answer, bytes: frame))
            return putParked(slot)
        }
        if response.kind == .whole && error == nil && response.answer == connections[slot].nextAnswer {
            putWhole(pending, queue, number, slot)
            if !connections[slot].parked.isEmpty { putParked(slot) }
            return
        }
        join(response, queue: queue, number: number, error: error, slot: slot)
    }

    /// What was encoded of a response.
    private func encoded(_ response: PendingResponse, _ queue: Int, _ number: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(response.bytes))
        for cell in 1..<max(response.cells, 1) {
            let from = UnsafeRawPointer(links.pending[queue].element(number + cell))
            bytes.append(contentsOf: UnsafeRawBufferPointer(start: from, count: min(Int(response.bytes) - bytes.count, PendingCell.bytes)))
        }
        return bytes
    }

    /// The way of an answer that is early, that has failed, or that is one of several parts.
    private mutating func join(
        _ response: PendingResponse, queue: Int, number: Int, error: ErrorCode?, slot: Int
    ) {
        var topics = encoded(response, queue, number)
        if response.kind == .whole { topics = Array(topics[SingleProduceAnswer.topics(in: topics.count, version: response.version)]) }
        if let error {
            topics.withUnsafeMutableBytes {
                guard let base = $0.baseAddress else { return }
                ProduceResponseWriter.fail(
                    base, count: $0.count, topicCount: Int(response.topicCount), version: response.version, error: error)
            }
        }
        var joined: JoinedProduce
        if case .produce(let before) = connections[slot].parked[response.answer] { joined = before } else {
            joined = JoinedProduce(
                correlation: response.correlation, version: response.version, missingParts: response.parts,
                hasSeveralParts: response.parts > 1, topicCount: 0,
                topics: [])
        }
        joined.missingParts -= 1
        joined.topicCount += Int(response.topicCount)
        joined.topics += topics
        connections[slot].parked[response.answer] = .produce(joined)
        putParked(slot)
    }

    /// Puts out what is parked, as far as its turn has come.
    private mutating func putParked(_ slot: Int) {
        while let parked = connections[slot].parked[connections[slot].nextAnswer] {
            switch parked {
            case .answer(let answer):
                connections[slot].parked[connections[slot].nextAnswer] = nil
                put(answer, slot)
            case .produce(let joined):
                guard joined.isComplete else { return }
                connections[slot].parked[connections[slot].nextAnswer] = nil
                put(joined, slot)
            }
        }
    }

    private mutating func put(_ parts: JoinedProduce, _ slot: Int) {
        var joined = parts
        if joined.hasSeveralParts {
            (joined.topics, joined.topicCount) = ProduceResponseWriter.merge(
                parts.topics, topicCount: parts.topicCount, version: parts.version)
        }
        let answer = Answer(
            ConnectionID(slot: UInt32(slot), generation: connections[slot].generation),
            number: connections[slot].nextAnswer, capacity: joined.topics.count + ProduceResponseWriter.frameBytes)
        var writer = ProduceResponseWriter(
            answer.reserve(answer.free), capacity: joined.topics.count + ProduceResponseWriter.frameBytes,
            version: joined.version)
        writer.begin(correlation: joined.correlation, topics: joined.topicCount, topicsBytes: joined.topics.count)
        joined.topics.withUnsafeBytes { writer.put(bytes: $0) }
        writer.end()
        answer.shorten(to: writer.count)
        put(answer, slot)
    }

    private mutating func put(_ answer: Answer, _ slot: Int) {
        connections[slot].nextAnswer &+= 1
        if let bytes = answer.single, let room = room(slot, bytes.count) {
            if bytes.count > 0 { (room.base + room.used).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count) }
            room.used += bytes.count
            room.answers = connections[slot].nextAnswer
        } else {
            connections[slot].outgoing.append(.answer(answer))
            connections[slot].tail = nil
            mark(slot)
        }
    }

    // MARK: Sending

    /// A chunk at the end of what is going out, with that much room; nil where the bytes are too many for a chunk.
    private mutating func room(_ slot: Int, _ bytes: Int) -> SendChunk? {
        guard bytes <= SendChunk.capacity else { return nil }
        mark(slot)
        if let tail = connections[slot].tail, tail.free >= bytes { return tail }
        let chunk = spareChunks.popLast() ?? SendChunk()
        connections[slot].outgoing.append(.chunk(chunk))
        connections[slot].tail = chunk
        return chunk
    }

    private mutating func mark(_ slot: Int) {
        guard !connections[slot].isDirty else { return }
        connections[slot].isDirty = true
        dirty.append(UInt32(slot))
    }

    private mutating func flush() {
        guard !dirty.isEmpty else { return }
        for slot in dirty {
            connections[Int(slot)].isDirty = false
            send(Int(slot))
        }
        dirty.removeAll(keepingCapacity: true)
    }

    private mutating func send(_ slot: Int) {
        guard connections[slot].sendsMore, !connections[slot].isSending, let first = connections[slot].outgoing.first
        else { return }
        connections[slot].isSending = true
        if connections[slot].outgoing.count == 1 { connections[slot].tail = nil }
        connections[slot].sendingSince = now
        watch.look(at: slot, by: now + min(sendTimeout, AnswerBudget.shortestPatience))
        switch first {
        case .chunk(let chunk):
            sockets.send(
                connections[slot].socket, from: chunk.base + chunk.sent, count: chunk.used - chunk.sent, tag: UInt64(slot))
        case .answer(let answer):
            sockets.send(connections[slot].socket, message: answer.nextMessage(), tag: UInt64(slot))
        }
    }

    private mutating func sent(_ completion: Completion) {
        let slot = Int(completion.tag)
        connections[slot].isSending = false
        guard connections[slot].sendsMore else {
            while let rest = connections[slot].outgoing.popFirst() { recycle(rest) }
            return endIfDone(slot)
        }
        guard completion.result > 0, let first = connections[slot].outgoing.first else {
            if case .finishing(_, let told) = connections[slot].state { return drop(slot, told: told, tells: false) }
            return drop(slot, told: false)
        }
        meter.add(Count.bytes, UInt64(completion.result))
        let isWhole: Bool
        switch first {
        case .chunk(let chunk):
            chunk.sent += Int(completion.result)
            isWhole = chunk.sent == chunk.used
        case .answer(let answer): isWhole = answer.sent(Int(completion.result))
        }
        if isWhole {
            switch first {
            case .chunk(let chunk): connections[slot].sentAnswers = chunk.answers
            case .answer(let answer): connections[slot].sentAnswers = answer.number &+ 1
            }
            tellSent(slot)
            recycle(connections[slot].outgoing.removeFirst())
        }
        send(slot)
        endIfDone(slot)
    }

    /// Gives up the clients that have taken nothing for too long: what waits for them takes memory. While that is short, which
    /// others feel, too long is much sooner.
    private mutating func dropStalled() -> Int {
        var count = 0
        while let slot = watch.next(now) {
            guard connections[slot].isSending, connections[slot].sendsMore else { continue }
            let stalled = now - connections[slot].sendingSince
            let patience = connections[slot].patience
            guard stalled >= min(sendTimeout, patience) else {
                // Memory may run short before its time is up.
                watch.look(at: slot, by: now + min(sendTimeout - stalled, AnswerBudget.shortestPatience))
                continue
            }
            count += 1
            let peer = sockets.peerName(connections[slot].socket)
            log.note(
                .notice, "\(peer): closed: it has taken nothing of its answers for "
                    + "\(stalled / 1_000_000) ms" + (stalled < sendTimeout ? ", and others want the memory" : ""), now)
            sockets.discard(connections[slot].socket)
            if case .finishing(_, let told) = connections[slot].state { drop(slot, told: told, tells: false) } else {
                drop(slot, told: false)
            }
        }
        return count
    }

    private mutating func recycle(_ outgoing: ResponderConnection.Outgoing) {
        guard case .chunk(let chunk) = outgoing else { return }
        guard spareChunks.count < 256 else { return chunk.deallocate() }
        chunk.used = 0
        chunk.sent = 0
        spareChunks.append(chunk)
    }
}
