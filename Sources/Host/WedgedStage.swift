import CHost
import Glibc

/// How a stage is wedged on purpose, so that what watches a broker can be tried.
public struct Wedge: Sendable, Equatable {
    /// After so many nanoseconds from its first step.
    public var delay: UInt64
    /// It does not come back from a step, so that its thread hangs; otherwise it does nothing any more when it is stepped.
    public var hangs: Bool

    public init(delay: UInt64, hangs: Bool) {
        self.delay = delay
        self.hangs = hangs
    }
}

/// A stage that stops working after a while, for tests.
public final class WedgedStage: AnyStage {
    private let stage: AnyStage
    private let wedge: Wedge
    private var from: UInt64?
    private var isWedged = false

    public init(_ stage: AnyStage, _ wedge: Wedge) {
        self.stage = stage
        self.wedge = wedge
        super.init(name: stage.name)
    }

    public override func step(_ now: Moment) -> Int {
        let from = from ?? now.monotonic + wedge.delay
        self.from = from
        guard now.monotonic >= from else { return stage.step(now) }
        isWedged = true
        while wedge.hangs { usleep(100_000) }
        return 0
    }

    public override var deadline: UInt64 { isWedged ? .max : min(stage.deadline, from ?? .max) }
    public override var isDrained: Bool { isWedged || stage.isDrained }
}
