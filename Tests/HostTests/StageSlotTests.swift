import Synchronization
import TestSupport
import Testing

@testable import Host

@Suite struct StageSlotTests {
    /// Counts its steps, and tells when it is gone.
    private struct Counting: Stage, ~Copyable {
        final class Life: Sendable {
            let steps = Atomic<Int>(0)
            let isGone = Atomic<Bool>(false)
        }

        let life: Life

        mutating func step(_ now: Moment) -> Int {
            life.steps.add(1, ordering: .relaxed)
            return 0
        }

        var deadline: UInt64 { 7 }

        deinit { life.isGone.store(true, ordering: .relaxed) }
    }

    private let now = Moment(monotonic: 1, wall: 1)

    @Test func aVacantSlotDoesNothing() {
        let slot = StageSlot("slot", waker: Waker {})
        #expect(slot.step(now) == 0 && slot.deadline == .max && slot.isDrained && slot.isVacant)
        slot.vacate()
        #expect(slot.isVacant, "there is nothing to take out")
    }

    @Test func stepsItsStageUntilItIsTakenOut() {
        let slot = StageSlot("slot", waker: Waker {})
        let life = Counting.Life()
        slot.fill(StageBox("counting", Counting(life: life)))
        #expect(slot.step(now) > 0, "that a stage has come is progress")
        _ = slot.step(now)
        #expect(life.steps.load(ordering: .relaxed) == 1 && slot.deadline == 7 && !slot.isVacant)
        slot.vacate()
        #expect(!slot.isVacant && !life.isGone.load(ordering: .relaxed), "it goes on the slot's thread")
        _ = slot.step(now)
        #expect(slot.isVacant && life.isGone.load(ordering: .relaxed))
        #expect(slot.step(now) == 0 && life.steps.load(ordering: .relaxed) == 1)
    }

    @Test func aStageStaysUntilTheKernelIsDoneWithItsMemory() {
        let underWay = Atomic<Int>(2)
        let box = Held(underWay)
        let slot = StageSlot("slot", waker: Waker {}, hasEnded: { box.look() })
        let life = Counting.Life()
        slot.fill(StageBox("counting", Counting(life: life)))
        _ = slot.step(now)
        slot.vacate()
        for _ in 0..<2 {
            #expect(slot.step(now) == 0 && !slot.isVacant && !life.isGone.load(ordering: .relaxed))
        }
        _ = slot.step(now)
        #expect(slot.isVacant && life.isGone.load(ordering: .relaxed))
        #expect(life.steps.load(ordering: .relaxed) == 0, "who leaves is not stepped any more")
    }

    /// Something is under way for some looks.
    private final class Held: Sendable {
        let left: Atomic<Int>

        init(_ left: consuming Atomic<Int>) { self.left = left }

        func look() -> Bool { left.subtract(1, ordering: .relaxed).newValue < 0 }
    }

    @Test func isFilledAgain() {
        let slot = StageSlot("slot", waker: Waker {})
        for _ in 0..<3 {
            let life = Counting.Life()
            slot.fill(StageBox("counting", Counting(life: life)))
            _ = slot.step(now)
            _ = slot.step(now)
            slot.vacate()
            _ = slot.step(now)
            #expect(slot.isVacant && life.steps.load(ordering: .relaxed) == 1 && life.isGone.load(ordering: .relaxed))
        }
    }
}
