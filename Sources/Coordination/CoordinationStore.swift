/// A key of a coordination store, with its value.
public struct StoredEntry: Hashable, Sendable {
    public var key: String
    /// Nil: the key is no longer there.
    public var value: [UInt8]?
    /// The store's revision at which it became so. Revisions only grow, over all keys.
    public var revision: Int64

    public init(key: String, value: [UInt8]?, revision: Int64) {
        self.key = key
        self.value = value
        self.revision = revision
    }
}

/// What a coordination store tells of, in order.
public enum StoreNews: Equatable, Sendable {
    /// All that there is: the first of all news, and again where changes may have been missed. What is not among the entries is not there.
    case snapshot([StoredEntry], revision: Int64)
    /// What has changed, by one revision or several, ascending.
    case changed([StoredEntry])
    /// Whether the store answers now. While it does not, nothing that is known is taken back.
    case available(Bool)
}

/// What came of an attempt to change keys.
public enum SwapOutcome: Equatable, Sendable {
    /// Done, at this revision.
    case done(revision: Int64)
    /// Nothing was changed: a key is no longer what it was taken for.
    case conflict
    /// It may have been done or not: what came of it will be seen in the news. With the reason.
    case unknown(String)
}

/// One key's part in a swap.
public struct StoreChange: Hashable, Sendable {
    public var key: String
    /// The revision that the key must still be of; 0: it must not be there; nil: whatever it is.
    public var expected: Int64?
    /// Its new value; nil: it is only compared.
    public var value: [UInt8]?

    public init(key: String, expected: Int64?, value: [UInt8]?) {
        self.key = key
        self.expected = expected
        self.value = value
    }
}

/// A store that several brokers share and that decides between them: keys that are swapped by revision, leases that end with the one that
/// holds them, and news of every change in the order in which it was made. It is called from any thread, and waits for nothing.
public protocol CoordinationStore: AnyObject, Sendable {
    /// Begins: from then on `take` is called, from any thread but never twice at once, with what there is and what changes.
    /// - Parameter take: must be quick.
    func start(_ take: @escaping @Sendable (StoreNews) -> Void)

    /// Makes the changes together, if all keys are what they are taken for. `finished` is called once, from any thread; what was done comes as news
    /// as well, before or after.
    func swap(_ changes: [StoreChange], _ finished: @escaping @Sendable (SwapOutcome) -> Void)

    /// Keeps the key there, with that value, as long as this process does; when it ends, or is cut off, the key goes away after the lease's time.
    /// Again with another value: replaces it.
    func hold(_ key: String, value: [UInt8])

    /// Gives up what is held, at once, and ends; returns when that is done, or after a second.
    func stop()
}
