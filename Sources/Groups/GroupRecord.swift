import Wire

/// A record of `__consumer_offsets`, in the format that Kafka's tools read: its key says of what it is, a value that is nil takes that back.
public enum GroupRecord: Equatable, Sendable {
    case offset(group: String, topic: String, partition: Int32, CommittedOffset?)
    case group(String, GroupMetadataValue?)

    /// The versions in which they are written: those of Kafka 2.3 and later.
    private static let offsetKeyVersion: Int16 = 1
    private static let groupKeyVersion: Int16 = 2
    private static let valueVersion: Int16 = 3

    /// - Parameter timestamp: in milliseconds since 1970.
    public func encode(timestamp: Int64) throws(WireError) -> Record {
        switch self {
        case .offset(let group, let topic, let partition, let offset):
            let key = try OffsetCommitKey(group: group, topic: topic, partition: partition).encode(version: GroupRecord.offsetKeyVersion)
            guard let offset else { return Record(timestamp: timestamp, key: key, value: nil) }
            var value = OffsetCommitValue()
            value.offset = offset.offset
            value.leaderEpoch = offset.leaderEpoch
            value.metadata = offset.metadata
            value.commitTimestamp = offset.committedAt
            return Record(timestamp: timestamp, key: key, value: try value.encode(version: GroupRecord.valueVersion))
        case .group(let id, let metadata):
            let key = try GroupMetadataKey(group: id).encode(version: GroupRecord.groupKeyVersion)
            return Record(timestamp: timestamp, key: key, value: try metadata?.encode(version: GroupRecord.valueVersion))
        }
    }

    /// Nil: it is of a kind that a later version may know.
    public init?(_ record: Record) throws(WireError) {
        guard let key = record.key else { return nil }
        switch try ConsumerOffsetsKey.decode(key) {
        case .offset(let key):
            let value = try record.value.map { value throws(WireError) in try OffsetCommitValue.decode(value) }
            self = .offset(group: key.group, topic: key.topic, partition: key.partition, value.map(CommittedOffset.init))
        case .group(let key):
            self = .group(key.group, try record.value.map { value throws(WireError) in try GroupMetadataValue.decode(value) })
        case .other: return nil
        }
    }
}
