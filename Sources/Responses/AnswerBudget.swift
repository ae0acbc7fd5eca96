import Host
import Synchronization

/// How much memory answers may have of their own, all together. What is taken comes back when an answer has been sent.
public final class AnswerBudget: Sendable {
    private let taken = Atomic<Int>(0)
    private let waits = Atomic<Bool>(false)
    private let returned = Atomic<Bool>(false)
    private let isPressed = Atomic<Bool>(false)
    public let limit: Int
    private let waker: Waker?

    /// - Parameter waker: of the stage that makes the answers; rung when memory comes back after it ran short.
    public init(limit: Int, waker: Waker?) {
        self.limit = limit
        self.waker = waker
    }

    func take(_ bytes: Int) { taken.add(bytes, ordering: .relaxed) }

    func give(_ bytes: Int) {
        taken.subtract(bytes, ordering: .sequentiallyConsistent)
        returned.store(true, ordering: .sequentiallyConsistent)
        if waits.load(ordering: .sequentiallyConsistent), waits.exchange(false, ordering: .relaxed) { waker?.ring() }
    }

    /// Whether an answer of that size may be made now: it fits, or there is none. If not, the waker rings later.
    public func allows(_ bytes: Int) -> Bool {
        if fits(bytes) { return true }
        waits.store(true, ordering: .sequentiallyConsistent)
        return fits(bytes)
    }

    /// How much an answer should take that could do with up to `wish` bytes: never more than a quarter of what is left. So
    /// those who don't read what they asked for leave the others smaller answers, but answers.
    public func share(of wish: Int) -> Int { min(wish, max((limit - taken.load(ordering: .relaxed)) / 4, 1)) }

    /// How long, in nanoseconds, a client may take nothing of an answer that holds memory of this budget. Once nearly all is
    /// taken it is short, until half is free again: others wait for it.
    public var patience: UInt64 {
        let taken = taken.load(ordering: .relaxed)
        if taken <= limit / 2 {
            isPressed.store(false, ordering: .relaxed)
            return .max
        }
        if taken > limit / 8 * 7 { isPressed.store(true, ordering: .relaxed) }
        return isPressed.load(ordering: .relaxed) ? AnswerBudget.shortestPatience : 2_000_000_000
    }
    static let shortestPatience: UInt64 = 500_000_000

    /// Whether memory has come back since the last call.
    public func takeReturned() -> Bool {
        returned.load(ordering: .relaxed) && returned.exchange(false, ordering: .sequentiallyConsistent)
    }

    private func fits(_ bytes: Int) -> Bool {
        let now = taken.load(ordering: .sequentiallyConsistent)
        return now == 0 || now + bytes <= limit
    }
}
