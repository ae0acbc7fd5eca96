import Intake
import Metadata
import Wire

extension ControlStage {
    mutating func handleInitProducerId(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(InitProducerIdRequest.self)
        guard message.transactionalId == nil else {
            var response = InitProducerIdResponse()
            response.errorCode = .invalidRequest  // there are no transactions yet
            return try answer(response, request, io)
        }
        guard freeProducerIds.isEmpty else { return try answer(producerId(failed: false), request, io) }
        propose([.producerIds(below: planned.producerIdsBelow + MetadataState.producerIdBlock)], .producerId, request, io)
    }

    /// A block of ids is this broker's. What is left of it when the broker stops is never given out.
    mutating func takeProducerIds(_ changes: [MetadataChange]) {
        for case .producerIds(let below) in changes {
            let first = max(freeProducerIds.upperBound, below - MetadataState.producerIdBlock)
            freeProducerIds = freeProducerIds.isEmpty ? first..<max(below, first) : freeProducerIds
        }
    }

    /// The next id of the block that is at hand.
    mutating func producerId(failed: Bool) -> InitProducerIdResponse {
        var response = InitProducerIdResponse()
        guard let id = freeProducerIds.first else {
            response.errorCode = failed ? .kafkaStorageError : .coordinatorLoadInProgress
            return response
        }
        freeProducerIds.removeFirst()
        response.producerId = id
        return response
    }
}
