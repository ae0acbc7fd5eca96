import Intake
import Metadata
import Wire

extension ControlStage {
    /// Ids are taken from the metadata in blocks, so that one costs a write only now and then; what is left of a block when
    /// the broker stops is never given out.
    private static var block: Int64 { 1000 }

    mutating func handleInitProducerId(_ request: ClientRequest, _ io: Int) throws {
        let message = try InitProducerIdRequest.decode(request.body, version: request.version)
        guard message.transactionalId == nil else {
            var response = InitProducerIdResponse()
            response.errorCode = .invalidRequest  // there are no transactions yet
            return try answer(response, request, io)
        }
        guard freeProducerIds.isEmpty else { return try answer(producerId(failed: false), request, io) }
        let first = planned.producerIdsBelow
        propose([.producerIds(below: first + Self.block)], .producerId, request, io)
    }

    /// The next id, from the block that is at hand or was just committed.
    mutating func producerId(failed: Bool) -> InitProducerIdResponse {
        var response = InitProducerIdResponse()
        if freeProducerIds.isEmpty && !failed {
            freeProducerIds = max(freeProducerIds.upperBound, committedProducerIds - Self.block)..<committedProducerIds
        }
        guard let id = freeProducerIds.first else {
            response.errorCode = failed ? .kafkaStorageError : .coordinatorLoadInProgress
            return response
        }
        freeProducerIds.removeFirst()
        response.producerId = id
        return response
    }
}
