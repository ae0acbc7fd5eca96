// Unsafe on purpose: a stage is handed from the thread that makes it to the one that steps it; the slot's state says whose it is.

import Synchronization

/// A place in a thread's list of stages whose stage can be taken out and replaced while the thread runs: a partition group that is closed and
/// opened again leaves its neighbours alone.
///
/// A stage is put in and taken out by one other thread (the steward's). What a stage has under way when it is taken out ends as it does when a
/// process is killed: the kernel finishes its operations, whose memory the slot keeps until then, and nobody looks at what came of them.
public final class StageSlot: AnyStage, @unchecked Sendable {
    private enum State {
        static let vacant = 0
        static let filled = 1
        static let occupied = 2
        static let leaving = 3
    }

    private let state = Atomic<Int>(State.vacant)
    /// Belongs to the steward while the slot is vacant, else to the slot's thread.
    private var stage: AnyStage?
    /// Whether the stage's operations have ended; asked until they have. Each call throws away what has come of them.
    private let hasEnded: () -> Bool
    private let finishes: Bool
    private let waker: Waker

    /// - Parameters:
    ///   - waker: of the thread that steps the slot.
    ///   - finishes: a stage that is to be taken out is stepped until nothing that it has taken is unfinished.
    ///   - hasEnded: whether what stages in this slot have asked of the kernel has ended; what comes of it is thrown away.
    public init(_ name: String, waker: Waker, finishes: Bool = false, hasEnded: @escaping () -> Bool = { true }) {
        self.waker = waker
        self.finishes = finishes
        self.hasEnded = hasEnded
        super.init(name: name)
    }

    // MARK: The steward's side

    /// Puts a stage in; the slot is vacant.
    public func fill(_ stage: AnyStage) {
        precondition(state.load(ordering: .acquiring) == State.vacant, "a slot has room for one stage")
        self.stage = stage
        state.store(State.filled, ordering: .releasing)
        waker.ring()
    }

    /// Asks for the stage to be taken out; `isVacant` says when it is.
    public func vacate() {
        while true {
            let now = state.load(ordering: .acquiring)
            guard now == State.filled || now == State.occupied else { return }
            if state.compareExchange(expected: now, desired: State.leaving, ordering: .acquiringAndReleasing).exchanged { break }
        }
        waker.ring()
    }

    public var isVacant: Bool { state.load(ordering: .acquiring) == State.vacant }

    // MARK: The thread's side

    public override func step(_ now: Moment) -> Int {
        let state = state.load(ordering: .acquiring)
        switch state {
        case State.occupied: return stage!.step(now)
        case State.filled:
            _ = self.state.compareExchange(expected: State.filled, desired: State.occupied, ordering: .acquiringAndReleasing)
            return 1
        case State.leaving:
            if finishes, let stage, !stage.isDrained { return stage.step(now) }
            guard hasEnded() else { return 0 }
            stage = nil
            self.state.store(State.vacant, ordering: .releasing)
            return 1
        default: return 0
        }
    }

    public override var deadline: UInt64 { state.load(ordering: .acquiring) == State.occupied ? stage!.deadline : .max }

    public override var isDrained: Bool { state.load(ordering: .acquiring) == State.occupied ? stage!.isDrained : true }
}
