// Unsafe on purpose: as in StageMeter.swift.

import CHost

/// What waits for a stage, as its thread finds it: how much has come and how much has been taken since the beginning.
public struct StageQueue {
    public var entered: () -> UInt64
    public var left: () -> UInt64
    /// How much may wait; 0: there is no limit.
    public var capacity: UInt64

    public init(entered: @escaping () -> UInt64, left: @escaping () -> UInt64, capacity: Int) {
        self.entered = entered
        self.left = left
        self.capacity = UInt64(capacity)
    }
}

/// What an executor tells of its thread and of its stages. Looked at by that thread alone, and cheap: a store a step, and every
/// 10 ms a look at the queues.
public final class ThreadMeter {
    /// Words of 64 bits of a thread.
    public static let words = 16

    public enum Word: Int, Sendable {
        /// When the thread began its last round, by the monotonic clock.
        case turnedAt = 0
        /// Which of its stages it is stepping, from 1 on; 0: none.
        case stage
        /// 1 while it sleeps because there is nothing to do.
        case sleeps
        case turns
    }

    /// A stage of the thread's.
    public struct Watched {
        var meter: StageMeter
        var queue: StageQueue?
        /// Everything that had come at that time: what is older has been taken since.
        fileprivate var mark: UInt64 = 0
        fileprivate var markedAt: UInt64 = 0

        /// - Parameter queue: nil: nothing waits for it that could be counted.
        public init(_ meter: StageMeter, _ queue: StageQueue?) {
            self.meter = meter
            self.queue = queue
        }
    }

    /// How often queues are looked at, in nanoseconds.
    private static let interval: UInt64 = 10_000_000

    private let base: UnsafeMutablePointer<UInt64>
    private var stages: [Watched]
    /// Whatever else is to be copied when queues are looked at.
    private let copies: [() -> Void]
    private var sampledAt: UInt64 = 0
    /// Something was done, or has woken it, since the last look.
    private var isStale = true

    /// - Parameters:
    ///   - base: of `words` words, zeroed, which stay as long as the meter is used.
    ///   - stages: in the thread's order.
    public init(_ base: UnsafeMutablePointer<UInt64>, stages: [Watched], copies: [() -> Void]) {
        self.base = base
        self.stages = stages
        self.copies = copies
    }

    func turns(_ now: UInt64) {
        hutong_store(base + Word.turnedAt.rawValue, now)
        hutong_store(base + Word.turns.rawValue, hutong_load(base + Word.turns.rawValue) &+ 1)
        if now &- sampledAt >= ThreadMeter.interval { sample(now) }
    }

    func steps(_ stage: Int) { hutong_store(base + Word.stage.rawValue, UInt64(stage + 1)) }

    func worked(_ stage: Int, _ count: Int, _ now: UInt64) {
        isStale = true
        stages[stage].meter.worked(count, now)
    }

    /// The round is over.
    func turned() { hutong_store(base + Word.stage.rawValue, 0) }

    /// What wakes it may be for a stage that does nothing with it: so it looks once more before it sleeps for long.
    func sleeps(_ does: Bool) {
        if !does { isStale = true }
        hutong_store(base + Word.sleeps.rawValue, does ? 1 : 0)
    }

    /// When the thread wants to look once more before it sleeps for long; nil: all that there was has been seen.
    var deadline: UInt64? { isStale ? sampledAt &+ ThreadMeter.interval : nil }

    private func sample(_ now: UInt64) {
        sampledAt = now
        isStale = false
        for index in stages.indices {
            guard let queue = stages[index].queue else { continue }
            let left = queue.left()
            let entered = max(queue.entered(), left)
            // Of a journal that was cut less has come than had come before.
            if left >= stages[index].mark || entered < stages[index].mark {
                stages[index].mark = entered
                stages[index].markedAt = now
            }
            let meter = stages[index].meter
            meter.set(.depth, entered - left)
            meter.set(.capacity, queue.capacity)
            meter.set(.oldest, entered == left ? 0 : now &- stages[index].markedAt)
            meter.set(.sampledAt, now)
        }
        for copy in copies { copy() }
    }
}
