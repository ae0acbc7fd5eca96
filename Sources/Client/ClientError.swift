import Wire

/// Why a call to a broker failed.
public enum ClientError: Error, Sendable, CustomStringConvertible {
    /// The connection could not be made, broke, or did not answer in time: a sentence.
    case connection(String)
    /// The broker does not serve the API in a version that we do, or says what is not of the protocol: a sentence.
    case protocolMismatch(String)
    /// What was asked for is not there: a sentence.
    case nowhere(String)
    /// The broker refused, with what it said about it.
    case refused(what: String, code: ErrorCode, message: String?)

    public var description: String {
        switch self {
        case .connection(let sentence), .protocolMismatch(let sentence), .nowhere(let sentence): sentence
        case .refused(let what, let code, let message):
            "\(what): \(code.name)" + (message.map { " (\($0))" } ?? "")
        }
    }

    /// Whether the same call can succeed a moment later, perhaps at another broker.
    var isRetriable: Bool {
        guard case .refused(_, let code, _) = self else { return false }
        switch code {
        case .notLeaderOrFollower, .leaderNotAvailable, .unknownTopicOrPartition, .unknownTopicId, .notController, .brokerNotAvailable,
            .replicaNotAvailable, .fencedLeaderEpoch, .unknownLeaderEpoch, .offsetNotAvailable, .notEnoughReplicas,
            .notEnoughReplicasAfterAppend, .coordinatorLoadInProgress, .coordinatorNotAvailable, .notCoordinator, .requestTimedOut,
            .kafkaStorageError:
            return true
        default: return false
        }
    }
}
