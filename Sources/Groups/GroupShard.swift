import Wire

/// The groups of one partition of `__consumer_offsets`, as its log says up to some offset.
public struct GroupShard: Sendable {
    /// A group and what it has committed.
    public struct Entry: Sendable {
        public var group: ConsumerGroup
        public var offsets = GroupOffsets()
        /// The group as the log says it is; nil: the log says nothing of it.
        public fileprivate(set) var stored: GroupMetadataValue?

        init(group: ConsumerGroup) { self.group = group }

        /// What the log says of the group, in as few records as it takes.
        func records(_ id: String) -> [GroupRecord] {
            let offsets = offsets.topics.flatMap { topic, partitions in
                partitions.map { GroupRecord.offset(group: id, topic: topic, partition: $0.key, $0.value) }
            }
            return stored.map { [.group(id, $0)] + offsets } ?? offsets
        }
    }

    private let limits: GroupLimits
    public private(set) var entries: [String: Entry] = [:]
    /// All records before this offset are in it.
    public private(set) var nextOffset: Int64 = 0

    public init(limits: GroupLimits) { self.limits = limits }

    public subscript(id: String) -> Entry? { entries[id] }

    /// Has a group of that id, if it must be with nothing in it.
    public mutating func make(_ id: String, wall: Int64) {
        if entries[id] == nil { entries[id] = Entry(group: ConsumerGroup(id: id, limits: limits, wall: wall)) }
    }

    public mutating func withGroup<Result>(_ id: String, _ body: (inout ConsumerGroup) -> Result) -> Result? {
        guard entries[id] != nil else { return nil }
        return body(&entries[id]!.group)
    }

    /// A group of which nothing is left need not be remembered.
    public mutating func forgetIfEmpty(_ id: String) {
        guard let entry = entries[id], entry.group.isIdle, entry.group.generation == 0, entry.offsets.isEmpty else { return }
        entries[id] = nil
    }

    // MARK: The log

    /// Takes in what a record says. What is taken in again, in the same order, changes nothing.
    /// - Parameters:
    ///   - keepsMembers: this broker coordinates the groups, and knows their members better than the log.
    ///   - wall: the record's time, in milliseconds since 1970.
    public mutating func apply(_ record: GroupRecord, keepsMembers: Bool, wall: Int64) {
        switch record {
        case .offset(let id, let topic, let partition, let offset):
            if offset != nil { make(id, wall: wall) }
            guard entries[id] != nil else { return }
            entries[id]!.offsets[topic, partition] = offset
            if offset == nil { forgetIfEmpty(id) }
        case .group(let id, let metadata):
            guard !keepsMembers else {
                entries[id]?.stored = metadata
                // What the log says of members is older than what this broker knows; but who was deleted is gone, unless somebody has come meanwhile.
                if metadata == nil, let entry = entries[id], entry.group.isIdle, entry.offsets.isEmpty { entries[id] = nil }
                return
            }
            if let metadata {
                make(id, wall: wall)
                entries[id]!.group = ConsumerGroup(id: id, limits: limits, stored: metadata, wall: wall)
                entries[id]!.stored = metadata
            } else if entries[id] != nil {
                entries[id]!.group = ConsumerGroup(id: id, limits: limits, wall: wall)
                entries[id]!.stored = nil
                forgetIfEmpty(id)
            }
        }
    }

    /// The log has been taken in up to there.
    public mutating func advance(to offset: Int64) { nextOffset = max(nextOffset, offset) }
}
