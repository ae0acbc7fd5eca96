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

    /// A partition's offset on its way into the log.
    struct UnderWay: Sendable {
        var count = 0
        /// The topic's, when it was sent.
        var topicId: Uuid?
    }

    private let limits: GroupLimits
    /// What was committed and is not known to be stored, by group: what takes offsets back reckons with it, because it will stand before that in the log.
    private(set) var underWay: [String: [PartitionName: UnderWay]] = [:]
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

    // MARK: What is on its way into the log

    /// Records are sent to the log.
    /// - Parameter topicId: of a topic as it is now.
    public mutating func begin(_ records: [GroupRecord], topicId: (String) -> Uuid?) {
        for case .offset(let group, let topic, let partition, .some) in records {
            underWay[group, default: [:]][PartitionName(topic, partition), default: UnderWay()].count += 1
            underWay[group]![PartitionName(topic, partition)]!.topicId = topicId(topic)
        }
    }

    /// What has become of them is known. What they say is taken in by `apply`.
    /// - Returns: what takes back offsets of topics that have gone meanwhile.
    public mutating func end(_ records: [GroupRecord], topicId: (String) -> Uuid?) -> [GroupRecord] {
        var orphans: [GroupRecord] = []
        for case .offset(let group, let topic, let partition, .some) in records {
            let name = PartitionName(topic, partition)
            guard let sent = underWay[group]?[name] else { continue }
            if sent.topicId != topicId(topic) { orphans.append(.offset(group: group, topic: topic, partition: partition, nil)) }
            underWay[group]![name]!.count -= 1
            if sent.count == 1 { underWay[group]![name] = nil }
            if underWay[group]!.isEmpty { underWay[group] = nil }
        }
        return orphans
    }

    func isUnderWay(_ group: String, _ topic: String, _ partition: Int32) -> Bool { underWay[group]?[PartitionName(topic, partition)] != nil }

    /// The partitions of which a group has an offset, or one on its way; in order.
    func partitions(of group: String) -> [PartitionName] {
        let stored = entries[group]?.offsets.topics.flatMap { topic, partitions in partitions.keys.map { PartitionName(topic, $0) } } ?? []
        return Set(stored).union(underWay[group]?.keys.map { $0 } ?? []).sorted()
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

/// A partition of a topic, in the order of names.
struct PartitionName: Hashable, Comparable, Sendable {
    var topic: String
    var partition: Int32

    init(_ topic: String, _ partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    static func < (a: PartitionName, b: PartitionName) -> Bool { (a.topic, a.partition) < (b.topic, b.partition) }
}
