import Intake
import Metadata
import Wire

extension ControlStage {
    /// The most partitions of one topic.
    static var partitionLimit: Int32 { 10_000 }

    mutating func handleCreateTopics(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(CreateTopicsRequest.self)
        var response = CreateTopicsResponse()
        var changes: [MetadataChange] = []
        let counts = Dictionary(message.topics.map { ($0.name, 1) }, uniquingKeysWith: +)
        var answered: Set<String> = []
        // As Kafka: of a topic that is named twice none is made, and it is answered once.
        for topic in message.topics where answered.insert(topic.name).inserted {
            var answer = CreateTopicsResponse.Topic()
            answer.name = topic.name
            let flaw = counts[topic.name] != 1 ? Flaw(.invalidRequest, "the topic is named twice") : self.flaw(topic)
            switch flaw.map(Result.failure) ?? change(for: topic) {
            case .failure(let flaw):
                answer.refuse(flaw)
                answer.configs = request.version >= 5 ? [] : nil
            case .success(let change):
                describe(change, in: &answer)
                if !message.validateOnly {
                    plan(change)
                    changes.append(change)
                }
            }
            response.topics.append(answer)
        }
        guard !changes.isEmpty else { return try self.answer(response, request, io) }
        propose(changes, .createTopics(response), request, io)
    }

    /// Why the topic can't be made; nil: it can.
    private func flaw(_ topic: CreateTopicsRequest.Topic) -> Flaw? {
        if let reason = TopicName.validate(topic.name) { return Flaw(.invalidTopicException, reason) }
        if planned.topics[topic.name] != nil { return Flaw(.topicAlreadyExists, "topic \(topic.name) exists already") }
        if let other = planned.topics.keys.first(where: { TopicName.collides($0, topic.name) }) {
            return Flaw(.invalidTopicException, "\(topic.name) differs from topic \(other) only in '.' and '_'")
        }
        if topic.assignments.isEmpty {
            guard topic.numPartitions == -1 || (1...Self.partitionLimit).contains(topic.numPartitions) else {
                return Flaw(.invalidPartitions, "a topic has from 1 to \(Self.partitionLimit) partitions")
            }
        } else {
            guard topic.numPartitions == -1, topic.replicationFactor == -1 else {
                return Flaw(.invalidRequest, "partitions and a replication factor can't be named together with assignments: they are -1 then")
            }
            if let reason = flaw(topic.assignments) { return Flaw(.invalidReplicaAssignment, reason) }
        }
        for config in topic.configs {
            if let reason = TopicConfig.flaw(config.name, config.value) { return Flaw(.invalidConfig, reason) }
        }
        return nil
    }

    private func flaw(_ assignments: [CreateTopicsRequest.Assignment]) -> String? {
        guard assignments.count <= Int(Self.partitionLimit),
            Set(assignments.map(\.partitionIndex)) == Set(0..<Int32(assignments.count))
        else { return "partitions are numbered from 0 without a gap" }
        return flaw(replicas: assignments.map(\.brokerIds))
    }

    /// Why partitions can't be given these replicas, one by one; nil: they can.
    func flaw(replicas: [[Int32]]) -> String? {
        guard directory.brokers.count == 1 else {
            return "partitions can't be assigned one by one: many share a journal, which has its replicas as a whole. Name a replication factor"
        }
        guard replicas.allSatisfy({ $0 == [nodeId] }) else { return "the only broker is \(nodeId)" }
        return nil
    }

    private func change(for topic: CreateTopicsRequest.Topic) -> Result<MetadataChange, Flaw> {
        var partitions = Int(topic.numPartitions)
        if !topic.assignments.isEmpty { partitions = topic.assignments.count }
        if partitions == -1 { partitions = defaults.partitions }
        let configs = Dictionary(topic.configs.map { ($0.name, $0.value ?? "") }) { $1 }
        var replicas = Int(topic.replicationFactor)
        if !topic.assignments.isEmpty { replicas = topic.assignments[0].brokerIds.count }
        if replicas == -1 { replicas = directory.defaultReplicas }
        return creation(topic.name, partitions: partitions, replicas: replicas, configs: configs)
    }

    private func describe(_ change: MetadataChange, in answer: inout CreateTopicsResponse.Topic) {
        guard case .createTopic(_, let id, let partitions, let configs) = change else { return }
        answer.topicId = id.uuid
        answer.numPartitions = Int32(partitions.count)
        answer.replicationFactor = Int16(partitions.first.map { directory.replicas(of: $0.group) } ?? 1)
        answer.configs = configs.sorted { $0.key < $1.key }.map { name, value in
            var config = CreateTopicsResponse.Config()
            config.name = name
            config.value = value
            config.configSource = ConfigSource.dynamicTopicConfig.rawValue
            return config
        }
    }
}
