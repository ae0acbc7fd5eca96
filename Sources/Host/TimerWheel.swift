/// Deadlines in rings of slots, a tick each: setting and cancelling one is constant work whatever their number
/// (G. Varghese, T. Lauck, "Hashed and Hierarchical Timing Wheels", 1987; the hashed form with a count of rounds
/// left implicit in the deadline).
///
/// A timer is a small number that the owner chooses, below the capacity; setting it again moves it.
public struct TimerWheel: ~Copyable {
    private struct Timer {
        var deadline: UInt64
        var next: Int32
        var previous: Int32
        var slot: Int32  // -1: not set
    }

    private let tick: UInt64
    private var slots: [Int32]
    private var timers: [Timer]
    private var currentTick: UInt64
    /// How many are set.
    public private(set) var count = 0

    /// - Parameters:
    ///   - capacity: how many timers there may be; they are numbered from zero.
    ///   - tick: the resolution in nanoseconds; a timer fires up to one tick late, never early.
    ///   - slots: how many ticks a round has.
    public init(capacity: Int, tick: UInt64 = 10_000_000, slots: Int = 1024, now: UInt64 = 0) {
        self.tick = tick
        self.slots = Array(repeating: -1, count: slots)
        timers = Array(repeating: Timer(deadline: 0, next: -1, previous: -1, slot: -1), count: capacity)
        currentTick = now / tick
    }

    /// Sets timer `id` to fire once `deadline` (monotonic nanoseconds) has passed.
    public mutating func set(_ id: Int, deadline: UInt64) {
        cancel(id)
        // The tick after the deadline's own, so that it never fires early; one in the past fires at the next tick.
        let due = max(deadline / tick + 1, currentTick + 1)
        let slot = Int(due % UInt64(slots.count))
        let first = slots[slot]
        timers[id] = Timer(deadline: due, next: first, previous: -1, slot: Int32(slot))
        if first >= 0 { timers[Int(first)].previous = Int32(id) }
        slots[slot] = Int32(id)
        count += 1
    }

    public func isSet(_ id: Int) -> Bool { timers[id].slot >= 0 }

    public mutating func cancel(_ id: Int) {
        let timer = timers[id]
        guard timer.slot >= 0 else { return }
        if timer.previous >= 0 {
            timers[Int(timer.previous)].next = timer.next
        } else {
            slots[Int(timer.slot)] = timer.next
        }
        if timer.next >= 0 { timers[Int(timer.next)].previous = timer.previous }
        timers[id].slot = -1
        count -= 1
    }

    /// Makes room for timers numbered below `capacity`.
    public mutating func grow(to capacity: Int) {
        while timers.count < capacity { timers.append(Timer(deadline: 0, next: -1, previous: -1, slot: -1)) }
    }

    /// Moves the wheel to `now`, and calls `fire` with each timer that is due; it is no longer set then.
    public mutating func advance(to now: UInt64, fire: (Int) -> Void) {
        let target = now / tick
        if count == 0 { currentTick = max(currentTick, target) }
        while currentTick < target {
            // After a long sleep one round sees every slot; more rounds would see nothing new.
            if target - currentTick > UInt64(slots.count) { currentTick = target - UInt64(slots.count) }
            currentTick += 1
            var id = slots[Int(currentTick % UInt64(slots.count))]
            while id >= 0 {
                let next = timers[Int(id)].next
                if timers[Int(id)].deadline <= currentTick {
                    cancel(Int(id))
                    fire(Int(id))
                }
                id = next
            }
        }
    }

    /// When to call `advance` next; `UInt64.max` where nothing is set.
    public var deadline: UInt64 {
        guard count > 0 else { return .max }
        for ahead in 1...UInt64(slots.count) where slots[Int((currentTick + ahead) % UInt64(slots.count))] >= 0 {
            return (currentTick + ahead) * tick
        }
        preconditionFailure("a timer is set, but in no slot")
    }
}
