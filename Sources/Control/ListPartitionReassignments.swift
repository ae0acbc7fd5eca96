import Intake
import Metadata
import Wire

extension ControlStage {
    /// The partitions of groups that are not yet with the brokers that are to have them.
    mutating func handleListPartitionReassignments(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(ListPartitionReassignmentsRequest.self)
        let asked = message.topics.map { topics in
            Dictionary(topics.map { ($0.name, Set($0.partitionIndexes)) }, uniquingKeysWith: { $0.union($1) })
        }
        var underWay: [UInt16: ListPartitionReassignmentsResponse.Partition?] = [:]
        var response = ListPartitionReassignmentsResponse()
        for topic in table.topics where asked?.keys.contains(topic.name) ?? true {
            var answer = ListPartitionReassignmentsResponse.Topic()
            answer.name = topic.name
            for (number, place) in topic.partitions.enumerated() where asked?[topic.name]?.contains(Int32(number)) ?? true {
                let found = underWay[place.group] ?? reassignment(of: place.group)
                underWay[place.group] = .some(found)
                guard var partition = found else { continue }
                partition.partitionIndex = Int32(number)
                answer.partitions.append(partition)
            }
            if !answer.partitions.isEmpty { response.topics.append(answer) }
        }
        try self.answer(response, request, io)
    }

    /// Nil: the group is where it is to be.
    private func reassignment(of group: UInt16) -> ListPartitionReassignmentsResponse.Partition? {
        let having = directory.leadership(of: group).replicas
        let target = directory.target(of: group)
        guard Set(having) != Set(target) else { return nil }
        var partition = ListPartitionReassignmentsResponse.Partition()
        partition.addingReplicas = target.filter { !having.contains($0) }
        partition.removingReplicas = having.filter { !target.contains($0) }
        partition.replicas = having + partition.addingReplicas
        return partition
    }
}
