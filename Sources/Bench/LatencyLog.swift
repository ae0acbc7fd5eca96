import Histogram

/// Latencies in nanoseconds, to three digits, up to a minute (HdrHistogram).
public struct LatencyLog: Sendable {
    private static let longest: UInt64 = 60_000_000_000
    private var histogram = Histogram<UInt64>(highestTrackableValue: LatencyLog.longest, numberOfSignificantValueDigits: .three)

    public init() {}

    public mutating func record(_ nanoseconds: UInt64, count: UInt64 = 1) {
        histogram.record(min(nanoseconds, LatencyLog.longest), count: count)
    }

    public mutating func add(_ other: LatencyLog) { histogram.add(other.histogram) }

    public var count: UInt64 { histogram.totalCount }
    public var mean: Double { count == 0 ? 0 : histogram.mean }
    public var greatest: UInt64 { count == 0 ? 0 : histogram.max }

    /// The value that so many per cent do not exceed, in nanoseconds.
    public func percentile(_ percent: Double) -> UInt64 { count == 0 ? 0 : histogram.valueAtPercentile(percent) }
}
