/// What consumer groups are held to, under Kafka's names in the settings; times in nanoseconds.
public struct GroupLimits: Sendable {
    /// group.min.session.timeout.ms, group.max.session.timeout.ms: between them lies what a member may ask for.
    public var sessionTimeouts: ClosedRange<UInt64> = 6_000_000_000...1_800_000_000_000
    /// group.initial.rebalance.delay.ms: how long an empty group waits for more members than the first.
    public var initialDelay: UInt64 = 3_000_000_000
    /// group.max.size: the most members of a group.
    public var mostMembers = Int.max
    /// A new member whose JoinGroup has not been answered for so long is forgotten: its client may be gone.
    public var newMemberTimeout: UInt64 = 300_000_000_000

    public init() {}
}
