// What operators ask for of partition groups. A group is moved as a whole: its partitions share a journal.

/// What is to be done with a partition group.
public enum GroupOrder: Hashable, Sendable {
    /// These brokers are to have it; the first is to lead.
    case move(to: [Int32])
    /// Nobody is to have it who has not already: what is under way is cancelled.
    case stay
    /// The one that is to lead takes over at once.
    case elect
    /// Those of its replicas that are there go on without the others, and choose among their logs. What only the others had is lost.
    case goOnWithoutOthers
}

/// What came of orders that were given together.
public struct GroupOrderOutcome: Sendable {
    public var token: UInt64
    /// By group, why the order could not be put down: a sentence. All others were.
    public var failures: [UInt16: String]

    public init(token: UInt64, failures: [UInt16: String]) {
        self.token = token
        self.failures = failures
    }
}
