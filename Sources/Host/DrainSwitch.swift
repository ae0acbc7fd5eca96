import Synchronization

/// Says to all stages at once whether clients are let in, and that the broker goes down: take nothing new, finish what was taken.
public final class DrainSwitch: Sendable {
    private let value = Atomic<Bool>(false)
    private let held: Atomic<Bool>

    /// - Parameter isHeld: no client is let in before `release`.
    public init(isHeld: Bool = false) { held = Atomic(isHeld) }

    /// Clients are not let in yet.
    public var isHeld: Bool { held.load(ordering: .acquiring) }

    public func release() { held.store(false, ordering: .releasing) }

    public var isOn: Bool { value.load(ordering: .acquiring) }

    public func turnOn() { value.store(true, ordering: .releasing) }
}
