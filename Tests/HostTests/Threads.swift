import CHost
import Foundation
import Synchronization

@testable import Host

/// Runs the body on a thread of its own; the result is awaited by `join`.
final class TestThread: Sendable {
    private let done = DispatchSemaphore(value: 0)

    init(_ body: @escaping @Sendable () -> Void) {
        Thread.detachNewThread { [done] in
            body()
            done.signal()
        }
    }

    /// Whether it ended within a minute: far beyond what any test needs.
    func join() -> Bool { done.wait(timeout: .now() + 60) == .success }
}

/// An event source without events: it only sleeps and is woken.
final class SleepingSource: EventSource, @unchecked Sendable {
    private let bell = DispatchSemaphore(value: 0)
    let waker: Waker
    let waits = Atomic<Int>(0)
    let attached = Atomic<Bool>(false)

    init() {
        let bell = bell
        let count = Counter()
        waker = Waker {
            count.value.add(1, ordering: .relaxed)
            bell.signal()
        }
        rings = count
    }

    private let rings: Counter
    /// How often the thread was really woken.
    var rung: Int { rings.value.load(ordering: .relaxed) }

    func attach() { attached.store(true, ordering: .releasing) }
    func poll() -> Int { 0 }

    func wait(nanoseconds: UInt64) {
        waits.add(1, ordering: .releasing)
        if nanoseconds == .max {
            bell.wait()
        } else {
            _ = bell.wait(timeout: .now() + .nanoseconds(Int(min(nanoseconds, 10_000_000_000))))
        }
    }
}

final class Counter: Sendable {
    let value = Atomic<Int>(0)
    var now: Int { value.load(ordering: .acquiring) }
}

/// Whether the condition came to hold within a minute.
func eventually(_ condition: () -> Bool) -> Bool {
    let end = hutong_monotonic_ns() + 60_000_000_000
    while hutong_monotonic_ns() < end {
        if condition() { return true }
        usleep(500)
    }
    return condition()
}
