import Wire

/// What a group wants done, in order.
public enum GroupEffect: Equatable, Sendable {
    /// Requests are answered. The number is the one that the request came with.
    case joined(UInt64, JoinGroupResponse)
    case synced(UInt64, SyncGroupResponse)
    /// The group is to be stored as it is now, and `stored` called with that number when it is, or can't be.
    case store(UInt64)
}
