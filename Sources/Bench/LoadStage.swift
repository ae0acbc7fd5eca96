import CHost
import Host

/// When a load begins, counts and ends: nanoseconds of the monotonic clock.
struct LoadWindow: Sendable {
    let begin: UInt64
    let from: UInt64
    let end: UInt64

    static let never = LoadWindow(begin: .max / 2, from: .max / 2, end: .max / 2)

    private init(begin: UInt64, from: UInt64, end: UInt64) {
        self.begin = begin
        self.from = from
        self.end = end
    }

    /// From now on.
    /// - Parameters:
    ///   - warmup: seconds before counting begins.
    ///   - duration: seconds that are counted.
    init(warmup: Double, duration: Double) {
        let begin = hutong_monotonic_ns()
        let from = begin + UInt64(warmup * 1e9)
        self.init(begin: begin, from: from, end: from + UInt64(duration * 1e9))
    }

    /// By then the last answers must have come, though nothing more is sent after `end`.
    var deadline: UInt64 { end + 30_000_000_000 }

    func counts(_ now: UInt64) -> Bool { now >= from && now < end }
}

/// One connection of a load.
protocol LoadConnection: ~Copyable {
    /// Does what there is to do; returns how much.
    /// - Throws: a `LoadError`: an answer was wrong, or the load can't go on.
    mutating func step(_ now: UInt64) throws -> Int
    /// Nothing more will be asked, and all that was is answered.
    var isDone: Bool { get }
    /// When it has to be stepped though nothing came, by the monotonic clock.
    var deadline: UInt64 { get }
    /// How many answers have come.
    var answered: Int { get }
}

/// A thread's share of a load, as a stage.
struct LoadStage<Connection: LoadConnection & ~Copyable>: Stage, ~Copyable {
    var connections: OwnedArray<Connection>
    private let progress: LoadProgress

    init(_ connections: consuming OwnedArray<Connection>, progress: LoadProgress) {
        self.connections = connections
        self.progress = progress
    }

    mutating func step(_ now: Moment) -> Int {
        guard !progress.isOver else { return 0 }
        var done = 0
        var answered = 0
        var areDone = true
        do {
            for number in 0..<connections.count {
                done += try connections[number].step(now.monotonic)
                answered += connections[number].answered
                areDone = connections[number].isDone && areDone
            }
        } catch {
            progress.end(error)
            return 0
        }
        progress.answered.store(answered, ordering: .relaxed)
        if areDone { progress.end(nil) }
        return done
    }

    var deadline: UInt64 {
        var earliest = UInt64.max
        for number in 0..<connections.count { earliest = min(earliest, connections[number].deadline) }
        return earliest
    }
}
