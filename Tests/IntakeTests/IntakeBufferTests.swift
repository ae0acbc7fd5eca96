import TestSupport
import Testing

@testable import Intake

/// The receive buffer grows for a request that it is too small for, and comes back to its usual size.
@Suite struct IntakeBufferTests {
    private let socket: Int32 = 1_000_000

    /// A large request is read and given back.
    private func passLarge(_ bench: IntakeBench, _ socket: Int32, bytes: Int = 50_000) throws {
        let frame = try produceFrame(9, bytes: bytes)
        #expect(bench.deliver(frame, to: socket) == frame.count)
        let request = try #require(bench.request())
        #expect(request.copy == Array(frame[4...]))
        bench.give(back: request)
    }

    @Test func aLargeRequestIsReadWhole() throws {
        let bench = IntakeBench()
        try #require(bench.open(socket) != nil)
        #expect(bench.sockets.armed[socket]?.capacity == 4096)
        try passLarge(bench, socket)
    }

    @Test func aLargeRequestWaitsForTheSmallOnesBeforeIt() throws {
        let bench = IntakeBench()
        try #require(bench.open(socket) != nil)
        let small = try produceFrame(1), large = try produceFrame(2, bytes: 50_000)
        let stream = small + large
        let done = bench.deliver(stream, to: socket)
        #expect(done == 4096 && bench.sockets.armed[socket] == nil, "the small one's bytes must stay where they are")
        let first = try #require(bench.request())
        #expect(first.copy == Array(small[4...]))
        bench.give(back: first)
        #expect(bench.deliver(Array(stream[done...]), to: socket) == stream.count - done)
        #expect(bench.request()?.copy == Array(large[4...]))
    }

    @Test func theNextSmallRequestBringsTheUsualBufferBack() throws {
        let bench = IntakeBench()
        try #require(bench.open(socket) != nil)
        try passLarge(bench, socket)
        for number in Int32(0)..<3 {
            let frame = try produceFrame(number)
            #expect(bench.deliver(frame, to: socket) == frame.count)
            let request = try #require(bench.request())
            #expect(request.copy == Array(frame[4...]))
            bench.give(back: request)
        }
        let armed = try #require(bench.sockets.armed[socket])
        #expect(armed.capacity <= 4096)
    }

    /// What idle connections have grown to must not keep others from being read.
    @Test func idleConnectionsGiveLargeBuffersUpToThoseInNeed() throws {
        let bench = IntakeBench(largeBufferBytes: 64 << 10)
        for number in Int32(0)..<4 { try #require(bench.open(socket + number) != nil) }
        for round in 0..<3 {
            for number in Int32(0)..<4 { try passLarge(bench, socket + number, bytes: 50_000 + round) }
        }
        for number in Int32(0)..<4 { #expect(bench.sockets.armed[socket + number] != nil && bench.event() == nil) }
    }

    /// An announcement alone takes no memory: the buffer grows with what comes.
    @Test func announcementsTakeNoMemory() throws {
        let bench = IntakeBench(connections: 64, largeBufferBytes: 128 << 10)
        let frame = try produceFrame(1, bytes: 60_000)
        for number in Int32(1)..<50 {
            try #require(bench.open(socket + number) != nil)
            #expect(bench.deliver(Array(frame[..<100]), to: socket + number) == 100)
            #expect(bench.sockets.armed[socket + number]?.capacity == 4096 - 100)
        }
        try #require(bench.open(socket) != nil)
        try passLarge(bench, socket)
        // Half of it is there: no more than as much again is taken.
        #expect(bench.deliver(Array(frame[100..<30_000]), to: socket + 1) == 29_900)
        #expect(try #require(bench.sockets.armed[socket + 1]).capacity == 32_768 - 30_000)
    }

    /// Half a large request keeps others from theirs for a moment only.
    @Test func whoHoldsMemoryThatOthersWantMustHurry() throws {
        let bench = IntakeBench(largeBufferBytes: 64 << 10)
        let slow = try #require(bench.open(socket))
        let other = try #require(bench.open(socket + 1))
        let frame = try produceFrame(1, bytes: 60_000)
        #expect(bench.deliver(Array(frame[..<40_000]), to: socket) == 40_000)
        bench.advance(5_000)
        #expect(bench.event() == nil, "nobody else wants it")
        #expect(bench.deliver(Array(frame[..<5_000]), to: socket + 1) == 4096)
        bench.advance(2_100)
        let event = try #require(bench.event())
        #expect(event.kind == .finished && event.connection == slow)
        bench.respondIsDone(slow)
        #expect(bench.deliver(Array(frame[4096...]), to: socket + 1) == frame.count - 4096)
        #expect(bench.request()?.connection == other)
    }

    @Test func whoNeedsALargeBufferWaitsForTheMemory() throws {
        let bench = IntakeBench(largeBufferBytes: 64 << 10)
        let other = socket + 1
        try #require(bench.open(socket) != nil)
        try #require(bench.open(other) != nil)
        let one = try produceFrame(1, bytes: 50_000), two = try produceFrame(2, bytes: 50_001)
        #expect(bench.deliver(one, to: socket) == one.count)
        #expect(bench.deliver(two, to: other) == 4096 && bench.sockets.armed[other] == nil)
        let first = try #require(bench.request())
        #expect(bench.request() == nil && first.copy == Array(one[4...]))
        bench.give(back: first)
        #expect(bench.deliver(Array(two[4096...]), to: other) == two.count - 4096)
        #expect(bench.request()?.copy == Array(two[4...]))
    }

    /// Each holds what the other waits for: one must go beyond the limit.
    @Test func thoseThatOutgrowLargeBuffersDoNotWaitForEachOther() throws {
        let bench = IntakeBench(largeBufferBytes: 64 << 10)
        let sockets = [socket, socket + 1]
        let medium = try produceFrame(1, bytes: 10_000), large = try produceFrame(2, bytes: 50_000)
        for socket in sockets {
            try #require(bench.open(socket) != nil)
            // The beginning of the next frame comes while the first is still out.
            #expect(bench.deliver(medium + large[..<10], to: socket) == medium.count + 10)
        }
        let out = [try #require(bench.request()), try #require(bench.request())]
        for request in out { bench.give(back: request) }
        var done = sockets.map { _ in 10 }
        var taken = 0
        for _ in 0..<4 {
            for (number, socket) in sockets.enumerated() { done[number] += bench.deliver(Array(large[done[number]...]), to: socket) }
            while let request = bench.request() {
                #expect(request.copy == Array(large[4...]))
                bench.give(back: request)
                taken += 1
            }
        }
        #expect(taken == 2)
    }

    /// The usual size need not be whole pages; the buffers always are.
    @Test func anOddSizeIsNotTakenForALargeBuffer() throws {
        let bench = IntakeBench(receiveBytes: 5000, largeBufferBytes: 64 << 10)
        // Connections that come and go must not make room for large buffers.
        for number in Int32(10)..<30 {
            let connection = try #require(bench.open(socket + number))
            let frame = try produceFrame(1)
            #expect(bench.deliver(frame, to: socket + number) == frame.count)
            bench.give(back: try #require(bench.request()))
            bench.sockets.finish(socket + number, result: 0)
            bench.step()
            #expect(bench.event()?.kind == .finished)
            bench.respondIsDone(connection)
        }
        let other = socket + 1
        try #require(bench.open(socket) != nil)
        try #require(bench.open(other) != nil)
        let frame = try produceFrame(1, bytes: 50_000)
        #expect(bench.deliver(frame, to: socket) == frame.count)
        #expect(bench.deliver(frame, to: other) < frame.count, "the memory is all out")
        bench.give(back: try #require(bench.request()))
        #expect(bench.sockets.armed[other] != nil, "and comes back")
    }

    /// Frames of all sizes in pieces of all sizes, given back in any order: each arrives once, whole and in order.
    @Test(arguments: 1...6) func followsAModel(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let bench = IntakeBench(
            receiveBytes: [4096, 5000][seed % 2], inFlight: [3, 1000][seed / 2 % 2], largeBufferBytes: 100 << 10, queue: 8)
        let clients = Int32(3)
        var streams: [[UInt8]] = []
        var frames: [[[UInt8]]] = []
        for client in 0..<clients {
            try #require(bench.open(socket + client) != nil)
            let mine = try (0..<300).map { number in
                let bytes = [20, 300, 1200, 4000, 9000, 60_000][[0, 1, 1, 1, 2, 2, 2, 3, 4, 5][random.below(10)]]
                return try produceFrame(Int32(number), bytes: random.below(bytes), acks: 1)
            }
            frames.append(mine)
            streams.append(mine.flatMap { $0 })
        }
        var sent = [Int](repeating: 0, count: 3)
        var taken = [Int](repeating: 0, count: 3)
        var out: [ClientRequest] = []
        var steps = 0
        while taken != [300, 300, 300] || !out.isEmpty {
            steps += 1
            try #require(steps < 200_000, "it stands still at \(taken), \(out.count) out")
            let client = random.below(3)
            if sent[client] < streams[client].count {
                let piece = streams[client][sent[client]...].prefix(1 + random.below([10, 500, 5000, 70_000][random.below(4)]))
                sent[client] += bench.sockets.deliver(piece, to: socket + Int32(client))
            }
            if random.below(2) == 0 { bench.step() }
            while random.below(3) > 0, let request = bench.request() {
                let from = Int(request.connection.slot)
                #expect(request.correlation == Int32(taken[from]) && request.answer == UInt32(taken[from]))
                try #require(request.copy == Array(frames[from][taken[from]][4...]))
                taken[from] += 1
                out.append(request)
            }
            while !out.isEmpty, random.below(3) > 0 {
                let request = out.remove(at: random.below(out.count))
                try #require(request.copy.prefix(100) == frames[Int(request.connection.slot)][Int(request.correlation)][4...].prefix(100))
                bench.give(back: request)
            }
            if steps % 8 == 0 { bench.step() }
        }
        #expect(sent == streams.map(\.count))
    }
}
