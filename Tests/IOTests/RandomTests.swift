import Foundation
import TestSupport
import Testing

@testable import IO

/// Pairs of sockets that talk to each other through one ring, with pieces, pauses, cancels and closes at random: every
/// operation completes once, and what arrives is what was sent, in order.
@Suite struct RandomTests {
    @Test(arguments: backends, [1, 2, 3, 4]) func nothingIsLostOrDoubled(_ backend: RingBackend, seed: UInt64) throws {
        let test = try TestRing(backend, entries: 16)
        var random = SeededRandom(seed: seed)
        var ends: [End] = []
        for _ in 0..<24 { ends += End.pair() }
        var cancels = 0
        for _ in 0..<3000 {
            let index = Int.random(in: ends.indices, using: &random)
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<7: ends[index].receive(test.port, tag: UInt64(index), Int.random(in: 1...5000, using: &random))
            case 7..<14: ends[index].send(test.port, tag: 1000 + UInt64(index), Int.random(in: 1...70_000, using: &random))
            case 14:
                test.port.cancel(UInt64(index) + (Bool.random(using: &random) ? 1000 : 0), tag: 5000)
                cancels += 1
            case 15 where Int.random(in: 0..<10, using: &random) == 0: test.port.shutdown(ends[index].socket)
            default: _ = test.ring.poll()
            }
            while let completion = test.port.next() { take(completion, &ends, &cancels) }
        }
        for end in ends { test.port.shutdown(end.socket) }
        let due = ends.reduce(cancels) { $0 + ($1.isReceiving ? 1 : 0) + ($1.isSending ? 1 : 0) }
        let last = test.completions(due)
        #expect(last.count == due)
        for completion in last { take(completion, &ends, &cancels) }
        #expect(cancels == 0 && ends.allSatisfy { !$0.isReceiving && !$0.isSending })
        #expect(test.isQuiet())
        #expect(ends.reduce(0) { $0 + $1.received } > 1 << 20, "hardly anything was moved")
        for end in ends { close(end.socket) }
    }

    private func take(_ completion: Completion, _ ends: inout [End], _ cancels: inout Int) {
        let index = Int(completion.tag % 1000)
        switch completion.tag / 1000 {
        case 0: ends[index].received(completion.result)
        case 1: ends[index].sent(completion.result)
        default:
            #expect([0, -ENOENT, -EALREADY].contains(completion.result))
            cancels -= 1
        }
    }
}

/// One end of a pair. Byte number `n` of a direction is `n % 251` there.
private struct End {
    let socket: Int32
    private let out = Memory(251 + 70_000) { UInt8($0 % 251) }
    private let into = Memory(5000)
    var sent = 0
    var received = 0
    private(set) var isSending = false
    private(set) var isReceiving = false

    static func pair() -> [End] {
        let (ours, theirs) = socketPair()
        return [End(socket: ours), End(socket: theirs)]
    }

    private init(socket: Int32) { self.socket = socket }

    mutating func receive(_ port: RingPort, tag: UInt64, _ capacity: Int) {
        guard !isReceiving else { return }
        isReceiving = true
        port.receive(socket, into: into.base, capacity: capacity, tag: tag)
    }

    mutating func send(_ port: RingPort, tag: UInt64, _ count: Int) {
        guard !isSending else { return }
        isSending = true
        port.send(socket, from: out.base + sent % 251, count: count, tag: tag)
    }

    mutating func received(_ result: Int32) {
        #expect(isReceiving, "a receive completed that was not there")
        isReceiving = false
        guard result > 0 else { return #expect([0, -ECANCELED, -ECONNRESET].contains(result), "\(result)") }
        let count = Int(result)
        let isRight = (0..<count).allSatisfy { into.bytes[$0] == UInt8((received + $0) % 251) }
        #expect(isRight, "other bytes than were sent")
        received += count
    }

    mutating func sent(_ result: Int32) {
        #expect(isSending, "a send completed that was not there")
        isSending = false
        if result > 0 { sent += Int(result) } else { #expect([-ECANCELED, -EPIPE, -ECONNRESET].contains(result), "\(result)") }
    }
}
