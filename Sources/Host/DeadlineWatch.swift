/// Deadlines that are nearly always met: for each of a set of numbers a time at which somebody has to look whether its
/// deadline has passed. What moves a deadline back need not tell the watch: the look that comes too early finds a later time
/// and asks for the next look then. So activity costs a comparison, and a timer moves once in a deadline's length.
public struct DeadlineWatch: ~Copyable {
    /// Looks may be this much late, in nanoseconds.
    public static let tick: UInt64 = 50_000_000

    private var wheel = TimerWheel(capacity: 0, tick: DeadlineWatch.tick, slots: 512)
    /// By number when the next look is due; `UInt64.max`: none is.
    private var looks: [UInt64] = []
    private var due: [Int] = []
    /// When there may be something due: never later than the first look. Saves a walk round the wheel at every call.
    public private(set) var deadline: UInt64 = .max

    public init() {}

    /// Asks for a look at `number` once `time` (monotonic nanoseconds) has passed, unless an earlier one is due anyway.
    @inline(__always)
    public mutating func look(at number: Int, by time: UInt64) {
        if number < looks.count && looks[number] <= time { return }
        set(number, time)
    }

    private mutating func set(_ number: Int, _ time: UInt64) {
        while looks.count <= number { looks.append(.max) }
        wheel.grow(to: looks.count)
        looks[number] = time
        wheel.set(number, deadline: time)
        deadline = min(deadline, time)
    }

    /// No look at `number` is due any more.
    public mutating func forget(_ number: Int) {
        guard number < looks.count, looks[number] != .max else { return }
        looks[number] = .max
        wheel.cancel(number)
        due.removeAll { $0 == number }
    }

    /// A number whose look is due; it is forgotten. Nil: there is none (any more).
    public mutating func next(_ now: UInt64) -> Int? {
        if due.isEmpty {
            guard now >= deadline else { return nil }
            var fired: [Int] = []
            wheel.advance(to: now) { fired.append($0) }
            due = fired
            deadline = wheel.deadline
        }
        guard let number = due.popLast() else { return nil }
        looks[number] = .max
        return number
    }
}
