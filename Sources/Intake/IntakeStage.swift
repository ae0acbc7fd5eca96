import Glibc
import Host
import IO
import Logging
import Metadata
import Wire

/// Accepts connections, reads sockets in batches, finds the frames, makes the cheap checks, and hands each request to its
/// queue. It parses no records and waits for nothing: where a queue is full it stops reading that socket.
public struct IntakeStage: Stage, ~Copyable {
    private enum Tag {
        static let accept: UInt64 = 1 << 40
        static let cancel: UInt64 = 1 << 41
    }

    private enum Count {
        static let open = StageMeter.Counter.first
        static let accepted = StageMeter.Counter.second
        static let refused = StageMeter.Counter.third
        static let bytes = StageMeter.Counter.fourth
    }

    private let sockets: any SocketPort
    private let listener: Int32
    private let limits: IntakeLimits
    private var log: ConnectionLog
    private let counts: ConnectionCounts
    private var links: IntakeLinks
    private var table: TopicTable
    /// As many as there have been at once.
    private var connections: OwnedArray<Connection>
    private var watch = DeadlineWatch()
    private var freeSlots: [UInt32] = []
    private var stalled: [UInt32] = []
    private var spareBuffers: [MirroredBuffer] = []
    private var largeBytes = 0
    /// Whether this step has asked for idle connections' large buffers.
    private var hasReclaimed = false
    /// Whether in this step somebody waits for a large buffer.
    private var isMemoryShort = false
    private var openCount = 0
    /// The time of this step.
    private var now = Moment(monotonic: 0, wall: 0)
    private var isAccepting = false
    /// After a failed accept not before then: what it failed for (no descriptors) does not pass at once.
    private var acceptsFrom: UInt64 = 0
    private let draining: DrainSwitch
    private let number: Int
    private let hosts: ClientHosts?
    private let meter: StageMeter
    private let requests: SharedCounters

    /// - Parameters:
    ///   - number: among the io stages.
    ///   - counts: of the connections of all io stages; nil: there is no other.
    ///   - hosts: of those who join consumer groups; nil: nobody asks.
    ///   - requests: counts them by API key.
    public init(
        sockets: any SocketPort, listener: Int32, limits: IntakeLimits, links: consuming IntakeLinks, table: TopicTable,
        draining: DrainSwitch, number: Int = 0, counts: ConnectionCounts? = nil, hosts: ClientHosts? = nil, meter: StageMeter = .unwatched,
        requests: SharedCounters = .unwatched, logger: Logger
    ) {
        self.meter = meter
        self.requests = requests
        self.number = number
        self.hosts = hosts
        self.sockets = sockets
        self.listener = listener
        var whole = limits
        whole.receiveBytes = Int(alignedUp(UInt64(limits.receiveBytes)))
        self.limits = whole
        self.links = links
        self.table = table
        self.draining = draining
        connections = OwnedArray(minimumCapacity: limits.connections)
        self.counts = counts ?? ConnectionCounts(limit: limits.connections, perAddress: limits.connectionsPerAddress)
        log = ConnectionLog(logger)
    }

    public mutating func step(_ now: Moment) -> Int {
        self.now = now
        hasReclaimed = false
        isMemoryShort = false
        var progress = takeTables() + takeReleases() + takeEvents()
        if draining.isOn {
            progress += drain()
        } else if !isAccepting && now.monotonic >= acceptsFrom && !draining.isHeld {
            isAccepting = true
            sockets.accept(listener: listener, tag: Tag.accept)
            progress += 1
        }
        while let completion = sockets.next() {
            progress += 1
            handle(completion)
        }
        progress += retryStalled() + closeLate()
        publish()
        return progress
    }

    public var deadline: UInt64 { isAccepting || draining.isOn || draining.isHeld ? watch.deadline : min(acceptsFrom, watch.deadline) }

    public var isDrained: Bool { openCount == 0 }

    // MARK: What comes back

    private mutating func takeTables() -> Int {
        var count = 0
        while let next = links.tables.pop() {
            table = next.takeRetainedValue()
            count += 1
        }
        links.tables.release()
        return count
    }

    private mutating func takeReleases() -> Int {
        var count = 0
        for source in 0..<links.releases.count {
            while let release = links.releases[source].pop() {
                count += 1
                take(release)
            }
            links.releases[source].release()
        }
        return count
    }

    private mutating func take(_ release: Release) {
        let slot = Int(release.connection.slot)
        precondition(connections[slot].generation == release.connection.generation, "a slot waits for its frames")
        guard let end = connections[slot].frames.release(release.frame, count: release.count) else { return }
        connections[slot].released = end
        if connections[slot].state == .closing { return closeIfDone(slot) }
        // Room again: for a frame that waited for a larger buffer, or for bytes.
        if !connections[slot].isReceiving && !connections[slot].isStalled { stall(slot) }
    }

    private mutating func takeEvents() -> Int {
        var count = 0
        while let event = links.fromRespond.pop() {
            count += 1
            let slot = Int(event.connection.slot)
            guard connections[slot].generation == event.connection.generation else { continue }
            switch event.kind {
            case .sent:
                connections[slot].noteSent(event.answers)
                connections[slot].activity.last = now.monotonic
                if connections[slot].state == .open && !connections[slot].isReceiving { stall(slot) }
            case .broken: end(slot, .finished)
            case .done:
                connections[slot].respondIsDone = true
                closeIfDone(slot)
            case .opened, .finished, .aborted: preconditionFailure("these go the other way")
            }
        }
        links.fromRespond.release()
        return count
    }

    private mutating func publish() {
        for writer in 0..<links.writers.count { links.writers[writer].publish() }
        links.reader.publish()
        links.control.publish()
        links.groups.publish()
        links.toRespond.publish()
    }

    // MARK: Opening and closing

    private mutating func handle(_ completion: Completion) {
        if completion.tag == Tag.accept { return accepted(completion) }
        if completion.tag & Tag.cancel != 0 { return }
        let slot = Int(completion.tag)
        connections[slot].isReceiving = false
        let isReclaimed = connections[slot].isReclaimed
        connections[slot].isReclaimed = false
        guard connections[slot].state == .open else { return closeIfDone(slot) }
        if isReclaimed && (completion.result == -ECANCELED || completion.result == -EINTR) { return takeFrames(slot) }
        guard completion.result > 0 else {
            // 0: the other side has sent all it wants to; it may still wait for answers.
            return completion.result == 0 ? end(slot, .finished) : abort(slot)
        }
        connections[slot].received += Int(completion.result)
        meter.add(Count.bytes, UInt64(completion.result))
        connections[slot].activity.note(received: Int(completion.result), now.monotonic)
        takeFrames(slot)
    }

    private mutating func accepted(_ completion: Completion) {
        if !completion.more { isAccepting = false }
        guard completion.result >= 0 else {
            if !draining.isOn {
                let error = describe(errno: -completion.result)
                log.note(.error, "a connection can't be accepted: \(error); trying again", now.monotonic)
                acceptsFrom = now.monotonic + 100_000_000
            }
            return
        }
        let socket = completion.result
        let address = sockets.peerAddress(socket)
        if let reason = refusal(address) {
            log.note(.warning, "\(sockets.peerName(socket)): refused: \(reason)", now.monotonic)
            meter.add(Count.refused, 1)
            return sockets.close(socket)
        }
        guard let buffer = takeBuffer() else {
            log.note(.warning, "\(sockets.peerName(socket)): refused: there is no memory for its requests", now.monotonic)
            counts.leave(address)
            return sockets.close(socket)
        }
        sockets.setNoDelay(socket)
        if freeSlots.isEmpty {
            freeSlots.append(UInt32(connections.count))
            connections.append(Connection())
        }
        let slot = Int(freeSlots.removeLast())
        let generation = connections[slot].generation &+ 1
        connections[slot] = Connection(
            state: .open, generation: generation, socket: socket, address: address, buffer: buffer,
            activity: ConnectionActivity(opened: now.monotonic))
        openCount += 1
        meter.add(Count.accepted, 1)
        meter.set(Count.open, UInt64(openCount))
        let opened = links.toRespond.push(ConnectionEvent(.opened, id(slot), socket: socket))
        precondition(opened, "there was room")
        watch.look(at: slot, by: now.monotonic + min(limits.timeouts.firstByte, limits.timeouts.idle))
        receive(slot)
    }

    /// Why a connection more can't be taken; nil: it is counted now.
    private mutating func refusal(_ address: UInt64) -> String? {
        if draining.isOn { return "the broker is stopping" }
        guard links.toRespond.hasRoom() else { return "too many connections come and go" }
        return counts.enter(address)
    }

    private func id(_ slot: Int) -> ConnectionID {
        ConnectionID(slot: UInt32(slot), generation: connections[slot].generation)
    }

    /// What came can't be understood, or is too much: nothing more is read. What was asked before is still answered.
    private mutating func close(_ slot: Int, reason: String) {
        guard connections[slot].state == .open else { return }
        let peer = sockets.peerName(connections[slot].socket)
        log.note(.notice, "\(peer): closed: \(reason)", now.monotonic)
        end(slot, .finished)
    }

    /// The connection broke.
    private mutating func abort(_ slot: Int) {
        guard connections[slot].state == .open else { return }
        end(slot, .aborted)
        sockets.shutdown(connections[slot].socket)
    }

    private mutating func end(_ slot: Int, _ kind: ConnectionEvent.Kind) {
        guard connections[slot].state == .open else { return }
        connections[slot].state = .closing
        let event = ConnectionEvent(kind, id(slot), answers: connections[slot].answers)
        // Two events a connection at most, and the channel has room for two of each.
        let told = links.toRespond.push(event)
        precondition(told, "the respond stage hears of every connection")
        closeIfDone(slot)
    }

    private mutating func closeIfDone(_ slot: Int) {
        guard connections[slot].state == .closing, connections[slot].respondIsDone, !connections[slot].isReceiving,
            connections[slot].frames.count == 0
        else {
            // A receive that is still armed ends with the socket's shutdown.
            if connections[slot].state == .closing, connections[slot].respondIsDone, connections[slot].isReceiving {
                sockets.shutdown(connections[slot].socket)
            }
            return
        }
        sockets.close(connections[slot].socket)
        giveBack(connections[slot].buffer)
        connections[slot].buffer = nil
        connections[slot].state = .free
        freeSlots.append(UInt32(slot))
        openCount -= 1
        meter.set(Count.open, UInt64(openCount))
        counts.leave(connections[slot].address)
        watch.forget(slot)
    }

    /// Going down: takes no more connections, and ends those whose requests are all answered.
    private mutating func drain() -> Int {
        var progress = 0
        if isAccepting {
            isAccepting = false
            sockets.cancel(Tag.accept, tag: Tag.cancel)
            progress += 1
        }
        for slot in 0..<connections.count where connections[slot].state == .open {
            end(slot, .finished)
            progress += 1
        }
        return progress
    }

    /// Closes the connections whose time is up.
    private mutating func closeLate() -> Int {
        var count = 0
        while let slot = watch.next(now.monotonic) {
            guard connections[slot].state == .open else { continue }
            let isInTheWay = isMemoryShort && largeBytes(of: slot) > 0
            switch connections[slot].judge(isInTheWay: isInTheWay, limits.timeouts, now.monotonic) {
            case .inTime(let until): watch.look(at: slot, by: until)
            case .late(let reason):
                close(slot, reason: reason)
                count += 1
            }
        }
        return count
    }

    // MARK: Reading

    private mutating func takeBuffer() -> MirroredBuffer? {
        spareBuffers.popLast() ?? MirroredBuffer(capacity: limits.receiveBytes)
    }

    private mutating func giveBack(_ buffer: MirroredBuffer?) {
        guard let buffer else { return }
        if buffer.capacity > limits.receiveBytes {
            largeBytes -= buffer.capacity
        } else if spareBuffers.count < 64 {
            spareBuffers.append(buffer)
        }
    }

    private mutating func receive(_ slot: Int) {
        guard connections[slot].state == .open, !connections[slot].isReceiving, !connections[slot].isStalled else { return }
        connections[slot].rewindIfEmpty()
        let room = connections[slot].freeBytes
        guard room > 0 else { return }
        connections[slot].isReceiving = true
        sockets.receive(
            connections[slot].socket, into: connections[slot].buffer!.pointer(connections[slot].received),
            capacity: room, tag: UInt64(slot))
    }

    private mutating func stall(_ slot: Int) {
        guard !connections[slot].isStalled else { return }
        connections[slot].isStalled = true
        stalled.append(UInt32(slot))
    }

    private mutating func retryStalled() -> Int {
        guard !stalled.isEmpty else { return 0 }
        var progress = 0
        let slots = stalled
        stalled.removeAll(keepingCapacity: true)
        for slot in slots {
            let slot = Int(slot)
            connections[slot].isStalled = false
            let before = connections[slot].parsed
            let wasReceiving = connections[slot].isReceiving
            if connections[slot].state == .open { takeFrames(slot) }
            if connections[slot].isReceiving && !wasReceiving { connections[slot].activity.noteResumed(now.monotonic) }
            if connections[slot].parsed != before || connections[slot].isReceiving != wasReceiving { progress += 1 }
        }
        return progress
    }

    /// Hands on every whole frame that is there; then reads on, unless a queue is full.
    private mutating func takeFrames(_ slot: Int) {
        guard fit(slot) else { return }
        handOnUsual(slot)
        while connections[slot].state == .open, connections[slot].unread >= 4 {
            let front = connections[slot].front
            let length = Int(Int32(bigEndian: front.loadUnaligned(as: Int32.self)))
            guard length >= 8, length <= limits.requestBytes else {
                return close(slot, reason: "a request of \(length) bytes; 8 to \(limits.requestBytes) are allowed")
            }
            let capacity = connections[slot].buffer!.capacity
            if length + 4 > capacity && connections[slot].unread == capacity {
                // It grows with what came, not with what was announced.
                connections[slot].neededCapacity = min(2 * capacity, length + 4)
                if fit(slot) { continue }
                return
            }
            guard connections[slot].unread >= 4 + length else { break }
            // Its own releases, or its answers' leaving, bring it back.
            guard connections[slot].frames.count < limits.inFlight, connections[slot].unanswered < limits.unanswered
            else { return }
            guard handOn(slot, frame: front + 4, count: length) else { return }
        }
        if connections[slot].unread > 0 {
            connections[slot].activity.noteHalf(connections[slot].frames.next, now.monotonic)
            watch.look(at: slot, by: now.monotonic + limits.timeouts.request)
        }
        receive(slot)
    }

    /// Gives the connection the buffer that its next frame needs, or the usual one back. False while that must wait for
    /// frames that are out, or for memory.
    private mutating func fit(_ slot: Int) -> Bool {
        let needed = connections[slot].neededCapacity
        let capacity = connections[slot].buffer!.capacity
        let shrinks = needed == 0 && capacity > limits.receiveBytes && fitsUsualBuffer(slot)
        guard needed > capacity || shrinks else { return true }
        guard connections[slot].frames.count == 0, !connections[slot].isReceiving else { return needed == 0 }
        let buffer: MirroredBuffer?
        if needed == 0 {
            buffer = takeBuffer()
        } else {
            var size = limits.receiveBytes
            while size < needed { size *= 2 }
            guard hasMemory(for: size, slot) else {
                stall(slot)
                return false
            }
            buffer = MirroredBuffer(capacity: size)
            if buffer != nil { largeBytes += buffer!.capacity }
        }
        guard let buffer else {
            if needed == 0 { return true }
            close(slot, reason: "no memory for a request of \(needed) bytes")
            return false
        }
        let unread = connections[slot].unread
        if unread > 0 { buffer.base.copyMemory(from: connections[slot].front, byteCount: unread) }
        giveBack(connections[slot].buffer)
        connections[slot].buffer = buffer
        connections[slot].parsed = 0
        connections[slot].released = 0
        connections[slot].received = unread
        connections[slot].neededCapacity = 0
        return true
    }

    /// Whether what is unread, and the frame that it begins, has room in a buffer of the usual size.
    private func fitsUsualBuffer(_ slot: Int) -> Bool {
        let unread = connections[slot].unread
        guard unread > 0 else { return true }
        guard unread >= 4, unread <= limits.receiveBytes else { return false }
        return Int(Int32(bigEndian: connections[slot].front.loadUnaligned(as: Int32.self))) + 4 <= limits.receiveBytes
    }

    /// Whether the connection may have a buffer of that size. If not, whoever is idle with a large one, for a receive holds
    /// it, is to get the usual one instead; and whoever fills one too slowly is closed.
    private mutating func hasMemory(for size: Int, _ slot: Int) -> Bool {
        let others = largeBytes - largeBytes(of: slot)
        if others + size <= limits.largeBufferBytes || others == 0 { return true }
        isMemoryShort = true
        guard !hasReclaimed else { return false }
        hasReclaimed = true
        var isInUse = false
        for other in 0..<connections.count where largeBytes(of: other) > 0 {
            let isReceiving = connections[other].isReceiving
            let isResting = connections[other].state == .open && connections[other].frames.count == 0
            if isResting && !isReceiving && connections[other].neededCapacity > 0 { continue }
            isInUse = true
            watch.look(at: other, by: now.monotonic + ConnectionTimeouts.shortMemory.patience)
            guard isResting, isReceiving, !connections[other].isReclaimed, connections[other].unread == 0 else { continue }
            connections[other].isReclaimed = true
            sockets.cancel(UInt64(other), tag: Tag.cancel)
        }
        // Where all that have large ones wait for larger ones, nobody will ever give one back: one goes beyond the limit.
        return !isInUse
    }

    private func largeBytes(of slot: Int) -> Int {
        guard let capacity = connections[slot].buffer?.capacity, capacity > limits.receiveBytes else { return 0 }
        return capacity
    }

    // MARK: Handing on

    /// False where the connection stopped: a queue is full, or it was closed.
    private mutating func handOn(_ slot: Int, frame: UnsafeMutableRawPointer, count: Int) -> Bool {
        let bytes = UnsafeRawBufferPointer(start: frame, count: count)
        let header: RequestHeader
        do { header = try RequestHeader.decode(bytes) } catch {
            close(slot, reason: "bad request header: \(error.reason)")
            return false
        }
        guard let spec = APIs.served(header.apiKey),
            spec.versions.contains(header.apiVersion) || spec.key == .apiVersions || spec.key == .produce
        else {
            close(slot, reason: "API \(header.apiKey) version \(header.apiVersion) is not served here")
            return false
        }
        var request = ClientRequest(
            connection: id(slot), frame: connections[slot].frames.next, answer: connections[slot].answers,
            bytes: UnsafeRawPointer(frame), count: UInt32(count), bodyOffset: UInt32(header.bodyOffset),
            key: header.apiKey, version: header.apiVersion, correlation: header.correlationId, groups: 1,
            wantsAnswer: true, arrival: now.monotonic)
        request.wantsReceipt = header.wantsReceipt
        if spec.key == .fetch && connections[slot].fetchAnswers.count >= limits.fetchesUnanswered { return false }
        let isLarge = spec.key != .produce && spec.key != .fetch
        if isLarge && connections[slot].largeAnswers.count >= limits.largeUnanswered { return false }
        let sent: Bool
        switch spec.key {
        case .produce where spec.versions.contains(header.apiVersion):
            guard let produced = handOnProduce(&request, slot) else { return false }
            sent = produced
        case .fetch, .listOffsets, .offsetForLeaderEpoch, .deleteRecords, .describeLogDirs: sent = links.reader.push(request)
        case .joinGroup:
            hosts?.note(request.connection, io: number, peer: sockets.peerName(connections[slot].socket))
            sent = links.groups.push(request)
        case .syncGroup, .heartbeat, .leaveGroup, .offsetCommit, .offsetFetch, .offsetDelete, .describeGroups, .listGroups, .deleteGroups:
            sent = links.groups.push(request)
        default: sent = links.control.push(request)
        }
        guard sent else {
            stall(slot)
            return false
        }
        requests.add(Int(request.key))
        connections[slot].parsed += 4 + count
        connections[slot].frames.add(end: connections[slot].parsed, holders: request.parts)
        if isLarge { connections[slot].largeAnswers.append(request.answer) }
        if spec.key == .fetch { connections[slot].fetchAnswers.append(request.answer) }
        if request.wantsAnswer { connections[slot].answers &+= 1 }
        return true
    }

    /// Hands on the Produce requests at the front that are as most are, where there is one partition group. What stops it, the
    /// next frame's form or a full queue, is left to `handOn` to find.
    private mutating func handOnUsual(_ slot: Int) {
        guard links.writers.count == 1, connections[slot].state == .open else { return }
        let id = id(slot)
        let connection = connections.pointer(slot)
        var at = UnsafeRawPointer(connection.pointee.front)
        var left = connection.pointee.unread
        var answer = connection.pointee.answers
        let begin = connection.pointee.frames.next
        var number = begin
        var end = connection.pointee.parsed
        let last = number &+ UInt32(limits.inFlight - connection.pointee.frames.count)
        let lastAnswer = connection.pointee.answersSent &+ UInt32(limits.unanswered)
        while number != last, answer != lastAnswer, left >= 4 {
            let length = Int(Int32(bigEndian: at.loadUnaligned(as: Int32.self)))
            guard length <= min(left - 4, limits.requestBytes) else { break }
            let bytes = UnsafeRawBufferPointer(start: at + 4, count: max(length, 0))
            guard let front = ProduceFront(bytes) else { break }
            let request = ClientRequest(
                connection: id, frame: number, answer: answer, bytes: at + 4, count: UInt32(truncatingIfNeeded: length),
                bodyOffset: UInt32(truncatingIfNeeded: front.bodyOffset), key: APIKey.produce.rawValue, version: front.version,
                correlation: front.correlation, groups: 1, wantsAnswer: front.acks != 0, arrival: now.monotonic)
            guard links.writers[0].push(request) else { break }
            if front.acks != 0 { answer &+= 1 }
            at += 4 + length
            left -= 4 + length
            end += 4 + length
            number &+= 1
            connection.pointee.frames.add(end: end, holders: 1)
        }
        if number != begin { requests.add(Int(APIKey.produce.rawValue), UInt64(number &- begin)) }
        connection.pointee.answers = answer
        connection.pointee.parsed = end
    }

    /// To every partition group that the request has partitions of. False: a queue is full. Nil: the connection is closed.
    private mutating func handOnProduce(_ request: inout ClientRequest, _ slot: Int) -> Bool? {
        let body = request.body
        var cursor = RawCursor(body.baseAddress!, count: body.count)
        guard let preamble = ProducePreamble(&cursor, version: request.version) else {
            close(slot, reason: "a Produce request that ends early")
            return nil
        }
        request.wantsAnswer = preamble.acks != 0
        guard links.writers.count > 1 else { return links.writers[0].push(request) }
        var groups: UInt64 = 0
        let table = table
        _ = cursor.producePartitions(version: request.version) { partition in
            let place = table.place(of: partition.partition, topic: table.number(of: partition.topic))
            groups |= 1 << UInt64(place?.group ?? 0)
        }
        // What belongs nowhere, or can't be read, the first group answers.
        if groups == 0 { groups = 1 }
        request.groups = groups
        for group in 0..<links.writers.count where groups & (1 << UInt64(group)) != 0 {
            guard links.writers[group].hasRoom() else { return false }
        }
        for group in 0..<links.writers.count where groups & (1 << UInt64(group)) != 0 {
            let pushed = links.writers[group].push(request)
            precondition(pushed, "there was room")
        }
        return true
    }
}
