import Intake
import Metadata
import Wire

extension ControlStage {
    /// Topics and brokers; what is asked for and not there is made, where both sides allow it.
    mutating func handleMetadata(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(MetadataRequest.self)
        var changes: [MetadataChange] = []
        if defaults.autoCreate && message.allowAutoTopicCreation {
            for name in (message.topics ?? []).compactMap(\.name)
            where planned.topics[name] == nil && TopicName.validate(name) == nil && !TopicName.isInternal(name) {
                // Where there are too few brokers now, the client is told that there is no such topic, and asks again.
                guard let change = try? creation(name, partitions: defaults.partitions, replicas: directory.defaultReplicas, configs: [:]).get()
                else { continue }
                plan(change)
                changes.append(change)
            }
        }
        guard changes.isEmpty && !hasProposals else { return propose(changes, .metadata(message), request, io) }
        try answer(metadata(message, request.version), request, io)
    }

    /// A change that makes the topic; or why it can't have so many replicas, or so few.
    func creation(
        _ name: String, partitions: Int, replicas: Int, configs: [String: String]
    ) -> Result<MetadataChange, Flaw> {
        directory.groups(replicas: replicas).mapError { Flaw(.invalidReplicationFactor, $0.reason) }.flatMap { groups in
            if let reason = TopicConfig.flaw(replicas: replicas, TopicConfig.settings(configs, defaults: planned.topicDefaults(defaults.settings))) {
                return .failure(Flaw(.invalidConfig, reason))
            }
            return .success(
                .createTopic(
                    name: name, id: TopicID(.random()), partitions: planned.places(partitions: partitions, groups: groups), configs: configs))
        }
    }

    func metadata(_ message: MetadataRequest, _ version: Int16) -> MetadataResponse {
        var response = MetadataResponse()
        response.brokers = directory.brokers.map { address in
            var broker = MetadataResponse.Broker()
            broker.nodeId = address.nodeId
            broker.host = address.host
            broker.port = address.port
            return broker
        }
        response.clusterId = planned.clusterId
        response.controllerId = directory.controller
        if message.includeClusterAuthorizedOperations { response.clusterAuthorizedOperations = AuthorizedOperations.cluster }
        // In version 0 an empty list means all topics; later null does.
        if let asked = message.topics, version > 0 || !asked.isEmpty {
            response.topics = asked.map { self.topic($0, withGroups: message.includePartitionGroups) }
        } else {
            response.topics = table.topics.map { self.topic($0, withGroups: message.includePartitionGroups) }
        }
        if message.includeTopicAuthorizedOperations {
            for index in response.topics.indices where response.topics[index].name != nil {
                response.topics[index].topicAuthorizedOperations = AuthorizedOperations.topic
            }
        }
        return response
    }

    private func topic(_ asked: MetadataRequest.Topic, withGroups: Bool) -> MetadataResponse.Topic {
        let known = asked.name.map { table.topic(named: $0) } ?? table.topic(id: asked.topicId)
        if let known { return topic(known, withGroups: withGroups) }
        var answer = MetadataResponse.Topic()
        answer.name = asked.name
        answer.topicId = asked.topicId
        if let name = asked.name {
            answer.errorCode = TopicName.validate(name) == nil ? .unknownTopicOrPartition : .invalidTopicException
        } else {
            answer.errorCode = .unknownTopicId
        }
        return answer
    }

    private func topic(_ known: Topic, withGroups: Bool) -> MetadataResponse.Topic {
        var answer = MetadataResponse.Topic()
        answer.name = known.name
        answer.topicId = known.id
        answer.isInternal = TopicName.isInternal(known.name)
        var leaderships: [UInt16: GroupLeadership] = [:]
        answer.partitions = known.partitions.enumerated().map { number, place in
            var partition = MetadataResponse.Partition()
            partition.partitionIndex = Int32(number)
            if withGroups { partition.group = place.group }
            let leadership = leaderships[place.group] ?? directory.leadership(of: place.group)
            leaderships[place.group] = leadership
            partition.leaderId = leadership.leader ?? -1
            if leadership.leader == nil { partition.errorCode = .leaderNotAvailable }
            partition.leaderEpoch = Int32(truncatingIfNeeded: leadership.epoch)
            partition.replicaNodes = leadership.replicas
            partition.isrNodes = leadership.inSync
            partition.offlineReplicas = leadership.replicas.filter { !leadership.live.contains($0) }
            return partition
        }
        return answer
    }
}
