import Foundation

/// Why a call of etcd's did not do what it was for.
struct EtcdFailure: Error, CustomStringConvertible {
    enum Kind: Equatable {
        /// No connection came about: etcd has not seen the request.
        case notSent
        /// etcd says, by one of gRPC's codes, that it won't: nothing was changed.
        case refused(code: Int)
        /// Whether etcd has carried it out is not known.
        case unclear
        /// The revision that was asked for is no longer kept.
        case compacted
    }

    var kind: Kind
    var description: String

    /// gRPC's codes that say that a request was looked at and not carried out.
    private static let refusals: Set<Int> = [
        Code.invalidArgument, Code.notFound, Code.alreadyExists, Code.permissionDenied, Code.failedPrecondition, Code.outOfRange,
        Code.unimplemented, Code.unauthenticated,
    ]

    enum Code {
        static let invalidArgument = 3
        static let notFound = 5
        static let alreadyExists = 6
        static let permissionDenied = 7
        static let failedPrecondition = 9
        static let outOfRange = 11
        static let unimplemented = 12
        static let unauthenticated = 16
    }

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// Of an answer that says that something went wrong.
    init(status: Int?, answer: Data) {
        let said = try? JSONDecoder().decode(EtcdErrorAnswer.self, from: answer)
        let text = said?.text ?? String(decoding: answer.prefix(200), as: UTF8.self)
        let code = said?.number ?? 0
        if code == Code.outOfRange && text.contains("has been compacted") {
            kind = .compacted
        } else {
            kind = EtcdFailure.refusals.contains(code) && (status ?? 400) / 100 == 4 ? .refused(code: code) : .unclear
        }
        description = text.isEmpty ? "etcd answered with status \(status ?? 0)" : text
    }

    var isNotFound: Bool { kind == .refused(code: Code.notFound) }

    /// Whether another token may help: etcd has forgotten it, or the users have changed since, or it wants one.
    var isOfToken: Bool {
        switch kind {
        case .refused(Code.unauthenticated): true
        case .refused(Code.invalidArgument):
            description.contains("revision of auth store is old") || description.contains("user name is empty")
        default: false
        }
    }
}

/// An integer of 64 bits, which protobuf's JSON writes as a string.
struct EtcdInteger: Codable, Equatable {
    var value: Int64

    init(_ value: Int64) { self.value = value }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Int64.self) {
            value = number
            return
        }
        let text = try container.decode(String.self)
        if let number = Int64(text) {
            value = number
        } else if let number = UInt64(text) {
            // Ids are unsigned; they are only compared.
            value = Int64(bitPattern: number)
        } else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is not an integer")
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(String(value))
    }
}

// What etcd says. Fields that are zero, false or empty are left out by it.

/// An error's answer; in a stream the error is an object.
struct EtcdErrorAnswer: Decodable {
    private struct Inner: Decodable {
        var message: String?
        var grpcCode: Int?

        enum CodingKeys: String, CodingKey {
            case message
            case grpcCode = "grpc_code"
        }
    }

    var text: String?
    var number: Int?

    private enum CodingKeys: String, CodingKey { case error, message, code }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let inner = try? container.decode(Inner.self, forKey: .error) {
            text = inner.message
            number = inner.grpcCode
        } else {
            text = try container.decodeIfPresent(String.self, forKey: .error) ?? container.decodeIfPresent(String.self, forKey: .message)
            number = try container.decodeIfPresent(Int.self, forKey: .code)
        }
    }
}

struct EtcdHeader: Decodable {
    var clusterId: EtcdInteger?
    var revision: EtcdInteger?

    enum CodingKeys: String, CodingKey {
        case clusterId = "cluster_id"
        case revision
    }
}

struct EtcdKeyValue: Decodable {
    var key: Data
    var value: Data?
    var modRevision: EtcdInteger?
    var lease: EtcdInteger?

    enum CodingKeys: String, CodingKey {
        case key, value, lease
        case modRevision = "mod_revision"
    }
}

struct EtcdRange: Decodable {
    var header: EtcdHeader
    var kvs: [EtcdKeyValue]?
    var more: Bool?
}

struct EtcdTxnAnswer: Decodable {
    var header: EtcdHeader
    var succeeded: Bool?
}

/// A lease, as it is asked for and as it is granted.
struct EtcdLease: Codable {
    var id: EtcdInteger?
    var ttl: EtcdInteger?

    enum CodingKeys: String, CodingKey {
        case id = "ID"
        case ttl = "TTL"
    }
}

struct EtcdToken: Decodable {
    var token: String?
}

struct EtcdNothing: Codable {}

/// One message of a stream.
struct EtcdStreamed<Message: Decodable>: Decodable {
    var result: Message?
}

struct EtcdWatchAnswer: Decodable {
    struct Event: Decodable {
        var type: String?
        var kv: EtcdKeyValue
    }

    var header: EtcdHeader
    var created: Bool?
    var canceled: Bool?
    var cancelReason: String?
    var compactRevision: EtcdInteger?
    var events: [Event]?

    enum CodingKeys: String, CodingKey {
        case header, created, canceled, events
        case cancelReason = "cancel_reason"
        case compactRevision = "compact_revision"
    }
}

// What is asked of etcd.

struct EtcdRangeRequest: Encodable {
    var key: Data
    var rangeEnd: Data?
    var limit: EtcdInteger?
    var revision: EtcdInteger?
    var keysOnly: Bool?

    enum CodingKeys: String, CodingKey {
        case key, limit, revision
        case rangeEnd = "range_end"
        case keysOnly = "keys_only"
    }
}

struct EtcdTxnRequest: Encodable {
    struct Compare: Encodable {
        var key: Data
        var modRevision: EtcdInteger
        private let target = "MOD"
        private let result = "EQUAL"

        init(key: Data, modRevision: Int64) {
            self.key = key
            self.modRevision = EtcdInteger(modRevision)
        }

        enum CodingKeys: String, CodingKey {
            case key, target, result
            case modRevision = "mod_revision"
        }
    }

    struct Put: Encodable {
        var key: Data
        var value: Data
        var lease: EtcdInteger?
    }

    struct Operation: Encodable {
        var put: Put

        enum CodingKeys: String, CodingKey { case put = "request_put" }
    }

    var compare: [Compare]
    var success: [Operation]
}

struct EtcdLogin: Encodable {
    var name: String
    var password: String
}

/// What the client says in a watch's stream.
struct EtcdWatchRequest: Encodable {
    struct Create: Encodable {
        var key: Data
        var rangeEnd: Data
        var startRevision: EtcdInteger

        enum CodingKeys: String, CodingKey {
            case key
            case rangeEnd = "range_end"
            case startRevision = "start_revision"
        }
    }

    var create: Create?
    /// Asks for a sign of life.
    var progress: EtcdNothing?

    enum CodingKeys: String, CodingKey {
        case create = "create_request"
        case progress = "progress_request"
    }
}
