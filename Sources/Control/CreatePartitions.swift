import Intake
import Metadata
import Wire

extension ControlStage {
    mutating func handleCreatePartitions(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(CreatePartitionsRequest.self)
        let counts = Dictionary(message.topics.map { ($0.name, 1) }, uniquingKeysWith: +)
        var response = CreatePartitionsResponse()
        var changes: [MetadataChange] = []
        var answered: Set<String> = []
        // As Kafka: a topic that is named twice stays as it is, and is answered once.
        for topic in message.topics where answered.insert(topic.name).inserted {
            var result = CreatePartitionsResponse.Result()
            result.name = topic.name
            do throws(Flaw) {
                guard counts[topic.name] == 1 else { throw Flaw(.invalidRequest, "the topic is named twice") }
                let change = try change(for: topic)
                if !message.validateOnly {
                    plan(change)
                    changes.append(change)
                }
            } catch { result.refuse(error) }
            response.results.append(result)
        }
        guard !changes.isEmpty else { return try answer(response, request, io) }
        propose(changes, .createPartitions(response), request, io)
    }

    private func change(for wanted: CreatePartitionsRequest.Topic) throws(Flaw) -> MetadataChange {
        guard let topic = planned.topics[wanted.name] else { throw Flaw(.unknownTopicOrPartition, "there is no topic \(wanted.name)") }
        guard !TopicName.isInternal(topic.name) else {
            throw Flaw(.invalidTopicException, "consumer groups are kept in this topic: with more partitions they would be looked for elsewhere")
        }
        let count = topic.partitions.count
        guard wanted.count > count else {
            throw Flaw(.invalidPartitions, "the topic has \(count) partitions already; there is no way to have fewer")
        }
        guard wanted.count <= Self.partitionLimit else { throw Flaw(.invalidPartitions, "a topic has from 1 to \(Self.partitionLimit) partitions") }
        let more = Int(wanted.count) - count
        if let assignments = wanted.assignments, let reason = flaw(assignments, more) { throw Flaw(.invalidReplicaAssignment, reason) }
        let replicas = topic.partitions.first.map { directory.replicas(of: $0.group) } ?? directory.defaultReplicas
        switch directory.groups(replicas: replicas) {
        case .failure(let refusal): throw Flaw(.invalidReplicationFactor, refusal.reason)
        case .success(let groups):
            return .addPartitions(topic: TopicID(topic.id), behind: count, partitions: planned.places(partitions: more, groups: groups))
        }
    }

    private func flaw(_ assignments: [CreatePartitionsRequest.Assignment], _ count: Int) -> String? {
        guard assignments.count == count else { return "there are \(count) new partitions, and assignments of \(assignments.count)" }
        return flaw(replicas: assignments.map(\.brokerIds))
    }
}
