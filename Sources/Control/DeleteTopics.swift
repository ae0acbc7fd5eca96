import Intake
import Metadata
import Wire

extension ControlStage {
    mutating func handleDeleteTopics(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(DeleteTopicsRequest.self)
        var response = DeleteTopicsResponse()
        var changes: [MetadataChange] = []
        // Before version 6 topics are named in a list of their own.
        let asked = message.topics + message.topicNames.map { name in
            var topic = DeleteTopicsRequest.Topic()
            topic.name = name
            return topic
        }
        for topic in asked {
            var answer = DeleteTopicsResponse.Topic()
            answer.name = topic.name
            answer.topicId = topic.topicId
            let known = topic.name.map { planned.topics[$0] } ?? planned.topics.values.first { $0.id == topic.topicId }
            if let known, TopicName.isInternal(known.name) {
                answer.name = known.name
                answer.refuse(Flaw(.invalidTopicException, "consumer groups are kept in this topic: it can't be deleted"))
            } else if let known, !changes.contains(.deleteTopic(id: TopicID(known.id))) {
                answer.name = known.name
                answer.topicId = known.id
                changes.append(.deleteTopic(id: TopicID(known.id)))
            } else {
                answer.errorCode = topic.name == nil ? .unknownTopicId : .unknownTopicOrPartition
            }
            response.topics.append(answer)
        }
        guard !changes.isEmpty else { return try answer(response, request, io) }
        propose(changes, .deleteTopics(response), request, io)
    }
}
