import Intake
import Metadata
import Wire

extension ControlStage {
    /// The most partitions of one topic.
    private static var partitionLimit: Int32 { 10_000 }

    mutating func handleCreateTopics(_ request: ClientRequest, _ io: Int) throws {
        let message = try CreateTopicsRequest.decode(request.body, version: request.version)
        var response = CreateTopicsResponse()
        var changes: [MetadataChange] = []
        var names: Set<String> = []
        for topic in message.topics {
            var answer = CreateTopicsResponse.Topic()
            answer.name = topic.name
            let isRepeated = !names.insert(topic.name).inserted
            if let (error, reason) = isRepeated ? (.invalidRequest, "the topic is named twice") : flaw(topic) {
                answer.errorCode = error
                answer.errorMessage = reason
                answer.configs = request.version >= 5 ? [] : nil
            } else {
                let change = self.change(for: topic)
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
    private func flaw(_ topic: CreateTopicsRequest.Topic) -> (ErrorCode, String)? {
        if let reason = TopicName.validate(topic.name) { return (.invalidTopicException, reason) }
        if planned.topics[topic.name] != nil { return (.topicAlreadyExists, "topic \(topic.name) exists already") }
        if let other = planned.topics.keys.first(where: { TopicName.collides($0, topic.name) }) {
            return (.invalidTopicException, "\(topic.name) differs from topic \(other) only in '.' and '_'")
        }
        if topic.assignments.isEmpty {
            guard topic.numPartitions == -1 || (1...Self.partitionLimit).contains(topic.numPartitions) else {
                return (.invalidPartitions, "a topic has from 1 to \(Self.partitionLimit) partitions")
            }
            guard topic.replicationFactor == -1 || topic.replicationFactor == 1 else {
                return (.invalidReplicationFactor, "there is one broker, so a topic has 1 replica, not \(topic.replicationFactor)")
            }
        } else if let reason = flaw(topic.assignments) {
            return (.invalidReplicaAssignment, reason)
        }
        for config in topic.configs {
            if let reason = TopicConfig.flaw(config.name, config.value) { return (.invalidConfig, reason) }
        }
        return nil
    }

    private func flaw(_ assignments: [CreateTopicsRequest.Assignment]) -> String? {
        guard assignments.count <= Int(Self.partitionLimit),
            Set(assignments.map(\.partitionIndex)) == Set(0..<Int32(assignments.count))
        else { return "partitions are numbered from 0 without a gap" }
        guard assignments.allSatisfy({ $0.brokerIds == [identity.nodeId] }) else {
            return "the only broker is \(identity.nodeId)"
        }
        return nil
    }

    private func change(for topic: CreateTopicsRequest.Topic) -> MetadataChange {
        var partitions = Int(topic.numPartitions)
        if !topic.assignments.isEmpty { partitions = topic.assignments.count }
        if partitions == -1 { partitions = defaults.partitions }
        let configs = Dictionary(topic.configs.map { ($0.name, $0.value ?? "") }) { $1 }
        return creation(topic.name, partitions: partitions, configs: configs)
    }

    private func describe(_ change: MetadataChange, in answer: inout CreateTopicsResponse.Topic) {
        guard case .createTopic(_, let id, let partitions, let configs) = change else { return }
        answer.topicId = id.uuid
        answer.numPartitions = Int32(partitions.count)
        answer.replicationFactor = 1
        answer.configs = configs.sorted { $0.key < $1.key }.map { name, value in
            var config = CreateTopicsResponse.Config()
            config.name = name
            config.value = value
            config.configSource = ConfigSource.dynamicTopicConfig.rawValue
            return config
        }
    }
}

extension CreateTopicsResponse {
    /// The changes were not made.
    mutating func fail(_ reason: String) {
        for index in topics.indices where topics[index].errorCode == .none {
            topics[index].errorCode = .kafkaStorageError
            topics[index].errorMessage = reason
        }
    }
}
