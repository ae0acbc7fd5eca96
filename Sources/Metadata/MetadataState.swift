import Wire

/// A change of the cluster's metadata. The order of changes is the same for everyone who knows them.
public enum MetadataChange: Codable, Sendable, Equatable {
    /// The first of all: the cluster has a name.
    case cluster(id: String)
    case createTopic(name: String, id: TopicID, partitions: [PartitionPlace], configs: [String: String])
    case deleteTopic(id: TopicID)
    /// All producer ids below this may have been given out.
    case producerIds(below: Int64)
    /// The partition group's leader begins this epoch, at this position of its journal. None lower, and not this one, will be
    /// begun again.
    case epoch(group: UInt16, epoch: UInt32, position: UInt64)
    /// The partition group's journal, in a format of that number, has this key.
    case journal(group: UInt16, key: UInt32, format: Int)
}

/// A topic's id in a form that can be stored.
public struct TopicID: Codable, Sendable, Hashable {
    public var high: UInt64
    public var low: UInt64

    public init(_ uuid: Uuid) {
        high = uuid.high
        low = uuid.low
    }

    public var uuid: Uuid { Uuid(high: high, low: low) }
}

/// All metadata, as the sum of its changes.
public struct MetadataState: Sendable {
    public struct StoredTopic: Sendable {
        public var name: String
        public var id: Uuid
        public var partitions: [PartitionPlace]
        public var configs: [String: String]
    }

    public private(set) var clusterId: String?
    public private(set) var topics: [String: StoredTopic] = [:]
    /// By partition group how many partition numbers have been given out; none is given out twice.
    public private(set) var partitionNumbers: [UInt32] = []
    public private(set) var producerIdsBelow: Int64 = 0
    /// By partition group the epochs that were begun, ascending.
    public private(set) var epochs: [UInt16: [EpochStart]] = [:]
    /// By partition group its journal's key and format.
    public private(set) var journals: [UInt16: JournalKey] = [:]

    public struct EpochStart: Sendable, Equatable {
        public var epoch: UInt32
        public var position: UInt64
    }

    public struct JournalKey: Sendable, Equatable {
        public var key: UInt32
        public var format: Int
    }

    public init() {}

    /// How many producer ids are given out together: one that is handed to a client costs a change only now and then.
    public static let producerIdBlock: Int64 = 1000

    /// Why the change makes no sense any more; nil: it does.
    public func flaw(_ change: MetadataChange) -> String? {
        guard case .createTopic(let name, _, let partitions, _) = change else { return nil }
        if topics[name] != nil { return "topic \(name) exists already" }
        let isTaken = partitions.contains { Int($0.group) < partitionNumbers.count && $0.number < partitionNumbers[Int($0.group)] }
        return isTaken ? "another topic was created at the same time; try again" : nil
    }

    /// Takes a change in. One that no longer fits (a topic that exists already) changes nothing.
    public mutating func apply(_ change: MetadataChange) {
        switch change {
        case .cluster(let id): clusterId = clusterId ?? id
        case .createTopic(let name, let id, let partitions, let configs):
            guard topics[name] == nil else { return }
            topics[name] = StoredTopic(name: name, id: id.uuid, partitions: partitions, configs: configs)
            for place in partitions {
                while partitionNumbers.count <= Int(place.group) { partitionNumbers.append(0) }
                // No number is given out twice, so the greatest is never reached; a log that says otherwise is no trap.
                let next = place.number == .max ? .max : place.number + 1
                partitionNumbers[Int(place.group)] = max(partitionNumbers[Int(place.group)], next)
            }
        case .deleteTopic(let id):
            if let name = topics.first(where: { $0.value.id == id.uuid })?.key { topics[name] = nil }
        case .producerIds(let below): producerIdsBelow = max(producerIdsBelow, below)
        case .epoch(let group, let epoch, let position):
            var starts = epochs[group] ?? []
            guard epoch > starts.last?.epoch ?? 0 else { return }
            // An epoch that wrote nothing says nothing of any position.
            while let last = starts.last, last.position >= position { starts.removeLast() }
            starts.append(EpochStart(epoch: epoch, position: position))
            epochs[group] = starts
        case .journal(let group, let key, let format): journals[group] = journals[group] ?? JournalKey(key: key, format: format)
        }
    }

    /// The places for a new topic's partitions: spread evenly over the partition groups, from the least used on.
    public func places(partitions: Int, groups: [UInt16]) -> [PartitionPlace] {
        var next = partitionNumbers
        while next.count <= Int(groups.max() ?? 0) { next.append(0) }
        return (0..<partitions).map { _ in
            let group = Int(groups.min { (next[Int($0)], $0) < (next[Int($1)], $1) } ?? 0)
            defer { next[group] += 1 }
            return PartitionPlace(group: UInt16(group), number: next[group])
        }
    }

    /// The topics as the stages know them.
    public func table(defaults: TopicSettings) -> TopicTable {
        TopicTable(
            topics: topics.values.map { topic in
                Topic(
                    name: topic.name, id: topic.id, partitions: topic.partitions,
                    settings: TopicConfig.settings(topic.configs, defaults: defaults), configs: topic.configs)
            }, partitionNumbers: partitionNumbers)
    }
}
