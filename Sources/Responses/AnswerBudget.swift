import Host
import Synchronization

/// How much memory answers may have of their own, all together. What is taken comes back when an answer has been sent.
public final class AnswerBudget: Sendable {
    private let taken = Atomic<Int>(0)
    private let waits = Atomic<Bool>(false)
    public let limit: Int
    private let waker: Waker?

    /// - Parameter waker: of the stage that makes the answers; rung when memory comes back after it ran short.
    public init(limit: Int, waker: Waker?) {
        self.limit = limit
        self.waker = waker
    }

    func take(_ bytes: Int) { taken.add(bytes, ordering: .relaxed) }

    func give(_ bytes: Int) {
        taken.subtract(bytes, ordering: .releasing)
        if waits.load(ordering: .relaxed), waits.exchange(false, ordering: .relaxed) { waker?.ring() }
    }

    /// Whether an answer of that size may be made now: it fits, or there is none. If not, the waker rings later.
    public func allows(_ bytes: Int) -> Bool {
        if fits(bytes) { return true }
        waits.store(true, ordering: .sequentiallyConsistent)
        return fits(bytes)
    }

    private func fits(_ bytes: Int) -> Bool {
        let now = taken.load(ordering: .acquiring)
        return now == 0 || now + bytes <= limit
    }
}
