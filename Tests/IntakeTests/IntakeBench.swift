import Host
import IO
import Logging
import Metadata
import TestSupport
import Wire

@testable import Intake

/// An io stage with made-up sockets, and the other ends of all its channels.
final class IntakeBench {
    let sockets = FakeSockets()
    let draining = DrainSwitch()
    let writers: [Inlet<ClientRequest>]
    let reader: Inlet<ClientRequest>
    let control: Inlet<ClientRequest>
    let releases: Outlet<Release>
    let events: Inlet<ConnectionEvent>
    let answers: Outlet<ConnectionEvent>
    private var stage: IntakeStage
    /// The clock, in monotonic nanoseconds.
    var now: UInt64 = 5

    /// A topic "t" whose partitions go round the partition groups.
    init(
        connections: Int = 4, receiveBytes: Int = 4096, requestBytes: Int = 100_000, inFlight: Int = 1000,
        largeBufferBytes: Int = 1 << 20, queue: Int = 1024, groups: Int = 1, perAddress: Int = .max,
        timeouts: ConnectionTimeouts = ConnectionTimeouts()
    ) {
        let toWriters = (0..<groups).map { _ in Channel<ClientRequest>(capacity: queue) }
        let toReader = Channel<ClientRequest>(capacity: queue)
        let toControl = Channel<ClientRequest>(capacity: queue)
        let toGroups = Channel<ClientRequest>(capacity: queue)
        let back = Channel<Release>(capacity: 4096)
        let toRespond = Channel<ConnectionEvent>(capacity: 1024)
        let fromRespond = Channel<ConnectionEvent>(capacity: 1024)
        let tables = Channel<Unmanaged<TopicTable>>(capacity: 4)
        var writerEnds = OwnedArray<Sender<ClientRequest>>(minimumCapacity: groups)
        for channel in toWriters { writerEnds.append(channel.sender()) }
        var releaseEnds = OwnedArray<Receiver<Release>>(minimumCapacity: 1)
        releaseEnds.append(back.receiver())
        let places = (0..<8).map { PartitionPlace(group: UInt16($0 % groups), number: UInt32($0)) }
        let topic = Topic(
            name: "t", id: Uuid(high: 1, low: 1), partitions: places, settings: TopicSettings(), configs: [:])
        var limits = IntakeLimits(
            connections: connections, receiveBytes: receiveBytes, requestBytes: requestBytes, inFlight: inFlight,
            largeBufferBytes: largeBufferBytes)
        limits.connectionsPerAddress = perAddress
        limits.timeouts = timeouts
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        stage = IntakeStage(
            sockets: sockets, listener: 3, limits: limits,
            links: IntakeLinks(
                writers: writerEnds, reader: toReader.sender(), control: toControl.sender(), groups: toGroups.sender(), releases: releaseEnds,
                toRespond: toRespond.sender(), fromRespond: fromRespond.receiver(), tables: tables.receiver()),
            table: TopicTable(topics: [topic], partitionNumbers: Array(repeating: 8, count: groups)), draining: draining,
            logger: logger)
        writers = toWriters.map { Inlet($0) }
        reader = Inlet(toReader)
        control = Inlet(toControl)
        releases = Outlet(back)
        events = Inlet(toRespond)
        answers = Outlet(fromRespond)
        step()
    }

    /// Steps until nothing is left to do.
    func step() {
        for _ in 0..<1000 where stage.step(Moment(monotonic: now, wall: 6)) == 0 { return }
        preconditionFailure("the stage never rests")
    }

    var isDrained: Bool { stage.isDrained }
    /// When the stage wants to be stepped though nothing comes.
    var deadline: UInt64 { stage.deadline }

    /// Lets time pass, in milliseconds; the stage is stepped whenever it asked for it, and at the end.
    func advance(_ milliseconds: UInt64) {
        let end = now + milliseconds * 1_000_000
        while deadline < end {
            now = max(now, deadline)
            step()
            // A look may come a tick later than asked for.
            now = min(end, now + 1_000_000)
        }
        now = end
        step()
    }

    /// A client connects; its identity as the respond stage is told it. Nil: it was refused.
    func open(_ socket: Int32) -> ConnectionID? {
        sockets.connect(socket)
        step()
        guard let event = event(), event.kind == .opened, event.socket == socket else { return nil }
        return event.connection
    }

    func event() -> ConnectionEvent? {
        defer { events.release() }
        return events.pop()
    }

    /// The bytes come, in as many receives as it takes. Returns how many were read before the stage stopped.
    func deliver(_ bytes: [UInt8], to socket: Int32) -> Int {
        var done = 0
        while done < bytes.count {
            let count = sockets.deliver(bytes[done...], to: socket)
            guard count > 0 else { break }
            step()
            done += count
        }
        return done
    }

    /// The next request that a write stage was handed.
    func request(of group: Int = 0) -> ClientRequest? {
        defer { writers[group].release() }
        return writers[group].pop()
    }

    func give(back request: ClientRequest) {
        precondition(releases.send(request.release))
        step()
    }

    /// The respond stage says that so many answers have left, in all.
    func answered(_ connection: ConnectionID, _ answers: UInt32) {
        precondition(self.answers.send(ConnectionEvent(.sent, connection, answers: answers)))
        step()
    }

    /// The respond stage says that it is done with the connection.
    func respondIsDone(_ connection: ConnectionID) {
        precondition(answers.send(ConnectionEvent(.done, connection)))
        step()
    }
}

extension ClientRequest {
    /// A copy of its bytes.
    var copy: [UInt8] { Array(UnsafeRawBufferPointer(start: bytes, count: Int(count))) }
}

/// A Produce request's frame: as many bytes of records, which nobody looks at here, for each of the partitions of "t".
func produceFrame(
    _ correlation: Int32, bytes: Int = 50, partitions: [Int32] = [0], acks: Int16 = -1, version: Int16 = 9
) throws -> [UInt8] {
    var request = ProduceRequest()
    request.acks = acks
    request.timeoutMs = 1000
    let records = [UInt8](repeating: UInt8(truncatingIfNeeded: correlation), count: bytes)
    request.topics = [.init(name: "t", partitions: partitions.map { .init(index: $0, records: records) })]
    return try RequestFrame.encode(request, version: version, correlationId: correlation, clientId: "test")
}
