import Intake
import Metadata
import Wire

extension ControlStage {
    /// What a request names, however it does: a topic that is named twice is answered once, and stays, as in Kafka.
    private enum Named: Hashable {
        case known(Uuid)
        case unknown(name: String?, id: Uuid)
    }

    mutating func handleDeleteTopics(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(DeleteTopicsRequest.self)
        // Before version 6 topics are named in a list of their own.
        let asked = (message.topics + message.topicNames.map { .init(name: $0) }).map { (topic: $0, known: known($0)) }
        let named = asked.map { topic, known in known.map { Named.known($0.id) } ?? .unknown(name: topic.name, id: topic.topicId) }
        let counts = Dictionary(named.map { ($0, 1) }, uniquingKeysWith: +)
        var answered: Set<Named> = []
        var response = DeleteTopicsResponse()
        var changes: [MetadataChange] = []
        for (index, (topic, known)) in asked.enumerated() where answered.insert(named[index]).inserted {
            var answer = DeleteTopicsResponse.Topic()
            answer.name = topic.name
            answer.topicId = topic.topicId
            do throws(Flaw) {
                guard counts[named[index]] == 1 else { throw Flaw(.invalidRequest, "the topic is named twice") }
                guard (topic.name == nil) != (topic.topicId == .zero) else { throw Flaw(.invalidRequest, "a topic is named by its name or by its id") }
                guard let known else { throw Flaw(topic.name == nil ? .unknownTopicId : .unknownTopicOrPartition, "there is no such topic") }
                answer.name = known.name
                answer.topicId = known.id
                guard !TopicName.isInternal(known.name) else {
                    throw Flaw(.invalidTopicException, "consumer groups are kept in this topic: it can't be deleted")
                }
                changes.append(.deleteTopic(id: TopicID(known.id)))
            } catch { answer.refuse(error) }
            response.topics.append(answer)
        }
        guard !changes.isEmpty else { return try answer(response, request, io) }
        propose(changes, .deleteTopics(response), request, io)
    }

    private func known(_ topic: DeleteTopicsRequest.Topic) -> MetadataState.StoredTopic? {
        if let name = topic.name { return planned.topics[name] }
        return planned.topics.values.first { $0.id == topic.topicId }
    }
}
