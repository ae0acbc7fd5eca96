import CHost
import Synchronization

/// Where a thread's events come from, and where it sleeps.
public protocol EventSource: AnyObject {
    /// Ends a wait of the thread.
    var waker: Waker { get }
    /// First call, on the thread itself.
    func attach()
    /// Hands out the events that are there; returns their number.
    func poll() -> Int
    /// Sleeps until there is an event, a wake, or `nanoseconds` have passed.
    func wait(nanoseconds: UInt64)
}

/// What other threads may ask of an executor, and learn of it.
public final class ExecutorControl: Sendable {
    let stopping = Atomic<Bool>(false)
    let ended = Atomic<Bool>(false)
    let draining = Atomic<Bool>(false)
    let quiet = Atomic<Bool>(false)
    let waker: Waker

    init(waker: Waker) { self.waker = waker }

    /// Its stages have been told to finish: from now on the thread says when they have.
    public func drain() {
        draining.store(true, ordering: .releasing)
        waker.ring()
    }

    /// Whether, since `drain`, the thread sleeps and none of its stages has anything unfinished.
    public var isQuiet: Bool { quiet.load(ordering: .acquiring) }

    /// Asks the thread to end.
    public func stop() {
        stopping.store(true, ordering: .releasing)
        waker.ring()
    }

    /// Whether the thread has ended.
    public var hasEnded: Bool { ended.load(ordering: .acquiring) }
}

/// Gives a list of stages a thread: steps them in order, again and again, and sleeps when none has anything to do.
public final class Executor {
    public let name: String
    private let cpu: Int?
    private let stages: [AnyStage]
    private let source: any EventSource
    private let spins: Int
    private let slice: UInt64?
    private let meter: ThreadMeter?
    public let control: ExecutorControl

    /// - Parameters:
    ///   - cpu: the processor to bind the thread to; nil: none.
    ///   - spins: how often to look in vain before sleeping. Above zero only where each thread has its own processor.
    ///   - slice: for how many nanoseconds at a time the thread wants the processor, where the kernel asks for that; nil: as others.
    ///   - meter: is told what the thread does; its stages are these, in this order.
    public init(
        name: String, cpu: Int?, stages: [AnyStage], source: any EventSource, spins: Int, slice: UInt64? = nil, meter: ThreadMeter? = nil
    ) {
        self.name = name
        self.cpu = cpu
        self.stages = stages
        self.source = source
        self.spins = spins
        self.slice = slice
        self.meter = meter
        control = ExecutorControl(waker: source.waker)
    }

    /// Starts the thread, which owns the executor, its stages and its event source from here on.
    /// Returns 0 or a negative errno.
    public consuming func start() -> Int32 {
        let owned = Unmanaged.passRetained(self)
        let result = hutong_start_thread({ context in
            let executor = Unmanaged<Executor>.fromOpaque(context!).takeRetainedValue()
            executor.run()
        }, owned.toOpaque())
        if result != 0 { owned.release() }
        return result
    }

    /// The thread's life.
    func run() {
        hutong_name_thread(name)
        if let cpu { _ = hutong_pin_thread(Int32(cpu)) }
        // Where it is not granted the thread waits longer; nothing else.
        if let slice { _ = hutong_ask_slice(slice) }
        source.attach()
        var idle = 0
        while !control.stopping.load(ordering: .acquiring) {
            if turn() > 0 {
                idle = 0
                continue
            }
            idle += 1
            if idle <= spins {
                hutong_pause()
                continue
            }
            park()
            idle = 0
        }
        control.ended.store(true, ordering: .releasing)
    }

    /// One round over everything.
    private func turn() -> Int {
        var progress = source.poll()
        let now = Moment.now()
        guard let meter else {
            for stage in stages { progress += stage.step(now) }
            return progress
        }
        meter.turns(now.monotonic)
        for (number, stage) in stages.enumerated() {
            meter.steps(number)
            let done = stage.step(now)
            if done > 0 { meter.worked(number, done, now.monotonic) }
            progress += done
        }
        meter.turned()
        return progress
    }

    private func park() {
        source.waker.announce()
        defer { source.waker.retract() }
        // What came between the last look and the announcement rang no bell.
        guard turn() == 0 else { return }
        if control.stopping.load(ordering: .acquiring) { return }
        var deadline = meter?.deadline ?? .max
        for stage in stages { deadline = min(deadline, stage.deadline) }
        let now = hutong_monotonic_ns()
        if control.draining.load(ordering: .acquiring) {
            control.quiet.store(stages.allSatisfy { $0.isDrained }, ordering: .releasing)
        }
        defer { control.quiet.store(false, ordering: .releasing) }
        meter?.sleeps(true)
        source.wait(nanoseconds: deadline == .max ? .max : (deadline > now ? deadline - now : 0))
        meter?.sleeps(false)
    }
}
