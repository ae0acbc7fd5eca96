// Unsafe on purpose: counters lie in memory that other processes can map, so that a broker that hangs can still be looked
// into. Each counter is read and written as one word, in no order with other memory; most have one writer.

import CHost

/// The counters of one stage: a fixed number of words, of which the stage's own thread writes each.
public struct StageMeter: @unchecked Sendable {
    /// Words of 64 bits that a meter takes.
    public static let words = 256

    /// What a word means, for every stage. The counters behind them (`Counter`) mean something else for each kind of stage.
    public enum Word: Int, Sendable {
        /// Steps in which something was done.
        case rounds = 0
        /// How much was done, as `Stage.step` counts it.
        case work
        /// When something was done last, by the monotonic clock; 0: never.
        case workedAt
        /// What waits for the stage, and how much may.
        case depth, capacity
        /// For how many nanoseconds the oldest of it has waited, at most.
        case oldest
        /// When that was looked at, by the monotonic clock.
        case sampledAt
    }

    /// What the stage counts for itself.
    public enum Counter: Int, Sendable, CaseIterable {
        case first = 8, second, third, fourth, fifth, sixth, seventh, eighth
    }

    /// How much is done at once: buckets by powers of two.
    static let batches = 16
    public static let batchBuckets = 32
    /// How long things took: the sum in nanoseconds, and buckets as `LatencyBuckets` divides time.
    static let latencySum = 48
    static let latencies = 64

    /// Where these lie, for whoever reads all words at once.
    public static let batchRange = batches..<batches + batchBuckets
    public static let latencyRange = latencies..<latencies + LatencyBuckets.count
    public static let latencySumWord = latencySum

    @usableFromInline let base: UnsafeMutablePointer<UInt64>

    /// - Parameter base: of `words` words, zeroed, which stay as long as the meter is used.
    public init(_ base: UnsafeMutablePointer<UInt64>) { self.base = base }

    /// Of stages that nobody looks at, as in simulations: one for all of them, which means nothing.
    public static let unwatched = StageMeter({
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: StageMeter.words)
        words.initialize(repeating: 0, count: StageMeter.words)
        return words
    }())

    @inlinable
    public func value(_ word: Word) -> UInt64 { hutong_load(base + word.rawValue) }

    @inlinable
    public func set(_ word: Word, _ value: UInt64) { hutong_store(base + word.rawValue, value) }

    @inlinable
    public func add(_ counter: Counter, _ count: UInt64) {
        hutong_store(base + counter.rawValue, hutong_load(base + counter.rawValue) &+ count)
    }

    @inlinable
    public func set(_ counter: Counter, _ value: UInt64) { hutong_store(base + counter.rawValue, value) }

    /// Something was done.
    func worked(_ count: Int, _ now: UInt64) {
        bump(Word.rounds.rawValue, 1)
        bump(Word.work.rawValue, UInt64(count))
        set(.workedAt, now)
        bump(StageMeter.batches + min(UInt64.bitWidth - UInt64(count).leadingZeroBitCount - 1, StageMeter.batchBuckets - 1), 1)
    }

    /// Something took so many nanoseconds.
    public func record(latency nanoseconds: UInt64) {
        bump(StageMeter.latencySum, nanoseconds)
        bump(StageMeter.latencies + LatencyBuckets.bucket(of: nanoseconds), 1)
    }

    private func bump(_ word: Int, _ count: UInt64) { hutong_store(base + word, hutong_load(base + word) &+ count) }
}

/// How time is divided into buckets: below 1,024 ns one, then four of equal width for each doubling, to half an hour.
public enum LatencyBuckets {
    public static let count = 1 + 4 * 31
    private static let shift = 10

    public static func bucket(of nanoseconds: UInt64) -> Int {
        guard nanoseconds >= 1 << shift else { return 0 }
        let exponent = 63 - nanoseconds.leadingZeroBitCount
        let quarter = Int(nanoseconds >> (UInt64(exponent) - 2)) & 3
        return min(1 + 4 * (exponent - shift) + quarter, count - 1)
    }

    /// The nanoseconds below which all in the bucket are.
    public static func limit(_ bucket: Int) -> UInt64 {
        guard bucket > 0 else { return 1 << shift }
        let (octave, quarter) = (bucket - 1).quotientAndRemainder(dividingBy: 4)
        return UInt64(5 + quarter) << UInt64(octave + shift - 2)
    }
}

/// Counters that several threads add to, each by its number.
public struct SharedCounters: @unchecked Sendable {
    private let base: UnsafeMutablePointer<UInt64>
    private let count: Int

    /// - Parameter base: of `count` words, zeroed, which stay as long as they are used.
    public init(_ base: UnsafeMutablePointer<UInt64>, count: Int) {
        self.base = base
        self.count = count
    }

    /// Of which nobody reads any.
    public static let unwatched = SharedCounters({
        let words = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
        words.initialize(to: 0)
        return words
    }(), count: 1)

    /// What has no counter of its own is counted by the last one.
    public func add(_ number: Int, _ count: UInt64 = 1) {
        hutong_add(base + (0..<self.count ~= number ? number : self.count - 1), count)
    }
}
