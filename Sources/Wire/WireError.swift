/// Bytes that do not follow the Kafka protocol, or a value that a version of it has no place for.
public struct WireError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was found and what was expected, as a sentence for the log.
    public let reason: String

    public init(_ reason: String) {
        self.reason = reason
    }

    public var description: String { reason }
}
