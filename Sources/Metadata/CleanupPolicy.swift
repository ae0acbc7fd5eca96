/// What becomes of a topic's old records: Kafka's `cleanup.policy`.
public struct CleanupPolicy: OptionSet, BitwiseCopyable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// They are deleted, by age and size.
    public static let delete = CleanupPolicy(rawValue: 1)
    /// Of each key the latest stays.
    public static let compact = CleanupPolicy(rawValue: 2)

    /// Nil where the text is none: names, with commas between them.
    public init?(_ text: String) {
        self = []
        for name in text.split(separator: ",") {
            switch name.trimmingSpaces {
            case "delete": insert(.delete)
            case "compact": insert(.compact)
            default: return nil
            }
        }
        if isEmpty { return nil }
    }

    /// As Kafka writes it.
    public var text: String {
        let names: [(CleanupPolicy, String)] = [(.compact, "compact"), (.delete, "delete")]
        return names.filter { contains($0.0) }.map(\.1).joined(separator: ",")
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        var rest = self
        while rest.first == " " { rest.removeFirst() }
        while rest.last == " " { rest.removeLast() }
        return rest
    }
}

/// When a compacted topic's partitions are cleaned.
public struct CompactionSettings: BitwiseCopyable, Sendable, Equatable {
    /// How much of an archive has to be dirty, as a share of its bytes: `min.cleanable.dirty.ratio`.
    public var minDirtyRatio: Double
    /// Younger records are left alone, in milliseconds: `min.compaction.lag.ms` (KIP-58).
    public var minLagMs: Int64
    /// After so long records are cleaned though little is dirty, in milliseconds: `max.compaction.lag.ms` (KIP-354).
    public var maxLagMs: Int64
    /// How long tombstones are kept, in milliseconds: `delete.retention.ms`.
    public var deleteRetentionMs: Int64

    public init(minDirtyRatio: Double = 0.5, minLagMs: Int64 = 0, maxLagMs: Int64 = .max, deleteRetentionMs: Int64 = 86_400_000) {
        self.minDirtyRatio = minDirtyRatio
        self.minLagMs = minLagMs
        self.maxLagMs = maxLagMs
        self.deleteRetentionMs = deleteRetentionMs
    }
}
