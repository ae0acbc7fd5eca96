import Coordination
import Host
import Synchronization

/// One broker's way to the store that a simulated cluster shares: what it asks arrives a while later, news come when they are let through, and its
/// lease ends when it has not been heard of for so long.
final class SimulatedStore: CoordinationStore {
    private struct Swap {
        var due: UInt64
        var changes: [StoreChange]
        var finished: @Sendable (SwapOutcome) -> Void
    }

    private struct State {
        var swaps: [Swap] = []
        var random: SeededRandom
        var now: UInt64 = 0
        /// When the lease was renewed last.
        var renewed: UInt64
    }

    /// Without word for so long, in nanoseconds, it is given up.
    static let lease: UInt64 = 400_000_000

    private let shared: InMemoryCoordination
    let inner: InMemoryStore
    private let state: Mutex<State>

    init(_ shared: InMemoryCoordination, name: String, seed: UInt64, now: UInt64) {
        self.shared = shared
        inner = shared.client(name: name)
        state = Mutex(State(random: SeededRandom(seed: seed), now: now, renewed: now))
    }

    func start(_ take: @escaping @Sendable (StoreNews) -> Void) { inner.start(take) }
    func hold(_ key: String, value: [UInt8]) { inner.hold(key, value: value) }
    func stop() { inner.stop() }

    func swap(_ changes: [StoreChange], _ finished: @escaping @Sendable (SwapOutcome) -> Void) {
        state.withLock { state in
            state.swaps.append(Swap(due: state.now + UInt64(state.random.below(8_000_000)), changes: changes, finished: finished))
        }
    }

    /// Its broker runs: what is due is done, and what has changed is told. Returns how much was done.
    func pump(now: UInt64) -> Int {
        let due = state.withLock { state in
            state.now = now
            if !inner.isCutOff { state.renewed = now }
            let due = state.swaps.filter { $0.due <= now }
            state.swaps.removeAll { $0.due <= now }
            return due
        }
        for swap in due { inner.swap(swap.changes, swap.finished) }
        inner.deliver()
        return due.count
    }

    /// Whether its lease has just ended.
    func expires(now: UInt64) -> Bool {
        let isOver = state.withLock { state in
            guard now >= state.renewed + SimulatedStore.lease else { return false }
            state.renewed = .max - SimulatedStore.lease
            return true
        }
        if isOver { shared.expire(inner) }
        return isOver
    }
}
