/// Where metadata is kept: alone in a file of the broker's (`EmbeddedStore`), in a cluster elsewhere. Changes are proposed,
/// and come back committed, in one order for all.
public protocol MetadataStore: AnyObject {
    /// All committed changes.
    var state: MetadataState { get }
    /// Asks for changes to be committed together. The outcome comes back under the token.
    func propose(_ changes: [MetadataChange], token: UInt64)
    /// Goes on with what is under way; returns how much was done.
    func step() -> Int
    /// The next outcome: its changes are in `state` now, or have failed.
    func nextOutcome() -> MetadataOutcome?
    /// Whether nothing is under way.
    var isIdle: Bool { get }
}

public struct MetadataOutcome: Sendable {
    public var token: UInt64
    /// Why the changes were not made; nil: they were.
    public var failure: String?
    /// The changes, as they were made.
    public var changes: [MetadataChange]

    public init(token: UInt64, failure: String?, changes: [MetadataChange]) {
        self.token = token
        self.failure = failure
        self.changes = changes
    }
}
