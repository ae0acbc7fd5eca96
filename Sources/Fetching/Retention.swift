import Host
import Metadata

/// How much of a partition is kept.
struct RetentionRule: Equatable {
    /// Records whose timestamps are older are deleted, in milliseconds; -1: none are.
    var milliseconds: Int64
    /// What the log may take on disk, in bytes; -1: whatever it takes.
    var bytes: Int64

    /// The segment that is written to, one that stands ready, those that wait for their index, those that are being freed.
    private static let unitsAhead: UInt64 = 5

    init(milliseconds: Int64, bytes: Int64) {
        self.milliseconds = milliseconds
        self.bytes = bytes
    }

    init(_ settings: TopicSettings) {
        let deletes = settings.cleanup.contains(.delete)
        self.init(milliseconds: deletes ? settings.retentionMs : -1, bytes: deletes ? settings.retentionBytes : -1)
    }

    var isForEver: Bool { milliseconds < 0 && bytes < 0 }

    /// Where the log is to start by this rule: units are dropped whole, oldest first. By size, all but the newest may go, and
    /// what will be written before the oldest is gone is counted in, as `unitsAhead` of the newest full unit, but no more than a
    /// half of the limit; by age, all. What has no timestamp is never too old.
    /// - Parameter wall: milliseconds since 1970; nil: the clock can't be trusted now, and nothing is too old.
    func logStart(_ units: [LogUnit], now: Int64, wall: Int64?) -> Int64 {
        var start = now
        var total = units.reduce(UInt64(0)) { $0 + ($1.endOffset > start ? $1.bytes : 0) }
        let ahead = RetentionRule.unitsAhead * (units.last { $0.isFullSegment }?.bytes ?? 0)
        if bytes >= 0 { total += min(ahead, UInt64(bytes) / 2) }
        for (number, unit) in units.enumerated() where unit.endOffset > start {
            let isTooMuch = bytes >= 0 && total > UInt64(bytes) && number < units.count - 1
            let isTooOld = milliseconds >= 0 && unit.maxTimestamp >= 0 && wall.map { unit.maxTimestamp < $0 - milliseconds } ?? false
            guard isTooMuch || isTooOld else { break }
            start = unit.endOffset
            total -= unit.bytes
        }
        return start
    }
}

/// The wall clock as far as retention may believe it. A clock that jumps, forward or back, is not believed before it has run
/// steadily for an hour: else one wrong second could delete everything.
struct RetentionClock {
    /// The greatest jump that is taken for correction, in milliseconds.
    private static let tolerance: Int64 = 60_000
    /// How long a clock that has jumped must run steadily, in milliseconds.
    private static let probation: Int64 = 3_600_000

    /// Wall time less monotonic time, in milliseconds, as it was last.
    private var offset: Int64?
    /// Since when, by the monotonic clock, it has been so.
    private var steadySince: Int64?
    /// The wall time of the journals' newest frame, in milliseconds since 1970.
    private var newest: Int64
    /// By so much the clock may be later at the start; else the host was off for long, or its clock is wrong.
    private static let longestRest: Int64 = 86_400_000

    /// - Parameter newest: the wall time of the journals' newest frame, in milliseconds since 1970; 0: there is none.
    init(newest: Int64) { self.newest = newest }

    /// A journal was opened whose newest frame is of that time.
    mutating func saw(newest: Int64) { self.newest = max(self.newest, newest) }

    /// Milliseconds since 1970; nil: not to be believed now.
    mutating func wall(_ now: Moment) -> Int64? {
        let monotonic = Int64(now.monotonic / 1_000_000)
        let current = now.wall - monotonic
        guard let known = offset else {
            offset = current
            guard newest > 0, now.wall - newest > RetentionClock.longestRest else { return now.wall }
            steadySince = monotonic
            return nil
        }
        if abs(current - known) > RetentionClock.tolerance { steadySince = monotonic }
        // Slow drift is followed.
        offset = current
        guard let since = steadySince else { return now.wall }
        guard monotonic - since >= RetentionClock.probation else { return nil }
        steadySince = nil
        return now.wall
    }
}
