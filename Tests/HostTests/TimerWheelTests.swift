import TestSupport
import Testing

@testable import Host

/// A wheel of ticks of ten, in a class: what checks expectations takes only what can be copied.
private final class Wheel {
    private var wheel: TimerWheel

    init(_ capacity: Int = 8, slots: Int = 16, now: UInt64 = 0) {
        wheel = TimerWheel(capacity: capacity, tick: 10, slots: slots, now: now)
    }

    func set(_ id: Int, deadline: UInt64) { wheel.set(id, deadline: deadline) }
    func cancel(_ id: Int) { wheel.cancel(id) }
    func isSet(_ id: Int) -> Bool { wheel.isSet(id) }
    func grow(to capacity: Int) { wheel.grow(to: capacity) }
    var count: Int { wheel.count }
    var deadline: UInt64 { wheel.deadline }

    /// Moves it on; what fired.
    func fired(_ now: UInt64) -> [Int] {
        var ids: [Int] = []
        wheel.advance(to: now) { ids.append($0) }
        return ids
    }
}

@Suite struct TimerWheelTests {
    private let tick: UInt64 = 10

    /// Deadlines on, before and behind a tick's edge, within a round and rounds away.
    @Test(arguments: [0, 1, 9, 10, 11, 155, 159, 160, 161, 1234, 100_000] as [UInt64])
    func firesNeverEarlyAndAtMostATickLate(deadline: UInt64) {
        let wheel = Wheel()
        wheel.set(3, deadline: deadline)
        for now in 0...deadline + tick {
            let ids = wheel.fired(now)
            guard !ids.isEmpty else { continue }
            #expect(ids == [3] && now > deadline && now <= deadline + tick)
            break
        }
        #expect(!wheel.isSet(3) && wheel.count == 0)
    }

    @Test func whatIsCancelledDoesNotFire() {
        let wheel = Wheel()
        // One slot's first, middle and last.
        for id in 0..<5 { wheel.set(id, deadline: 50) }
        for id in [4, 2, 0, 0] { wheel.cancel(id) }
        #expect(wheel.count == 2 && wheel.isSet(1) && !wheel.isSet(2))
        #expect(wheel.fired(1000).sorted() == [1, 3])
        #expect(wheel.count == 0)
    }

    @Test func settingAgainMovesIt() {
        let wheel = Wheel()
        wheel.set(1, deadline: 20)
        wheel.set(1, deadline: 500)
        #expect(wheel.count == 1)
        #expect(wheel.fired(400) == [])
        wheel.set(1, deadline: 410)
        #expect(wheel.fired(430) == [1])
        wheel.set(1, deadline: 450)
        #expect(wheel.fired(470) == [1])
    }

    @Test func whatIsPastFiresAtTheNextTick() {
        let wheel = Wheel(now: 1000)
        wheel.set(0, deadline: 5)
        #expect(wheel.deadline == 1010)
        #expect(wheel.fired(1009) == [] && wheel.fired(1010) == [0])
    }

    @Test func aLongSleepSkipsNoneAndTakesNoneEarly() {
        let wheel = Wheel()
        for id in 0..<8 { wheel.set(id, deadline: UInt64(id) * 1_000_000) }
        #expect(wheel.fired(3_500_000).sorted() == [0, 1, 2, 3])
        #expect(wheel.fired(3_500_000) == [])
        #expect(wheel.fired(1 << 60).sorted() == [4, 5, 6, 7])
        wheel.set(0, deadline: 1 << 60)
        #expect(wheel.fired((1 << 60) + tick) == [0])
    }

    @Test func anEmptyWheelMovesOnToo() {
        let wheel = Wheel()
        #expect(wheel.deadline == .max)
        #expect(wheel.fired(123_456) == [])
        wheel.set(0, deadline: 123_500)
        #expect(wheel.deadline == 123_510)
        #expect(wheel.fired(123_509) == [] && wheel.fired(123_510) == [0])
        #expect(wheel.deadline == .max)
    }

    @Test func deadlineNamesTheNextSlotInUse() {
        let wheel = Wheel()
        wheel.set(0, deadline: 95)
        wheel.set(1, deadline: 42)
        #expect(wheel.deadline == 50)
        wheel.cancel(1)
        #expect(wheel.deadline == 100)
        // Rounds away: some wake-ups are for nothing, but none is missing.
        wheel.set(0, deadline: 1000)
        var wakes = 0
        var ids: [Int] = []
        while ids.isEmpty {
            let next = wheel.deadline
            #expect(next <= 1010)
            ids = wheel.fired(next)
            wakes += 1
        }
        #expect(wakes <= 1 + 1000 / (16 * 10), "once a round")
    }

    @Test func growsWithItsTimersInPlace() {
        let wheel = Wheel(1)
        wheel.set(0, deadline: 10)
        wheel.grow(to: 100)
        wheel.set(99, deadline: 10)
        wheel.grow(to: 5)
        #expect(wheel.isSet(99) && wheel.fired(20).sorted() == [0, 99])
    }

    /// Random settings, cancellations and leaps of time against a plain list.
    @Test(arguments: 1...4) func followsAModel(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        var now = UInt64(random.below(10_000))
        let wheel = Wheel(64, slots: 32, now: now)
        // When each may fire at the earliest, and must have at the latest.
        var model: [Int: (after: UInt64, by: UInt64)] = [:]
        for _ in 0..<30_000 {
            switch random.below(5) {
            case 0, 1:
                let id = random.below(64)
                let deadline = max(now, 50) - 50 + UInt64(random.below([60, 600, 6000][random.below(3)]))
                wheel.set(id, deadline: deadline)
                model[id] = (deadline, max(deadline, now) + tick)
            case 2:
                let id = random.below(64)
                wheel.cancel(id)
                model[id] = nil
            default:
                now += UInt64(random.below([3, 40, 1000][random.below(3)]))
                let ids = wheel.fired(now)
                #expect(Set(ids).count == ids.count)
                for id in ids { #expect(model[id].map { $0.after < now } == true, "never early, only what is set") }
                for id in ids { model[id] = nil }
                #expect(model.values.allSatisfy { $0.by > now }, "never late")
            }
            #expect(wheel.count == model.count)
            if let first = model.values.map(\.by).min() {
                #expect(wheel.deadline <= first && wheel.deadline > 0)
            } else {
                #expect(wheel.deadline == .max)
            }
        }
        #expect((0..<64).allSatisfy { wheel.isSet($0) == (model[$0] != nil) })
    }
}
