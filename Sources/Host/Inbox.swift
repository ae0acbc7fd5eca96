import Synchronization

/// Where a stage is told something by threads that are not stages. Its lock is held for a few instructions, and taken by the stage only when
/// there is something.
public final class Inbox<Item: Sendable>: Sendable {
    private let items = Mutex<[Item]>([])
    private let isFull = Atomic<Bool>(false)
    private let waker: Waker

    /// - Parameter waker: of the stage's thread.
    public init(waker: Waker) { self.waker = waker }

    public func put(_ item: Item) {
        items.withLock { $0.append(item) }
        isFull.store(true, ordering: .releasing)
        waker.ring()
    }

    /// All that has come since the last call, in order.
    public func take() -> [Item] {
        guard isFull.load(ordering: .acquiring) else { return [] }
        isFull.store(false, ordering: .relaxed)
        return items.withLock { items in
            defer { items = [] }
            return items
        }
    }
}
