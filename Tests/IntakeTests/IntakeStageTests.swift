import Glibc
import TestSupport
import Testing

@testable import Intake
@testable import Wire

@Suite struct IntakeStageTests {
    private let socket: Int32 = 1_000_000

    @Test func framesMayBeSplitAnywhere() throws {
        let bench = IntakeBench()
        try #require(bench.open(socket) != nil)
        let frames = try [produceFrame(1, bytes: 1), produceFrame(2, bytes: 90), produceFrame(3, bytes: 7, version: 3)]
        let stream = frames.flatMap { $0 }
        // The last request of each round is given back in the next one, so that the buffer's ring goes round.
        var kept: ClientRequest?
        for cut in 1..<stream.count {
            #expect(bench.deliver(Array(stream[..<cut]), to: socket) == cut)
            #expect(bench.deliver(Array(stream[cut...]), to: socket) == stream.count - cut)
            if let kept { bench.give(back: kept) }
            for (number, frame) in frames.enumerated() {
                let request = try #require(bench.request(), "cut at \(cut)")
                #expect(request.copy == Array(frame[4...]))
                #expect(request.correlation == Int32(number + 1) && request.answer == UInt32(3 * (cut - 1) + number))
                if number < 2 { bench.give(back: request) } else { kept = request }
            }
            #expect(bench.request() == nil)
        }
        #expect(stream.count * stream.count > 3 * 4096, "more than the buffer holds")
    }

    @Test func framesComeByteByByte() throws {
        let bench = IntakeBench()
        try #require(bench.open(socket) != nil)
        let frame = try produceFrame(1)
        for (number, byte) in frame.enumerated() {
            #expect(bench.writers[0].available() == 0, "byte \(number)")
            #expect(bench.deliver([byte], to: socket) == 1)
        }
        #expect(bench.request()?.copy == Array(frame[4...]))
    }

    @Test func severalFramesComeAtOnce() throws {
        let bench = IntakeBench()
        let connection = try #require(bench.open(socket))
        let frames = try (0..<20).map { try produceFrame(Int32($0), acks: $0 % 4 == 3 ? 0 : 1) }
        #expect(bench.sockets.deliver(frames.flatMap { $0 }, to: socket) == frames.reduce(0) { $0 + $1.count })
        bench.step()
        var answer: UInt32 = 0
        for (number, frame) in frames.enumerated() {
            let request = try #require(bench.request())
            #expect(request.copy == Array(frame[4...]) && request.connection == connection)
            #expect(request.frame == UInt32(number) && request.answer == answer && request.parts == 1)
            #expect(request.wantsAnswer == (number % 4 != 3) && request.arrival == 5)
            #expect(request.body.count == Int(request.count) - Int(request.bodyOffset))
            // Who wants no answer has no number.
            if request.wantsAnswer { answer += 1 }
        }
        #expect(bench.request() == nil && bench.sockets.armed[socket] != nil)
    }

    @Test func eachApiHasItsQueue() throws {
        let bench = IntakeBench()
        try #require(bench.open(socket) != nil)
        let stream = try RequestFrame.encode(MetadataRequest(), version: 1, correlationId: 1, clientId: nil)
            + RequestFrame.encode(ListOffsetsRequest(), version: 1, correlationId: 2, clientId: nil)
            + produceFrame(3)
        #expect(bench.deliver(stream, to: socket) == stream.count)
        #expect(bench.control.pop()?.correlation == 1 && bench.reader.pop()?.correlation == 2)
        #expect(bench.request()?.correlation == 3)
    }

    @Test func aRequestGoesToEveryGroupThatItNames() throws {
        let bench = IntakeBench(groups: 3)
        try #require(bench.open(socket) != nil)
        let stream = try produceFrame(1, partitions: [1, 2, 4]) + produceFrame(2, partitions: [2])
            + produceFrame(3, partitions: [77])
        #expect(bench.deliver(stream, to: socket) == stream.count)
        let one = try #require(bench.request(of: 1)), two = try #require(bench.request(of: 2))
        #expect(one.groups == 0b110 && one.parts == 2 && one.copy == two.copy && one.frame == two.frame)
        #expect(bench.request(of: 2)?.correlation == 2 && bench.request(of: 1) == nil)
        // What belongs nowhere is the first group's to refuse.
        let nowhere = try #require(bench.request(of: 0))
        #expect(nowhere.correlation == 3 && nowhere.groups == 1 && bench.request(of: 0) == nil)
    }

    @Test func aFullQueueStopsReadingUntilThereIsRoom() throws {
        let bench = IntakeBench(queue: 4)
        try #require(bench.open(socket) != nil)
        let frames = try (0..<11).map { try produceFrame(Int32($0)) }
        let stream = frames.flatMap { $0 }
        #expect(bench.deliver(stream, to: socket) == stream.count)
        #expect(bench.writers[0].available() == 4 && bench.sockets.armed[socket] == nil, "it reads no more")
        for number in 0..<11 {
            #expect(bench.writers[0].available() == min(4, 11 - number))
            let request = try #require(bench.request())
            #expect(request.correlation == Int32(number) && request.copy == Array(frames[number][4...]))
            bench.step()
        }
        #expect(bench.sockets.armed[socket] != nil, "and goes on")
        let next = try produceFrame(11)
        #expect(bench.deliver(next, to: socket) == next.count && bench.request()?.correlation == 11)
    }

    /// A request for two groups is handed to both or to none.
    @Test func aFullQueueOfOneGroupHoldsBackTheOthersPart() throws {
        let bench = IntakeBench(queue: 1, groups: 2)
        try #require(bench.open(socket) != nil)
        let stream = try produceFrame(1, partitions: [1]) + produceFrame(2, partitions: [0, 1])
        #expect(bench.deliver(stream, to: socket) == stream.count)
        #expect(bench.writers[0].available() == 0 && bench.sockets.armed[socket] == nil)
        #expect(bench.request(of: 1)?.correlation == 1)
        bench.step()
        #expect(bench.request(of: 0)?.correlation == 2 && bench.request(of: 1)?.correlation == 2)
    }

    @Test func soManyRequestsAreOutAtOnce() throws {
        let bench = IntakeBench(inFlight: 3)
        try #require(bench.open(socket) != nil)
        let stream = try (0..<7).flatMap { try produceFrame(Int32($0)) }
        #expect(bench.deliver(stream, to: socket) == stream.count)
        #expect(bench.writers[0].available() == 3 && bench.sockets.armed[socket] == nil)
        for number in Int32(0)..<7 {
            let request = try #require(bench.request())
            #expect(request.correlation == number)
            bench.give(back: request)
        }
        #expect(bench.sockets.armed[socket] != nil)
    }

    @Test func aFullBufferStopsReadingUntilBytesComeBack() throws {
        let bench = IntakeBench()
        try #require(bench.open(socket) != nil)
        let frame = try produceFrame(1, bytes: 1000)
        let stream = (0..<8).flatMap { _ in frame }
        let done = bench.deliver(stream, to: socket)
        #expect(done == 4096 && bench.sockets.armed[socket] == nil)
        let first = try #require(bench.request()), second = try #require(bench.request())
        bench.give(back: second)
        #expect(bench.sockets.armed[socket] == nil, "the first one's bytes come before")
        bench.give(back: first)
        #expect(bench.sockets.armed[socket]?.capacity == 2 * frame.count)
        #expect(bench.deliver(Array(stream[done...]), to: socket) == 2 * frame.count)
        #expect(bench.request()?.copy == Array(frame[4...]))
    }

    @Test(arguments: [100_001, Int32.max, 7, 0, -1, .min] as [Int32]) func anImpossibleLengthCloses(length: Int32) throws {
        let bench = IntakeBench()
        let connection = try #require(bench.open(socket))
        let good = try produceFrame(1)
        let stream = good + withUnsafeBytes(of: length.bigEndian) { Array($0) } + [1, 2, 3]
        #expect(bench.deliver(stream, to: socket) == stream.count)
        let event = try #require(bench.event())
        #expect(event.kind == .finished && event.connection == connection && event.answers == 1, "the first is answered")
        #expect(bench.sockets.armed[socket] == nil && bench.sockets.closed.isEmpty)
        bench.respondIsDone(connection)
        #expect(bench.sockets.closed.isEmpty, "a request is still out")
        bench.give(back: try #require(bench.request()))
        #expect(bench.sockets.closed == [socket] && bench.isDrained)
    }

    @Test func whatIsNotServedCloses() throws {
        let header: [UInt8] = [0, 0, 0, 10]
        // An API that there is not, and a version of Fetch; then a client id that goes past the end.
        for bad in [[0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff], [0, 1, 0, 99, 0, 0, 0, 1, 0xff, 0xff], [0, 3, 0, 1, 0, 0, 0, 1, 0, 9]]
            as [[UInt8]]
        {
            let bench = IntakeBench()
            try #require(bench.open(socket) != nil)
            #expect(bench.deliver(header + bad, to: socket) == 14)
            #expect(bench.event()?.kind == .finished && bench.sockets.armed[socket] == nil)
        }
    }

    @Test func theClientsEndIsTheConnectionsEnd() throws {
        let bench = IntakeBench()
        let connection = try #require(bench.open(socket))
        bench.sockets.finish(socket, result: 0)
        bench.step()
        #expect(bench.event()?.kind == .finished && bench.sockets.shut.isEmpty, "it may wait for answers")
        bench.respondIsDone(connection)
        #expect(bench.sockets.closed == [socket])

        let next = try #require(bench.open(socket + 1))
        #expect(next.slot == connection.slot && next.generation != connection.generation)
        bench.respondIsDone(connection)
        #expect(bench.sockets.armed[socket + 1] != nil, "what is said of the former tenant is not the next one's")
        bench.sockets.finish(socket + 1, result: -ECONNRESET)
        bench.step()
        #expect(bench.event()?.kind == .aborted && bench.sockets.shut == [socket + 1])
    }

    @Test func soManyConnectionsAndNoMore() throws {
        let bench = IntakeBench(connections: 2)
        let first = try #require(bench.open(1_000_001))
        try #require(bench.open(1_000_002) != nil)
        #expect(bench.open(1_000_003) == nil && bench.sockets.closed == [1_000_003])
        bench.sockets.finish(1_000_001, result: 0)
        bench.step()
        #expect(bench.event()?.kind == .finished)
        #expect(bench.open(1_000_004) == nil, "it isn't gone yet")
        bench.respondIsDone(first)
        #expect(bench.open(1_000_005) != nil)
        #expect(bench.sockets.closed == [1_000_003, 1_000_004, 1_000_001])
    }

    @Test func goingDownEndsAllConnections() throws {
        let bench = IntakeBench()
        let connection = try #require(bench.open(socket))
        bench.draining.turnOn()
        bench.step()
        #expect(bench.event()?.kind == .finished && !bench.sockets.isAccepting && !bench.isDrained)
        bench.respondIsDone(connection)
        #expect(bench.isDrained && bench.sockets.closed == [socket])
    }
}
