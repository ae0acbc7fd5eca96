import Wire

/// A change of the cluster's metadata. The order of changes is the same for everyone who knows them.
public enum MetadataChange: Codable, Sendable, Equatable {
    /// The first of all: the cluster has a name.
    case cluster(id: String)
    case createTopic(name: String, id: TopicID, partitions: [PartitionPlace], configs: [String: String])
    case deleteTopic(id: TopicID)
    /// The topic, which has so many partitions, gets these as well.
    case addPartitions(topic: TopicID, behind: Int, partitions: [PartitionPlace])
    /// Of the topic's settings some are given, and others not any more.
    case configureTopic(id: TopicID, given: [String: String], removed: [String])
    /// As `configureTopic`, of what all brokers are given while they run.
    case configureBrokers(given: [String: String], removed: [String])
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
    /// What all brokers were given while they ran, under the names of their settings.
    public private(set) var brokerConfigs: [String: String] = [:]
    /// How many changes there were that a table of topics shows.
    public private(set) var tableVersion: UInt64 = 0
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
        switch change {
        case .createTopic(let name, _, let partitions, _):
            if topics[name] != nil { return "topic \(name) exists already" }
            return areTaken(partitions) ? "another topic was created at the same time; try again" : nil
        case .addPartitions(let id, let count, let partitions):
            guard let topic = topic(id) else { return "the topic was deleted at the same time" }
            guard topic.partitions.count == count, !areTaken(partitions) else { return "other partitions were created at the same time; try again" }
            return nil
        case .configureTopic(let id, _, _): return topic(id) == nil ? "the topic was deleted at the same time" : nil
        default: return nil
        }
    }

    private func areTaken(_ partitions: [PartitionPlace]) -> Bool {
        partitions.contains { Int($0.group) < partitionNumbers.count && $0.number < partitionNumbers[Int($0.group)] }
    }

    private func topic(_ id: TopicID) -> StoredTopic? { topics.values.first { $0.id == id.uuid } }

    /// Takes a change in. One that no longer fits (a topic that exists already) changes nothing.
    public mutating func apply(_ change: MetadataChange) {
        switch change {
        case .cluster(let id): clusterId = clusterId ?? id
        case .createTopic(let name, let id, let partitions, let configs):
            guard topics[name] == nil else { return }
            topics[name] = StoredTopic(name: name, id: id.uuid, partitions: partitions, configs: configs)
            giveOut(partitions)
            tableVersion += 1
        case .deleteTopic(let id):
            guard let topic = topic(id) else { return }
            topics[topic.name] = nil
            tableVersion += 1
        case .addPartitions(let id, let count, let partitions):
            guard let topic = topic(id), topic.partitions.count == count else { return }
            topics[topic.name]?.partitions += partitions
            giveOut(partitions)
            tableVersion += 1
        case .configureTopic(let id, let given, let removed):
            guard let topic = topic(id) else { return }
            topics[topic.name]?.configs = MetadataState.configured(topic.configs, given, removed)
            tableVersion += 1
        case .configureBrokers(let given, let removed):
            brokerConfigs = MetadataState.configured(brokerConfigs, given, removed)
            tableVersion += 1
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

    /// Settings after a change of them.
    public static func configured(_ configs: [String: String], _ given: [String: String], _ removed: [String]) -> [String: String] {
        configs.filter { !removed.contains($0.key) }.merging(given) { $1 }
    }

    private mutating func giveOut(_ partitions: [PartitionPlace]) {
        for place in partitions {
            while partitionNumbers.count <= Int(place.group) { partitionNumbers.append(0) }
            // No number is given out twice, so the greatest is never reached; a log that says otherwise is no trap.
            let next = place.number == .max ? .max : place.number + 1
            partitionNumbers[Int(place.group)] = max(partitionNumbers[Int(place.group)], next)
        }
    }

    /// The places for new partitions: spread evenly over the partition groups, from the least used on.
    public func places(partitions: Int, groups: [UInt16]) -> [PartitionPlace] {
        var next = partitionNumbers
        while next.count <= Int(groups.max() ?? 0) { next.append(0) }
        return (0..<partitions).map { _ in
            let group = Int(groups.min { (next[Int($0)], $0) < (next[Int($1)], $1) } ?? 0)
            defer { next[group] += 1 }
            return PartitionPlace(group: UInt16(group), number: next[group])
        }
    }

    /// What topics are given where they are given nothing.
    /// - Parameter defaults: of a broker that was given nothing while it ran.
    public func topicDefaults(_ defaults: TopicSettings) -> TopicSettings { TopicConfig.settings(brokers: brokerConfigs, defaults: defaults) }

    /// The topics as the stages know them.
    public func table(defaults: TopicSettings) -> TopicTable {
        let defaults = topicDefaults(defaults)
        return TopicTable(
            topics: topics.values.map { topic in
                Topic(
                    name: topic.name, id: topic.id, partitions: topic.partitions,
                    settings: TopicConfig.settings(topic.configs, defaults: defaults), configs: topic.configs)
            }, partitionNumbers: partitionNumbers)
    }
}
