import CHost
import Foundation
import Glibc
import Host
import IO

/// How the two old men talk: the ladder from the naive form to ours, each a change from the one before.
public enum MeetingForm: String, CaseIterable, Sendable {
    /// A write for each part of a sentence, reads of just what is expected.
    case parts
    /// One write a sentence.
    case sentences
    /// Reads into a buffer.
    case reads
    /// What there is to say goes in one write.
    case batched
    /// io_uring, one thread a side: the broker's own transport.
    case ring

    var writesParts: Bool { self == .parts }
    var buffersReads: Bool { self == .reads || self == .batched }
    var batchesWrites: Bool { self == .batched }
}

/// Lets the two old men meet over one TCP connection, and checks every sentence.
public struct MeetingLoad {
    public enum Side: Sendable { case zhang, li }

    private let form: MeetingForm
    private let meetings: Int
    private static let patience: UInt64 = 600_000_000_000

    public init(form: MeetingForm, meetings: Int) {
        self.form = form
        self.meetings = meetings
    }

    /// Both sides, over a connection of this host's. Returns the seconds from the first sentence to the last.
    public func both() throws -> Double {
        let listener = try Listener(host: "127.0.0.1", port: 0, backlog: 1)
        defer { Glibc.close(listener.socket) }
        let li = try connect(host: "127.0.0.1", port: listener.port)
        let zhang = Glibc.accept(listener.socket, nil, nil)
        guard zhang >= 0 else { throw LoadError("accepting: \(describe(errno: errno))") }
        return try run([(.zhang, zhang), (.li, li)])
    }

    /// One side only, over a connected socket.
    public func one(_ side: Side, socket: Int32) throws -> Double { try run([(side, socket)]) }

    private func run(_ sides: [(side: Side, socket: Int32)]) throws -> Double {
        defer { for each in sides { Glibc.close(each.socket) } }
        for each in sides { try setBlocking(each.socket, form != .ring) }
        let progresses = sides.map { _ in LoadProgress() }
        let men = sides.map { OldMan(isZhang: $0.side == .zhang, meetings: meetings) }
        let begin = hutong_monotonic_ns()
        var threads: LoadThreads?
        if form == .ring {
            let rings = try RingSet(.auto, count: sides.count).rings
            let stages = try sides.indices.map { number in
                StageBox(
                    "meet", try RingMeeting(men[number], socket: sides[number].socket, sockets: rings[number].makePort(), progress: progresses[number]))
                    as AnyStage
            }
            threads = try LoadThreads("meet", stages, rings)
        } else {
            for number in sides.indices {
                let side = BlockingMeeting(men[number], form: form, socket: sides[number].socket, progress: progresses[number])
                Thread.detachNewThread { side.speak() }
                Thread.detachNewThread { side.listen() }
            }
        }
        defer { threads?.stop() }
        while !progresses.allSatisfy(\.isOver) {
            if let error = progresses.lazy.compactMap(\.error).first { throw error }
            guard hutong_monotonic_ns() - begin < MeetingLoad.patience else { throw LoadError("they never come to an end") }
            usleep(200)
        }
        let end = hutong_monotonic_ns()
        if let error = progresses.lazy.compactMap(\.error).first { throw error }
        return Double(end - begin) / 1e9
    }

    private func setBlocking(_ socket: Int32, _ blocks: Bool) throws {
        let flags = fcntl(socket, F_GETFL)
        guard flags >= 0, fcntl(socket, F_SETFL, blocks ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0 else {
            throw LoadError("a socket: \(describe(errno: errno))")
        }
    }
}
