import CHost
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Host

/// Counts its steps; does as much as it is given.
private struct CountingStage: Stage, ~Copyable {
    let work: Work
    let steps: Counter
    var deadline: UInt64 = .max

    mutating func step(_ now: Moment) -> Int {
        steps.value.add(1, ordering: .releasing)
        return work.takeAll()
    }

    var isDrained: Bool { work.isDrained }
}

/// A queue's end in a class, so that the test and the stage share it.
private final class Work: @unchecked Sendable {
    private var end: Receiver<Int>
    private let done = Counter()
    private let drained = Atomic<Bool>(true)

    init(_ end: consuming Receiver<Int>) { self.end = end }

    func takeAll() -> Int {
        var count = 0
        while end.pop() != nil { count += 1 }
        end.release()
        done.value.add(count, ordering: .releasing)
        return count
    }

    var taken: Int { done.now }
    var isDrained: Bool { drained.load(ordering: .acquiring) }
    func set(drained value: Bool) { drained.store(value, ordering: .releasing) }
}

/// Wants to be called at one time only.
private final class Alarm: AnyStage {
    var at: UInt64 = .max
    let rang = Counter()

    init() { super.init(name: "alarm") }

    override func step(_ now: Moment) -> Int {
        guard now.monotonic >= at else { return 0 }
        at = .max
        rang.value.add(1, ordering: .releasing)
        return 1
    }

    override var deadline: UInt64 { at }
}

@Suite struct ExecutorTests {
    @Test func onlyAnAnnouncedSleeperIsWoken() {
        let rung = Counter()
        let waker = Waker { rung.value.add(1, ordering: .relaxed) }
        waker.ring()
        #expect(rung.now == 0)
        waker.announce()
        waker.ring()
        waker.ring()
        #expect(rung.now == 1, "once for each sleep")
        waker.announce()
        waker.retract()
        waker.ring()
        #expect(rung.now == 1)
    }

    @Test func aParkedStageIsWokenByItsQueue() {
        let source = SleepingSource()
        let channel = Channel<Int>(capacity: 4)
        channel.connect(sender: Waker {}, receiver: source.waker)
        let sender = Outlet(channel)
        let work = Work(channel.receiver())
        let steps = Counter()
        let stage = StageBox("counting", CountingStage(work: work, steps: steps))
        let executor = Executor(name: "test", cpu: nil, stages: [stage], source: source, spins: 3)
        let control = executor.control
        #expect(executor.start() == 0)
        control.drain()
        for round in 1...200 {
            // Sometimes asleep, sometimes just going to sleep.
            if round % 10 == 0 { #expect(eventually { control.isQuiet }) }
            #expect(sender.send(round))
            #expect(eventually { work.taken == round }, "round \(round)")
        }
        #expect(source.attached.load(ordering: .acquiring) && source.rung >= 20)
        control.stop()
        #expect(eventually { control.hasEnded })
    }

    @Test func anIdleThreadSleeps() {
        let source = SleepingSource()
        let channel = Channel<Int>(capacity: 4)
        let work = Work(channel.receiver())
        let steps = Counter()
        let stage = StageBox("counting", CountingStage(work: work, steps: steps))
        let executor = Executor(name: "test", cpu: nil, stages: [stage], source: source, spins: 0)
        let control = executor.control
        #expect(executor.start() == 0)
        control.drain()
        #expect(eventually { control.isQuiet })
        let before = steps.now
        let waits = source.waits.load(ordering: .acquiring)
        usleep(200_000)
        #expect(steps.now == before && source.waits.load(ordering: .acquiring) == waits, "it does not look again by itself")

        work.set(drained: false)
        control.drain()
        #expect(eventually { source.waits.load(ordering: .acquiring) == waits + 1 }, "being told makes it look once")
        #expect(!control.isQuiet, "a stage has something unfinished")
        work.set(drained: true)
        control.drain()
        #expect(eventually { control.isQuiet })
        #expect(!control.hasEnded)
        control.stop()
        #expect(eventually { control.hasEnded })
    }

    @Test func sleepsUntilTheNearestDeadline() {
        let source = SleepingSource()
        let alarm = Alarm(), never = Alarm()
        let start = Moment.now().monotonic
        alarm.at = start + 50_000_000
        let rang = alarm.rang
        let executor = Executor(name: "test", cpu: nil, stages: [never, alarm], source: source, spins: 0)
        let control = executor.control
        #expect(executor.start() == 0)
        #expect(eventually { rang.now == 1 })
        #expect(Moment.now().monotonic >= start + 50_000_000 && source.rung == 0)
        control.stop()
        #expect(eventually { control.hasEnded })
    }

    @Test func aPositionsWatchersAreWokenOnceEach() {
        let rung = Counter()
        let waker = Waker { rung.value.add(1, ordering: .relaxed) }
        let position = Position(7)
        position.watch(waker)
        position.watch(waker)
        #expect(position.load() == 7)
        waker.announce()
        position.advance(to: 9)
        #expect(position.load() == 9 && rung.now == 1)
        position.advance(to: 10)
        #expect(rung.now == 1, "awake by now")
    }

    /// Kernels before 6.12 take the wish and do nothing, and not every one tells of slices.
    @Test func aThreadsSliceIsAsItAskedFor() {
        let done = Counter()
        let refused = Counter()
        let others = Counter()
        Thread.detachNewThread {
            if hutong_ask_slice(300_000) != 0 { refused.value.add(1, ordering: .relaxed) }
            let told = (try? String(contentsOfFile: "/proc/thread-self/sched", encoding: .utf8))?.split(separator: "\n")
            if let line = told?.first(where: { $0.hasPrefix("se.slice") }), !line.hasSuffix(" 300000"), ExecutorTests.kernelHasSlices {
                others.value.add(1, ordering: .relaxed)
            }
            done.value.add(1, ordering: .releasing)
        }
        #expect(eventually { done.now == 1 })
        #expect(refused.now == 0 && others.now == 0)
    }

    private static var kernelHasSlices: Bool {
        let version = ProcessInfo.processInfo.operatingSystemVersion
        return (version.majorVersion, version.minorVersion) >= (6, 12)
    }
}
