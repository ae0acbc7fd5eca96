import Intake
import Metadata
import Wire

extension ControlStage {
    /// Who coordinates a group: the leader of the partition of `__consumer_offsets` that it belongs to. Where that topic is not there, it is made.
    mutating func handleFindCoordinator(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(FindCoordinatorRequest.self)
        var changes: [MetadataChange] = []
        if planned.topics[TopicName.consumerOffsets] == nil {
            // Where there are too few brokers now, the client is told to ask again.
            let replicas = defaults.offsetsReplicas ?? directory.defaultReplicas
            let configs = ["cleanup.policy": "compact", "retention.ms": "-1", "retention.bytes": "-1"]
            if let change = try? creation(TopicName.consumerOffsets, partitions: defaults.offsetsPartitions, replicas: replicas, configs: configs).get() {
                plan(change)
                changes.append(change)
            }
        }
        guard changes.isEmpty && !hasProposals else { return propose(changes, .coordinator(message), request, io) }
        try answer(coordinators(message, request.version), request, io)
    }

    func coordinators(_ message: FindCoordinatorRequest, _ version: Int16) -> FindCoordinatorResponse {
        var response = FindCoordinatorResponse()
        guard version < 4 else {
            response.coordinators = message.coordinatorKeys.map { coordinator(of: $0, message.keyType) }
            return response
        }
        let found = coordinator(of: message.key, message.keyType)
        response.errorCode = found.errorCode
        response.errorMessage = found.errorMessage
        response.nodeId = found.nodeId
        response.host = found.host
        response.port = found.port
        return response
    }

    private func coordinator(of key: String, _ type: Int8) -> FindCoordinatorResponse.Coordinator {
        var answer = FindCoordinatorResponse.Coordinator()
        answer.key = key
        guard type == FindCoordinatorRequest.KeyType.group.rawValue else {
            answer.errorCode = .invalidRequest
            answer.errorMessage = "there are no transactions yet"
            return answer
        }
        let places = table.topic(named: TopicName.consumerOffsets)?.partitions ?? []
        let place = places.isEmpty ? nil : places[Int(ConsumerOffsetsKey.partition(of: key, count: Int32(places.count)))]
        guard let place, let leader = directory.leadership(of: place.group).leader, let address = directory.brokers.first(where: { $0.nodeId == leader })
        else {
            answer.errorCode = .coordinatorNotAvailable
            return answer
        }
        answer.nodeId = address.nodeId
        answer.host = address.host
        answer.port = address.port
        return answer
    }
}
