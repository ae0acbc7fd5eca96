import ArgumentParser
import Client
import Wire

struct TopicDescribe: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Show the partitions of topics: leaders, replicas, offsets.")

    @Argument(help: "Names of the topics; none for all.") var names: [String] = []
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    private struct Topic: Encodable {
        let name: String
        let id: String
        let partitions: [Partition]
    }

    private struct Partition: Encodable {
        let partition: Int32
        let leader: Int32
        let leaderEpoch: Int32
        let replicas: [Int32]
        let inSync: [Int32]
        /// Nil where there is no leader to ask.
        let startOffset: Int64?
        let endOffset: Int64?
        let error: String?
    }

    func run() throws {
        let client = try server.client()
        var topics: [Topic] = []
        for topic in try client.metadata(topics: names.isEmpty ? nil : names).topics {
            let name = topic.name ?? ""
            guard topic.errorCode == .none else {
                throw ClientError.refused(what: "topic \(name)", code: topic.errorCode, message: nil)
            }
            let targets = topic.partitions.map { KafkaClient.TopicPartition(name, $0.partitionIndex) }
            let starts = try client.offsets(of: targets, at: ListOffsetsRequest.Timestamp.earliest)
            let ends = try client.offsets(of: targets, at: ListOffsetsRequest.Timestamp.latest)
            let partitions = topic.partitions.sorted { $0.partitionIndex < $1.partitionIndex }.map { partition in
                let target = KafkaClient.TopicPartition(name, partition.partitionIndex)
                return describe(partition, start: starts[target], end: ends[target])
            }
            topics.append(Topic(name: name, id: topic.topicId.description, partitions: partitions))
        }
        topics.sort { $0.name < $1.name }
        guard !json else { return print(try Output.json(topics), terminator: "") }
        for topic in topics { show(topic) }
    }

    private func describe(_ partition: MetadataResponse.Partition, start: Int64?, end: Int64?) -> Partition {
        Partition(
            partition: partition.partitionIndex, leader: partition.leaderId, leaderEpoch: partition.leaderEpoch,
            replicas: partition.replicaNodes, inSync: partition.isrNodes,
            startOffset: start, endOffset: end,
            error: partition.errorCode == .none ? nil : partition.errorCode.name)
    }

    private func show(_ topic: Topic) {
        print("\(topic.name)  id \(topic.id)  partitions \(topic.partitions.count)")
        let rows = topic.partitions.map { partition in
            [
                "\(partition.partition)", "\(partition.leader)", "\(partition.leaderEpoch)", list(partition.replicas),
                list(partition.inSync), partition.startOffset.map { "\($0)" } ?? "-",
                partition.endOffset.map { "\($0)" } ?? "-", partition.error ?? "",
            ]
        }
        let header = ["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN-SYNC", "START", "END", "ERROR"]
        print(Output.table(header, rows))
    }

    private func list(_ numbers: [Int32]) -> String { numbers.map { "\($0)" }.joined(separator: ",") }
}
