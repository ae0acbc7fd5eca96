import Synchronization

/// A number that one stage sets and others watch: mostly a journal position, which never goes back.
public final class Position: @unchecked Sendable {
    @usableFromInline let before = PaddedCounter()
    @usableFromInline let value: PaddedCounter
    // Set before the threads start, then only read: this is why the class may be shared.
    @usableFromInline var watchers: [Waker] = []

    public init(_ initial: UInt64 = 0) { value = PaddedCounter(Int(initial)) }

    /// The thread behind the waker is woken by every advance, if it sleeps. Before the threads start.
    public func watch(_ waker: Waker) {
        if !watchers.contains(where: { $0 === waker }) { watchers.append(waker) }
    }

    @inlinable
    public func load() -> UInt64 { UInt64(value.value.load(ordering: .acquiring)) }

    /// Moves it on; what was done before is seen by whoever reads the new position.
    @inlinable
    public func advance(to position: UInt64) {
        value.value.store(Int(position), ordering: .releasing)
        for watcher in watchers { watcher.ring() }
    }
}
