import Host
import TestSupport
import Testing

@testable import Intake

/// Connections that keep the broker waiting are closed, each in its time and none before.
@Suite struct DeadlineTests {
    private let socket: Int32 = 1_000_000
    /// In seconds 10 to the first byte, 20 for a request (or 100 bytes a second), 300 idle.
    private static let timeouts = ConnectionTimeouts(
        firstByte: 10_000_000_000, request: 20_000_000_000, requestRate: 100, idle: 300_000_000_000)

    private func make() throws -> (IntakeBench, ConnectionID) {
        let bench = IntakeBench(timeouts: Self.timeouts)
        return (bench, try #require(bench.open(socket)))
    }

    /// Whether the stage has ended the connection.
    private func isEnded(_ bench: IntakeBench) -> Bool { bench.event()?.kind == .finished }

    /// A whole request comes and is done and answered.
    private func pass(_ bench: IntakeBench, _ connection: ConnectionID, _ number: Int32) throws {
        let frame = try produceFrame(number)
        #expect(bench.deliver(frame, to: socket) == frame.count)
        bench.give(back: try #require(bench.request()))
        bench.answered(connection, UInt32(number + 1))
    }

    @Test func whoSaysNothingIsClosed() throws {
        let (bench, connection) = try make()
        bench.advance(9_900)
        #expect(!isEnded(bench))
        bench.advance(200)
        #expect(isEnded(bench))
        bench.respondIsDone(connection)
        #expect(bench.sockets.closed == [socket])
    }

    @Test(arguments: [1, 3, 4, 5, 30]) func halfARequestIsClosed(bytes: Int) throws {
        let (bench, connection) = try make()
        try pass(bench, connection, 0)
        bench.advance(60_000)
        #expect(bench.deliver(Array(try produceFrame(1)[..<bytes]), to: socket) == bytes)
        bench.advance(19_900)
        #expect(!isEnded(bench), "the time runs from the request's first byte")
        bench.advance(200)
        #expect(isEnded(bench))
    }

    /// A byte now and then does not help.
    @Test func whoBringsARequestByteByByteIsClosed() throws {
        let (bench, _) = try make()
        let frame = try produceFrame(1, bytes: 1000)
        for byte in frame[..<9] {
            #expect(bench.deliver([byte], to: socket) == 1)
            #expect(!isEnded(bench))
            bench.advance(2_000)
        }
        bench.advance(2_200)
        #expect(isEnded(bench))
    }

    /// A slow client that goes on gets more time, but not for ever.
    @Test func aLargeRequestMayTakeLonger() throws {
        let (bench, _) = try make()
        let frame = try produceFrame(1, bytes: 90_000)
        var seconds = 0
        var isClosed = false
        for at in stride(from: 0, to: 89_000, by: 110) where !isClosed {
            #expect(bench.deliver(Array(frame[at..<at + 110]), to: socket) == 110)
            bench.advance(1_000)
            seconds += 1
            isClosed = isEnded(bench)
        }
        #expect(seconds >= 20 * 20 && seconds <= 20 * 20 + 1)
    }

    @Test func aRequestThatComesAtThePaceIsTaken() throws {
        let (bench, _) = try make()
        let frame = try produceFrame(1, bytes: 20_000)
        for at in stride(from: 0, to: frame.count, by: 130) {
            let piece = frame[at...].prefix(130)
            #expect(bench.deliver(Array(piece), to: socket) == piece.count)
            bench.advance(1_000)
        }
        #expect(bench.request()?.copy == Array(frame[4...]))
    }

    /// Requests that overlap: there is always half of one, and never the same.
    @Test func whoNeverStopsSendingIsNotLate() throws {
        let (bench, _) = try make()
        let frame = try produceFrame(1)
        #expect(bench.deliver(Array(frame[..<20]), to: socket) == 20)
        for _ in 0..<100 {
            bench.advance(5_000)
            let piece = Array(frame[20...] + frame[..<20])
            #expect(bench.deliver(piece, to: socket) == piece.count)
            bench.give(back: try #require(bench.request()))
        }
        #expect(!isEnded(bench))
    }

    /// What the stage does not read for want of room is not the client's delay.
    @Test func whoIsNotReadFromIsNotLate() throws {
        let bench = IntakeBench(queue: 1, timeouts: Self.timeouts)
        try #require(bench.open(socket) != nil)
        let frame = try produceFrame(1, bytes: 1000)
        let stream = frame + frame + frame[..<500]
        #expect(bench.deliver(stream, to: socket) == stream.count)
        bench.advance(1_000_000)
        #expect(!isEnded(bench) && bench.sockets.armed[socket] == nil)
        bench.give(back: try #require(bench.request()))
        bench.give(back: try #require(bench.request()))
        #expect(bench.sockets.armed[socket] != nil)
        bench.advance(19_900)
        #expect(!isEnded(bench), "its time begins again")
        bench.advance(200)
        #expect(isEnded(bench))
    }

    /// Half a request that waits for memory that another's request takes.
    @Test func whoWaitsForMemoryIsNotLate() throws {
        let bench = IntakeBench(largeBufferBytes: 64 << 10, timeouts: Self.timeouts)
        try #require(bench.open(socket) != nil)
        try #require(bench.open(socket + 1) != nil)
        let frame = try produceFrame(1, bytes: 60_000)
        #expect(bench.deliver(frame, to: socket + 1) == frame.count)
        let other = try #require(bench.request())
        #expect(bench.deliver(Array(frame[..<4000]), to: socket) == 4000)
        bench.advance(1_000)
        #expect(bench.deliver(Array(frame[4000..<4096]), to: socket) == 96)
        bench.advance(1_000_000)
        bench.give(back: other)
        bench.advance(19_900)
        #expect(!isEnded(bench) && bench.sockets.armed[socket] != nil)
        bench.advance(200)
        #expect(isEnded(bench))
    }

    @Test func whoIsIdleIsClosed() throws {
        let (bench, connection) = try make()
        try pass(bench, connection, 0)
        bench.advance(299_000)
        try pass(bench, connection, 1)
        bench.advance(299_900)
        #expect(!isEnded(bench))
        bench.advance(200)
        #expect(isEnded(bench))
    }

    /// A long fetch, or a produce on a slow disk: the client waits for us.
    @Test func whoWaitsForAnAnswerIsNotIdle() throws {
        let (bench, connection) = try make()
        let frame = try produceFrame(0)
        #expect(bench.deliver(frame, to: socket) == frame.count)
        bench.give(back: try #require(bench.request()))
        bench.advance(1_000_000)
        #expect(!isEnded(bench))
        bench.answered(connection, 1)
        bench.advance(299_000)
        #expect(!isEnded(bench), "the answer was the last that happened")
        bench.advance(302_000)
        #expect(isEnded(bench))
    }

    /// Deadlines cost nothing while nothing happens.
    @Test func aQuietConnectionSeldomWakesTheStage() throws {
        let (bench, connection) = try make()
        try pass(bench, connection, 0)
        var wakes = 0
        let end = bench.now + 290_000_000_000
        while bench.deadline < end {
            bench.now = max(bench.now + 1_000_000, bench.deadline)
            bench.step()
            wakes += 1
        }
        #expect(wakes < 30)
    }

    @Test func aSlotsNextTenantHasItsOwnTime() throws {
        let (bench, connection) = try make()
        bench.advance(9_000)
        bench.sockets.finish(socket, result: 0)
        bench.step()
        #expect(isEnded(bench))
        bench.respondIsDone(connection)
        let next = try #require(bench.open(socket + 1))
        #expect(next.slot == connection.slot)
        bench.advance(9_900)
        #expect(!isEnded(bench))
        bench.advance(200)
        #expect(isEnded(bench))
    }
}

/// Who may connect.
@Suite struct ConnectionCountTests {
    @Test func soManyFromOneAddress() throws {
        let bench = IntakeBench(connections: 10, perAddress: 2)
        let first = try #require(bench.open(1_000_001))
        try #require(bench.open(1_000_002) != nil)
        #expect(bench.open(1_000_003) == nil && bench.sockets.closed == [1_000_003])
        try #require(bench.open(2_000_001) != nil, "another address")
        bench.sockets.finish(1_000_001, result: 0)
        bench.step()
        #expect(bench.event()?.kind == .finished)
        #expect(bench.open(1_000_004) == nil, "it isn't gone yet")
        bench.respondIsDone(first)
        #expect(bench.open(1_000_005) != nil)
    }

    @Test func countsAreSharedAndComeBack() {
        let counts = ConnectionCounts(limit: 5, perAddress: 3)
        for _ in 0..<3 { #expect(counts.enter(7) == nil) }
        #expect(counts.enter(7) != nil)
        for _ in 0..<2 { #expect(counts.enter(8) == nil) }
        #expect(counts.enter(9) != nil, "there are five")
        counts.leave(7)
        #expect(counts.enter(9) == nil && counts.enter(7) != nil)
        for _ in 0..<2 { counts.leave(7) }
        for _ in 0..<2 { #expect(counts.enter(7) == nil) }
    }

    /// The limit on open files was hit: the stage waits a little, and accepts again.
    @Test(arguments: [23, 24] as [Int32]) func acceptingGoesOnAfterAFailure(code: Int32) throws {
        let bench = IntakeBench()
        try #require(bench.open(1_000_000) != nil)
        for _ in 0..<3 {
            bench.sockets.failAccept(code)
            bench.step()
            #expect(!bench.sockets.isAccepting && bench.deadline < bench.now + 200_000_000)
            bench.advance(101)
            #expect(bench.sockets.isAccepting)
        }
        #expect(bench.open(1_000_001) != nil)
    }

    @Test func connectionsLeaveDescriptorsForTheJournal() {
        var limits = IntakeLimits(
            connections: 10_000, receiveBytes: 4096, requestBytes: 4096, inFlight: 1, largeBufferBytes: 4096)
        #expect(limits.connections(descriptors: 1_048_576) == 10_000)
        #expect(limits.connections(descriptors: 10_512) == 10_000)
        #expect(limits.connections(descriptors: 10_511) == 9_999)
        #expect(limits.connections(descriptors: 1024) == 512)
        #expect(limits.connections(descriptors: 400) == 200)
        #expect(limits.connections(descriptors: 128) == 64)
        #expect(limits.connections(descriptors: 127) == nil)
        limits.reservedDescriptors = 64
        #expect(limits.connections(descriptors: 1024) == 960)
    }
}
