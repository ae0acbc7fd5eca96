import Client
import Wire

/// How far consumer groups are behind.
struct GroupLags: Sendable {
    struct Group: Sendable {
        var id: String
        var members: Int
    }

    struct Lag: Sendable {
        var group: String
        var topic: String
        var records: Int64
    }

    var groups: [Group] = []
    var lags: [Lag] = []
    /// How many groups there are besides.
    var leftOut = 0

    /// So many groups are told of at most: each costs two calls.
    static let most = 1000

    /// Of those that the broker coordinates which is asked, so that the brokers of a cluster together tell of each once.
    static func ask(_ client: KafkaClient) throws -> GroupLags {
        var found = GroupLags()
        let ids = try client.ownConsumerGroups().map(\.groupId)
        found.leftOut = max(0, ids.count - most)
        var committed: [(group: String, offsets: [KafkaClient.TopicPartition: Int64])] = []
        for id in ids.prefix(most) {
            found.groups.append(Group(id: id, members: try client.describe(group: id).members.count))
            committed.append((id, try client.committedOffsets(of: id)))
        }
        let targets = Set(committed.flatMap(\.offsets.keys))
        let ends = try client.offsets(of: targets.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }, at: ListOffsetsRequest.Timestamp.latest)
        for (group, offsets) in committed {
            var topics: [String: Int64] = [:]
            for (target, offset) in offsets where offset >= 0 {
                guard let end = ends[target] else { continue }
                topics[target.topic, default: 0] += max(0, end - offset)
            }
            found.lags += topics.sorted { $0.key < $1.key }.map { Lag(group: group, topic: $0.key, records: $0.value) }
        }
        return found
    }
}
