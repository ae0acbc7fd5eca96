import Synchronization

/// Says to all stages at once that the broker goes down: take nothing new, finish what was taken.
public final class DrainSwitch: Sendable {
    private let value = Atomic<Bool>(false)

    public init() {}

    public var isOn: Bool { value.load(ordering: .acquiring) }

    public func turnOn() { value.store(true, ordering: .releasing) }
}
