/// Measures how long a position takes to be passed: a sample at a time, not each of them.
public struct LatencyProbe: Sendable {
    private var target: UInt64 = 0
    private var since: UInt64 = 0
    private var isOut = false

    public init() {}

    /// That position is to be passed from now on (nanoseconds of the monotonic clock). A measurement under way goes on.
    public mutating func begin(_ position: UInt64, _ now: UInt64) {
        guard !isOut, position > target else { return }
        target = position
        since = now
        isOut = true
    }

    /// So far things have come. The nanoseconds since `begin`, where that position has been passed.
    public mutating func reached(_ position: UInt64, _ now: UInt64) -> UInt64? {
        guard isOut, position >= target else { return nil }
        isOut = false
        return now - since
    }

    /// What was being measured may never be passed.
    public mutating func forget() { isOut = false }
}
