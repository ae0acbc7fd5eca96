import CHost
import Synchronization

/// A number that one stage sets and others watch: mostly a journal position, which never goes back.
public final class Position: @unchecked Sendable {
    @usableFromInline let before = PaddedCounter()
    @usableFromInline let value: PaddedCounter
    // Set before the threads start, then only read: this is why the class may be shared.
    @usableFromInline var watchers: [Waker] = []

    /// When it was moved last; nil: that is not kept.
    @usableFromInline let marks: PositionMarks?

    /// - Parameter keepsTimes: whether it can be asked when it passed something.
    public init(_ initial: UInt64 = 0, keepsTimes: Bool = false) {
        value = PaddedCounter(Int(initial))
        marks = keepsTimes ? PositionMarks() : nil
    }

    /// When, by the monotonic clock, it passed that; nil: it has not, or that is too long ago to be known.
    public func passed(_ position: UInt64) -> UInt64? { marks?.passed(position) }

    /// The thread behind the waker is woken by every advance, if it sleeps. Before the threads start.
    public func watch(_ waker: Waker) {
        if !watchers.contains(where: { $0 === waker }) { watchers.append(waker) }
    }

    @inlinable
    public func load() -> UInt64 { UInt64(value.value.load(ordering: .acquiring)) }

    /// Moves it on; what was done before is seen by whoever reads the new position.
    @inlinable
    public func advance(to position: UInt64) {
        marks?.add(position)
        value.value.store(Int(position), ordering: .releasing)
        for watcher in watchers { watcher.ring() }
    }
}

/// The last moves of a position, with their times. One thread adds, others read.
@usableFromInline
final class PositionMarks: Sendable {
    private struct Mark: ~Copyable {
        /// 0 while the time is being written.
        let position = Atomic<UInt64>(0)
        let time = Atomic<UInt64>(0)
    }

    private static let count = 128
    private let marks = RigidMarks(count: PositionMarks.count)
    private let next = Atomic<Int>(0)

    private struct RigidMarks: ~Copyable, @unchecked Sendable {
        let base: UnsafeMutablePointer<Mark>

        init(count: Int) {
            base = .allocate(capacity: count)
            for index in 0..<count { (base + index).initialize(to: Mark()) }
        }

        deinit { base.deallocate() }
    }

    @usableFromInline
    func add(_ position: UInt64) {
        let number = next.load(ordering: .relaxed)
        let mark = marks.base + number % PositionMarks.count
        mark.pointee.position.store(0, ordering: .relaxed)
        atomicMemoryFence(ordering: .releasing)
        mark.pointee.time.store(hutong_monotonic_ns(), ordering: .relaxed)
        mark.pointee.position.store(position, ordering: .releasing)
        next.store(number + 1, ordering: .releasing)
    }

    /// The time of the first move to there or beyond.
    func passed(_ position: UInt64) -> UInt64? {
        let end = next.load(ordering: .acquiring)
        var time: UInt64?
        var number = end - 1
        while number >= max(0, end - PositionMarks.count) {
            let mark = marks.base + number % PositionMarks.count
            let reached = mark.pointee.position.load(ordering: .acquiring)
            let at = mark.pointee.time.load(ordering: .relaxed)
            atomicMemoryFence(ordering: .acquiring)
            // It is being written anew, and so are all before it.
            guard reached != 0, mark.pointee.position.load(ordering: .relaxed) == reached else { return nil }
            guard reached >= position else { return time }
            time = at
            number -= 1
        }
        // There may have been an earlier one, unless these are all.
        return end <= PositionMarks.count ? time : nil
    }
}
