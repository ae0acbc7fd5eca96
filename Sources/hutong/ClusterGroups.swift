import Client
import Wire

/// A cluster's partition groups, put together from what a broker says of topics: those that hold any partition.
struct ClusterGroups {
    struct Group {
        var number: UInt16
        /// -1: nobody leads.
        var leader: Int32
        var epoch: Int32
        /// Who has it, and of those who is in sync.
        var replicas: [Int32]
        var inSync: [Int32]
        /// Who is to have it; the first is to lead.
        var target: [Int32]
        var partitions: [KafkaClient.TopicPartition]

        var preferred: Int32 { target.first ?? -1 }
        var topics: Int { Set(partitions.map(\.topic)).count }
        var isSettled: Bool { Set(replicas) == Set(target) && leader == preferred }
    }

    var clusterId: String?
    var controller: Int32
    var brokers: [MetadataResponse.Broker]
    var groups: [Group]

    init(_ client: KafkaClient) throws {
        let metadata = try client.metadata(topics: nil, groups: true)
        let moving = try client.reassignments()
        clusterId = metadata.clusterId
        controller = metadata.controllerId
        brokers = metadata.brokers.sorted { $0.nodeId < $1.nodeId }
        var found: [UInt16: Group] = [:]
        for topic in metadata.topics {
            guard let name = topic.name, topic.errorCode == .none else { continue }
            for partition in topic.partitions {
                guard let number = partition.group else {
                    throw ClientError.protocolMismatch("The broker does not say which partitions share a partition group: it is no hutong, or an older one.")
                }
                let place = KafkaClient.TopicPartition(name, partition.partitionIndex)
                if found[number] == nil {
                    var target = partition.replicaNodes
                    if let move = moving[place] { target = move.replicas.filter { !move.removingReplicas.contains($0) } }
                    found[number] = Group(
                        number: number, leader: partition.leaderId, epoch: partition.leaderEpoch, replicas: partition.replicaNodes,
                        inSync: partition.isrNodes, target: target, partitions: [])
                }
                found[number]!.partitions.append(place)
            }
        }
        groups = found.values.sorted { $0.number < $1.number }
    }

    static func list(_ brokers: [Int32]) -> String { brokers.map(String.init).joined(separator: ",") }
}
