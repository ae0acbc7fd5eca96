import Synchronization

/// Wakes one thread, with a system call only if it sleeps.
///
/// The sleeper announces, fences, looks for work once more, and waits; who has work for it publishes, fences, and looks
/// for the announcement. One of the two sees the other.
public final class Waker: Sendable {
    @usableFromInline let parked = PaddedCounter()
    @usableFromInline let wake: @Sendable () -> Void

    /// `wake` ends the thread's wait, or its next one; it is called from any thread.
    public init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    /// After publishing work: wakes the thread if it sleeps or is about to.
    @inlinable
    public func ring() {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if parked.value.load(ordering: .relaxed) != 0 { end() }
    }

    @usableFromInline
    func end() {
        if parked.value.exchange(0, ordering: .relaxed) != 0 { wake() }
    }

    /// The thread itself: from here on, whoever publishes work rings. To be followed by a last look for work.
    func announce() {
        parked.value.store(1, ordering: .relaxed)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// The thread itself: awake again.
    func retract() { parked.value.store(0, ordering: .relaxed) }
}
