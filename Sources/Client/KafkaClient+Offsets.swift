import Wire

extension KafkaClient {
    /// The partitions of a topic that are meant: all where none is named, else those that are, each once, if it has them all.
    public func partitions(of topic: String, named: [Int32]) throws -> [Int32] {
        let count = try partitionCount(of: topic)
        if let missing = named.first(where: { !(0..<count).contains($0) }) {
            throw ClientError.nowhere("\(TopicPartition(topic, missing)) does not exist: the topic has \(count) partition\(count == 1 ? "" : "s").")
        }
        return named.isEmpty ? Array(0..<count) : Set(named).sorted()
    }

    /// The offsets for a timestamp, or for one of ``ListOffsetsRequest/Timestamp``, of many partitions with one call to each leader. Partitions that nobody
    /// leads, or whose leader does not answer for them, are left out.
    public func offsets(of targets: [TopicPartition], at timestamp: Int64) throws -> [TopicPartition: Int64] {
        let unknown = Set(targets.filter { leaders[$0] == nil }.map(\.topic))
        if !unknown.isEmpty { _ = try metadata(topics: unknown.sorted()) }
        var found: [TopicPartition: Int64] = [:]
        for (leader, targets) in Dictionary(grouping: targets.filter { leaders[$0] != nil }, by: { leaders[$0]! }) {
            var request = ListOffsetsRequest()
            request.topics = Self.byTopic(targets).map { topic, partitions in
                .init(name: topic, partitions: partitions.map { .init(partitionIndex: $0, timestamp: timestamp) })
            }
            for topic in try use(leader, { try $0.call(request) }).topics {
                for partition in topic.partitions {
                    let target = TopicPartition(topic.name, partition.partitionIndex)
                    if partition.errorCode == .none { found[target] = partition.offset } else { leaders[target] = nil }
                }
            }
        }
        return found
    }
}
