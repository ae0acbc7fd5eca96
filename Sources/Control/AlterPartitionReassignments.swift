import Intake
import Metadata
import Wire

/// Where a request speaks of a partition.
struct PartitionName: Hashable {
    var topic: String
    var partition: Int32
}

extension ControlStage {
    /// Partition groups are moved where a request names all partitions of each, with the same brokers.
    mutating func handleAlterPartitionReassignments(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(AlterPartitionReassignmentsRequest.self)
        var wanted: [PartitionName: [Int32]?] = [:]
        var twice: Set<PartitionName> = []
        for topic in message.topics {
            for partition in topic.partitions {
                let name = PartitionName(topic: topic.name, partition: partition.partitionIndex)
                if wanted.updateValue(partition.replicas, forKey: name) != nil { twice.insert(name) }
            }
        }
        let partitions = partitionsByGroup()
        var orders: [UInt16: GroupOrder] = [:]
        var judged: [UInt16: Flaw] = [:]
        var response = AlterPartitionReassignmentsResponse()
        var places: [PartitionName: UInt16] = [:]
        for topic in message.topics {
            var answer = AlterPartitionReassignmentsResponse.Topic()
            answer.name = topic.name
            for partition in topic.partitions {
                let name = PartitionName(topic: topic.name, partition: partition.partitionIndex)
                let group = group(of: name)
                var flaw = group == nil ? Flaw(.unknownTopicOrPartition, "there is no such partition") : nil
                if twice.contains(name) { flaw = Flaw(.invalidRequest, "the partition is named twice") }
                if let group {
                    places[name] = group
                    if orders[group] == nil, judged[group] == nil {
                        switch order(for: group, partitions[group] ?? [], wanted) {
                        case .success(let order): orders[group] = order
                        case .failure(let found): judged[group] = found
                        }
                    }
                    flaw = flaw ?? judged[group]
                }
                var result = AlterPartitionReassignmentsResponse.Partition()
                result.partitionIndex = partition.partitionIndex
                if let flaw { result.refuse(flaw) }
                answer.partitions.append(result)
            }
            response.responses.append(answer)
        }
        // What is refused for one of its partitions is refused for all.
        for name in twice { if let group = places[name] { orders[group] = nil } }
        guard !orders.isEmpty else { return try answer(response, request, io) }
        order(orders, .reassigned(response, places), request, io)
    }

    /// What a request wants of a group as a whole; or why it can't be had.
    private func order(
        for group: UInt16, _ partitions: [PartitionName], _ wanted: [PartitionName: [Int32]?]
    ) -> Result<GroupOrder, Flaw> {
        let target = directory.target(of: group)
        // Who is not named stays where it is to be.
        let wishes = partitions.map { wanted[$0] ?? target }
        guard let first = wishes.first, wishes.allSatisfy({ $0 == first }) else {
            let some = partitions.prefix(8).map { "\($0.topic)-\($0.partition)" }.joined(separator: ", ") + (partitions.count > 8 ? ", ..." : "")
            return .failure(Flaw(
                .invalidReplicaAssignment,
                "\(partitions.count) partitions share partition group \(group) and its replicas: \(some). Name all of them with the same replicas, or use hutong cluster rebalance"))
        }
        guard let brokers = first else {
            let isUnderWay = Set(directory.leadership(of: group).replicas) != Set(target)
            return isUnderWay ? .success(.stay) : .failure(Flaw(.noReassignmentInProgress, "partition group \(group) is not being moved"))
        }
        guard !brokers.isEmpty, Set(brokers).count == brokers.count else {
            return .failure(Flaw(.invalidReplicaAssignment, "replicas are one broker or several, each once"))
        }
        let known = Set(directory.brokers.map(\.nodeId)).union(target)
        if let stranger = brokers.first(where: { !known.contains($0) }) {
            return .failure(Flaw(.invalidReplicaAssignment, "broker \(stranger) is not there"))
        }
        return .success(.move(to: brokers))
    }

    /// Nil: there is no such partition.
    func group(of name: PartitionName) -> UInt16? {
        table.topic(named: name.topic)?.partitions.place(of: name.partition)?.group
    }

    /// All partitions, by the group that they are in.
    func partitionsByGroup() -> [UInt16: [PartitionName]] {
        var found: [UInt16: [PartitionName]] = [:]
        for topic in table.topics {
            for (number, place) in topic.partitions.enumerated() {
                found[place.group, default: []].append(PartitionName(topic: topic.name, partition: Int32(number)))
            }
        }
        return found
    }
}

extension AlterPartitionReassignmentsResponse {
    /// Refuses the partitions of groups that have a flaw.
    mutating func refuse(_ places: [PartitionName: UInt16], _ flaw: (UInt16) -> Flaw?) {
        for index in responses.indices {
            let topic = responses[index].name
            responses[index].partitions.refuseRest { places[PartitionName(topic: topic, partition: $0.partitionIndex)].flatMap(flaw) }
        }
    }
}
