import Intake
import Metadata
import Wire

extension ControlStage {
    /// Topics and brokers; what is asked for and not there is made, where both sides allow it.
    mutating func handleMetadata(_ request: ClientRequest, _ io: Int) throws {
        let message = try MetadataRequest.decode(request.body, version: request.version)
        var changes: [MetadataChange] = []
        if defaults.autoCreate && message.allowAutoTopicCreation {
            for name in (message.topics ?? []).compactMap(\.name)
            where planned.topics[name] == nil && TopicName.validate(name) == nil {
                let change = creation(name, partitions: defaults.partitions, configs: [:])
                plan(change)
                changes.append(change)
            }
        }
        guard changes.isEmpty && !hasProposals else { return propose(changes, .metadata(message), request, io) }
        try answer(metadata(message, request.version), request, io)
    }

    /// A change that makes the topic.
    func creation(_ name: String, partitions: Int, configs: [String: String]) -> MetadataChange {
        .createTopic(
            name: name, id: TopicID(.random()),
            partitions: planned.places(partitions: partitions, groups: identity.epochs.count), configs: configs)
    }

    func metadata(_ message: MetadataRequest, _ version: Int16) -> MetadataResponse {
        var response = MetadataResponse()
        var broker = MetadataResponse.Broker()
        broker.nodeId = identity.nodeId
        broker.host = identity.host
        broker.port = identity.port
        response.brokers = [broker]
        response.clusterId = planned.clusterId
        response.controllerId = identity.nodeId
        // In version 0 an empty list means all topics; later null does.
        if let asked = message.topics, version > 0 || !asked.isEmpty {
            response.topics = asked.map { self.topic($0) }
        } else {
            response.topics = table.topics.map { self.topic($0) }
        }
        return response
    }

    private func topic(_ asked: MetadataRequest.Topic) -> MetadataResponse.Topic {
        let known = asked.name.map { table.topic(named: $0) } ?? table.topic(id: asked.topicId)
        if let known { return topic(known) }
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

    private func topic(_ known: Topic) -> MetadataResponse.Topic {
        var answer = MetadataResponse.Topic()
        answer.name = known.name
        answer.topicId = known.id
        answer.partitions = known.partitions.enumerated().map { number, place in
            var partition = MetadataResponse.Partition()
            partition.partitionIndex = Int32(number)
            partition.leaderId = identity.nodeId
            partition.leaderEpoch = Int32(truncatingIfNeeded: identity.epochs[Int(place.group)])
            partition.replicaNodes = [identity.nodeId]
            partition.isrNodes = [identity.nodeId]
            return partition
        }
        return answer
    }
}
