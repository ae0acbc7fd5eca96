import Client
import Codecs
import Foundation
import Wire

/// What the status page shows of topics, consumer groups, brokers and messages.
enum ClusterView {
    struct Broker: Codable, Sendable {
        var id: Int32
        var host: String
        var port: Int32
        var isController: Bool
        /// How many partitions it leads.
        var leads: Int
    }

    struct Topic: Codable, Sendable {
        var name: String
        var partitions: Int
        var replicas: Int
        var isInternal: Bool
        /// Partitions that nobody leads, or whose replicas are not all in sync.
        var withoutLeader: Int
        var notInSync: Int
    }

    struct Partition: Codable, Sendable {
        var partition: Int32
        var leader: Int32
        var replicas: [Int32]
        var inSync: [Int32]
        /// Nil: nobody could say.
        var start: Int64?
        var end: Int64?
    }

    struct TopicDetail: Codable, Sendable {
        var name: String
        var partitions: [Partition]
        var settings: [String: String]
    }

    struct Text: Codable, Sendable {
        /// As text where it is UTF-8, else in base64; cut off where it is long.
        var text: String
        var isBase64: Bool
        var bytes: Int
        var isCutOff: Bool
    }

    struct Header: Codable, Sendable {
        var key: String
        var value: Text?
    }

    struct Message: Codable, Sendable {
        var partition: Int32
        var offset: Int64
        /// Milliseconds since 1970; nil: none.
        var timestamp: Int64?
        var key: Text?
        /// Nil: a tombstone.
        var value: Text?
        var headers: [Header]
    }

    struct Messages: Codable, Sendable {
        var topic: String
        var partition: Int32
        var start: Int64
        var end: Int64
        var messages: [Message]
    }

    struct Group: Codable, Sendable {
        var id: String
        var state: String
        var kind: String
    }

    struct Member: Codable, Sendable {
        var id: String
        var instance: String?
        var client: String
        var host: String
    }

    struct GroupPartition: Codable, Sendable {
        var topic: String
        var partition: Int32
        var committed: Int64
        var end: Int64?
        var lag: Int64?
    }

    struct GroupDetail: Codable, Sendable {
        var id: String
        var state: String
        var assignor: String
        var members: [Member]
        var partitions: [GroupPartition]
        var lag: Int64
    }

    /// Bytes of a key or value that are shown.
    private static let shown = 1024
    private static let mostMessages = 200

    static func brokers(_ client: KafkaClient) throws -> [Broker] {
        let metadata = try client.metadata(topics: nil)
        var leads: [Int32: Int] = [:]
        for partition in metadata.topics.flatMap(\.partitions) { leads[partition.leaderId, default: 0] += 1 }
        return metadata.brokers.sorted { $0.nodeId < $1.nodeId }.map {
            Broker(id: $0.nodeId, host: $0.host, port: $0.port, isController: $0.nodeId == metadata.controllerId, leads: leads[$0.nodeId] ?? 0)
        }
    }

    static func topics(_ client: KafkaClient) throws -> [Topic] {
        try client.metadata(topics: nil).topics.map { topic in
            Topic(
                name: topic.name ?? "", partitions: topic.partitions.count, replicas: topic.partitions.map(\.replicaNodes.count).max() ?? 0,
                isInternal: topic.isInternal, withoutLeader: topic.partitions.count { $0.leaderId < 0 },
                notInSync: topic.partitions.count { $0.isrNodes.count < $0.replicaNodes.count })
        }.sorted { $0.name < $1.name }
    }

    static func topic(_ name: String, _ client: KafkaClient) throws -> TopicDetail? {
        guard let topic = try client.metadata(topics: [name]).topics.first, topic.errorCode == .none else { return nil }
        let targets = topic.partitions.map { KafkaClient.TopicPartition(name, $0.partitionIndex) }
        let starts = try client.offsets(of: targets, at: ListOffsetsRequest.Timestamp.earliest)
        let ends = try client.offsets(of: targets, at: ListOffsetsRequest.Timestamp.latest)
        let partitions = topic.partitions.sorted { $0.partitionIndex < $1.partitionIndex }.map { each in
            let target = KafkaClient.TopicPartition(name, each.partitionIndex)
            return Partition(
                partition: each.partitionIndex, leader: each.leaderId, replicas: each.replicaNodes, inSync: each.isrNodes, start: starts[target],
                end: ends[target])
        }
        return TopicDetail(name: name, partitions: partitions, settings: try client.settings(.topic, name))
    }

    /// - Parameters:
    ///   - offset: of the first message; nil: the last ones.
    ///   - limit: how many at most.
    static func messages(_ topic: String, _ partition: Int32, from offset: Int64?, limit: Int, _ client: KafkaClient) throws -> Messages? {
        let target = KafkaClient.TopicPartition(topic, partition)
        guard let end = try client.offsets(of: [target], at: ListOffsetsRequest.Timestamp.latest)[target],
            let start = try client.offsets(of: [target], at: ListOffsetsRequest.Timestamp.earliest)[target]
        else { return nil }
        let limit = min(max(limit, 1), mostMessages)
        let first = min(max(offset ?? end - Int64(limit), start), end)
        var messages: [Message] = []
        if first < end {
            let consumer = try Consumer(client, topic: topic, partitions: [partition], start: .offset(first))
            try consumer.poll { _, record in
                messages.append(message(partition, record))
                return messages.count < limit
            }
        }
        return Messages(topic: topic, partition: partition, start: start, end: end, messages: messages)
    }

    private static func message(_ partition: Int32, _ record: Record) -> Message {
        Message(
            partition: partition, offset: record.offset, timestamp: record.timestamp < 0 ? nil : record.timestamp, key: record.key.map(text),
            value: record.value.map(text), headers: record.headers.map { Header(key: $0.key, value: $0.value.map(text)) })
    }

    private static func text(_ bytes: [UInt8]) -> Text {
        let isCutOff = bytes.count > shown
        var part = bytes.prefix(shown)
        // Not in the middle of a character.
        if isCutOff { while let last = part.last, last & 0xc0 == 0x80 || last & 0xc0 == 0xc0, part.count > shown - 4 { part.removeLast() } }
        if let text = String(validating: part, as: UTF8.self) { return Text(text: text, isBase64: false, bytes: bytes.count, isCutOff: isCutOff) }
        return Text(text: Data(bytes.prefix(shown)).base64EncodedString(), isBase64: true, bytes: bytes.count, isCutOff: isCutOff)
    }

    static func groups(_ client: KafkaClient) throws -> [Group] {
        try client.consumerGroups().map { Group(id: $0.groupId, state: $0.groupState, kind: $0.protocolType) }
    }

    static func group(_ id: String, _ client: KafkaClient) throws -> GroupDetail? {
        let group = try client.describe(group: id)
        guard group.groupState != "Dead" else { return nil }
        let committed = try client.committedOffsets(of: id)
        let ends = try client.offsets(of: Array(committed.keys), at: ListOffsetsRequest.Timestamp.latest)
        let partitions = committed.sorted { ($0.key.topic, $0.key.partition) < ($1.key.topic, $1.key.partition) }.map { target, offset in
            GroupPartition(
                topic: target.topic, partition: target.partition, committed: offset, end: ends[target], lag: ends[target].map { max(0, $0 - offset) })
        }
        return GroupDetail(
            id: id, state: group.groupState, assignor: group.protocolData,
            members: group.members.map { Member(id: $0.memberId, instance: $0.groupInstanceId, client: $0.clientId, host: $0.clientHost) },
            partitions: partitions, lag: partitions.compactMap(\.lag).reduce(0, +))
    }
}
