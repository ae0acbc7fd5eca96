import Wire

/// Why something that was asked for can't be done: the error, and a sentence.
struct Flaw: Error {
    let error: ErrorCode
    let reason: String

    init(_ error: ErrorCode, _ reason: String) {
        self.error = error
        self.reason = reason
    }

    /// BROKER_LOGGER (KIP-412).
    static let loggers = Flaw(.invalidRequest, "loggers can't be told or altered one by one: the broker's setting log.level counts for all, and is read when it starts")
}

/// A part of an answer that can be refused while others are not.
protocol Refusable {
    var errorCode: ErrorCode { get set }
    var errorMessage: String? { get set }
}

extension CreateTopicsResponse.Topic: Refusable {}
extension DeleteTopicsResponse.Topic: Refusable {}
extension CreatePartitionsResponse.Result: Refusable {}
extension DescribeConfigsResponse.Result: Refusable {}
extension AlterConfigsResponse.Resource: Refusable {}
extension IncrementalAlterConfigsResponse.Resource: Refusable {}
extension AlterPartitionReassignmentsResponse.Partition: Refusable {}
extension ElectLeadersResponse.Partition: Refusable {}

extension Refusable {
    mutating func refuse(_ flaw: Flaw) {
        errorCode = flaw.error
        errorMessage = flaw.reason
    }
}

extension Array where Element: Refusable {
    /// Refuses those that have a flaw, but for what was refused before.
    mutating func refuseRest(_ flaw: (Element) -> Flaw?) {
        for index in indices where self[index].errorCode == .none {
            if let found = flaw(self[index]) { self[index].refuse(found) }
        }
    }
}
