/// A piece of the produce path: a synchronous function over what it is given (queues, rings, a clock). It owns no thread,
/// waits for nothing and keeps no clock.
public protocol Stage: ~Copyable {
    /// Does what there is to do, within bounds. Returns how much was done: only real progress counts, or its thread
    /// would never sleep.
    mutating func step(_ now: Moment) -> Int
    /// When, by the monotonic clock, it wants to be called though nothing came; `UInt64.max`: never.
    var deadline: UInt64 { get }
    /// Whether nothing it has taken is unfinished, so that its thread may end.
    var isDrained: Bool { get }
}

extension Stage where Self: ~Copyable {
    public var deadline: UInt64 { .max }
    public var isDrained: Bool { true }
}

/// Any stage, as an executor sees it.
public class AnyStage {
    public let name: String

    init(name: String) { self.name = name }

    public func step(_ now: Moment) -> Int { preconditionFailure("a stage box steps") }
    public var deadline: UInt64 { .max }
    public var isDrained: Bool { true }
}

/// A stage in a box, so that unlike stages stand in one list. One dynamic call a step, none within.
public final class StageBox<Body: Stage & ~Copyable>: AnyStage {
    public var body: Body

    public init(_ name: String, _ body: consuming Body) {
        self.body = body
        super.init(name: name)
    }

    public override func step(_ now: Moment) -> Int { body.step(now) }
    public override var deadline: UInt64 { body.deadline }
    public override var isDrained: Bool { body.isDrained }
}
