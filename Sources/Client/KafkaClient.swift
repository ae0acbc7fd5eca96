import Glibc
import Wire

/// A small client: each call waits for its answer, and goes to the broker that leads the partition.
///
/// It is for tools and tests. It is not thread-safe and keeps one connection per broker.
public final class KafkaClient {
    public struct Address: Hashable, Sendable {
        public var host: String
        public var port: Int32

        public init(host: String, port: Int32) {
            self.host = host
            self.port = port
        }
    }

    public struct TopicPartition: Hashable, Sendable, CustomStringConvertible {
        public var topic: String
        public var partition: Int32

        public init(_ topic: String, _ partition: Int32) {
            self.topic = topic
            self.partition = partition
        }

        /// As errors name it.
        public var description: String { "\(topic) [\(partition)]" }
    }

    /// How long a call may take with all its tries, in milliseconds; also how long one answer may.
    public let timeoutMs: Int
    private let bootstrap: [Address]
    private let connect: (Address) throws -> Connection
    private var connections: [Address: Connection] = [:]
    var leaders: [TopicPartition: Address] = [:]
    /// As metadata told them last.
    private(set) var topicIds: [String: Uuid] = [:]

    public convenience init(bootstrap: [Address], clientId: String = "hutong", timeoutMs: Int = 30_000) {
        self.init(bootstrap: bootstrap, timeoutMs: timeoutMs) { address in
            try Connection(host: address.host, port: address.port, clientId: clientId, timeoutMs: timeoutMs)
        }
    }

    init(bootstrap: [Address], timeoutMs: Int, connect: @escaping (Address) throws -> Connection) {
        self.bootstrap = bootstrap
        self.timeoutMs = timeoutMs
        self.connect = connect
    }

    // MARK: - Calls to any broker

    /// Topics by name, or all (nil), with the brokers. Topics that do not exist are created only if `create` says so, and
    /// the broker is set to.
    ///
    /// - Parameter groups: whether partitions are to be told with their partition groups, by brokers that know of them.
    public func metadata(topics: [String]?, create: Bool = false, groups: Bool = false) throws -> MetadataResponse {
        var request = MetadataRequest()
        request.includePartitionGroups = groups
        request.topics = topics.map { $0.map { .init(name: $0) } }
        request.allowAutoTopicCreation = create
        let response = try callAny(request)
        let brokers = Dictionary(
            response.brokers.map { ($0.nodeId, Address(host: $0.host, port: $0.port)) }, uniquingKeysWith: { $1 })
        for topic in response.topics {
            guard let name = topic.name else { continue }
            topicIds[name] = topic.topicId
            for partition in topic.partitions {
                leaders[TopicPartition(name, partition.partitionIndex)] = brokers[partition.leaderId]
            }
        }
        return response
    }

    /// How many partitions a topic has. Throws if it does not exist, and cannot be created.
    public func partitionCount(of topic: String, create: Bool = false) throws -> Int32 {
        try retrying {
            guard let found = try self.metadata(topics: [topic], create: create).topics.first(where: { $0.name == topic })
            else { throw ClientError.protocolMismatch("The broker left the topic \(topic) out of its answer.") }
            try Self.check(found.errorCode, "topic \(topic)", retriable: create)
            return Int32(clamping: found.partitions.count)
        }
    }

    public func createTopics(_ request: CreateTopicsRequest) throws -> CreateTopicsResponse {
        try callAny(request, patienceMs: Int(max(0, request.timeoutMs)))
    }

    public func deleteTopics(_ names: [String]) throws -> DeleteTopicsResponse {
        var request = DeleteTopicsRequest()
        // The version decides which of the two is sent.
        request.topics = names.map { .init(name: $0) }
        request.topicNames = names
        request.timeoutMs = Int32(clamping: timeoutMs)
        return try callAny(request, patienceMs: timeoutMs)
    }

    /// An id for an idempotent producer.
    public func initProducerId() throws -> (id: Int64, epoch: Int16) {
        try retrying {
            let response = try self.callAny(InitProducerIdRequest())
            try Self.check(response.errorCode, "producer id")
            return (response.producerId, response.producerEpoch)
        }
    }

    /// The settings that are in force for a topic, or for a broker by its number.
    public func settings(_ type: ConfigResourceType, _ name: String) throws -> [String: String] {
        var resource = DescribeConfigsRequest.Resource()
        resource.resourceType = type.rawValue
        resource.resourceName = name
        var request = DescribeConfigsRequest()
        request.resources = [resource]
        guard let result = try callAny(request).results.first else {
            throw ClientError.protocolMismatch("The broker left the settings of \(name) out of its answer.")
        }
        try Self.check(result.errorCode, "settings of \(name)", message: result.errorMessage)
        return Dictionary(result.configs.map { ($0.name, $0.value ?? "") }, uniquingKeysWith: { first, _ in first })
    }

    // MARK: - Calls to a partition's leader

    /// Appends one record batch. Answers the offset of its first record; -1 with acks 0.
    ///
    /// - Parameters:
    ///   - resend: whether the batch may be sent again after an error that leaves open whether it arrived: it may if the producer is idempotent.
    ///   - receipt: called with what the broker says of what became of the batch, where it is to be asked; nil: it did not say.
    @discardableResult
    public func produce(
        _ batch: [UInt8], to target: TopicPartition, acks: Int16, resend: Bool = false, receipt: ((Receipt?) -> Void)? = nil
    ) throws -> Int64 {
        var request = ProduceRequest()
        request.acks = acks
        request.timeoutMs = Int32(clamping: timeoutMs)
        request.topics = [.init(name: target.topic, partitions: [.init(index: target.partition, records: batch)])]
        return try retrying(lostAnswers: resend) {
            let leader = try self.leader(of: target)
            guard acks != 0 else {
                try self.use(leader) { try $0.send(request) }
                return -1
            }
            let response = try self.use(leader) { try $0.call(request, patienceMs: self.timeoutMs, wantsReceipt: receipt != nil) }
            guard let answer = response.topics.first?.partitions.first else {
                throw ClientError.protocolMismatch("The broker left \(target) out of its answer.")
            }
            defer { if answer.errorCode == .none { receipt?(response.receipt) } }
            // The batch arrived with an earlier try, whose answer was lost.
            if answer.errorCode == .duplicateSequenceNumber { return answer.baseOffset }
            if answer.errorCode == .requestTimedOut, !resend {
                throw ClientError.connection("\(target): the broker did not reach the acks in time; the batch may yet appear.")
            }
            try Self.check(answer.errorCode, "\(target)", message: answer.errorMessage)
            return answer.baseOffset
        }
    }

    /// The offset for a timestamp, or for one of ``ListOffsetsRequest/Timestamp``; -1: no record is that late.
    public func offset(of target: TopicPartition, at timestamp: Int64) throws -> Int64 {
        var request = ListOffsetsRequest()
        request.topics = [
            .init(name: target.topic, partitions: [.init(partitionIndex: target.partition, timestamp: timestamp)])
        ]
        let what = "offset of \(target)"
        return try retrying {
            let response = try self.use(try self.leader(of: target)) { try $0.call(request) }
            guard let answer = response.topics.first?.partitions.first else {
                throw ClientError.protocolMismatch("The broker left the \(what) out of its answer.")
            }
            try Self.check(answer.errorCode, what)
            return answer.offset
        }
    }

    /// Reads from one broker's partitions. Errors of single partitions are in the answer; those that another leader would
    /// not have make the next call ask who leads.
    public func fetch(_ request: FetchRequest, from leader: Address) throws -> FetchResponse {
        let response = try use(leader) { try $0.call(request, patienceMs: Int(max(0, request.maxWaitMs))) }
        try Self.check(response.errorCode, "fetch")
        for topic in response.topics {
            for partition in topic.partitions where partition.errorCode != .none {
                leaders[TopicPartition(topic.topic, partition.partitionIndex)] = nil
            }
        }
        return response
    }

    /// Who leads a partition, asking for it if it is not known.
    public func leader(of target: TopicPartition) throws -> Address {
        if let leader = leaders[target] { return leader }
        let topic = try metadata(topics: [target.topic]).topics.first { $0.name == target.topic }
        try Self.check(topic?.errorCode ?? .unknownTopicOrPartition, "topic \(target.topic)")
        if let leader = leaders[target] { return leader }
        let exists = topic?.partitions.contains { $0.partitionIndex == target.partition } ?? false
        throw ClientError.refused(
            what: "\(target)", code: exists ? .leaderNotAvailable : .unknownTopicOrPartition, message: nil)
    }

    // MARK: - Ways and errors

    static func check(
        _ code: ErrorCode, _ what: String, message: String? = nil, retriable: Bool = true
    ) throws(ClientError) {
        guard code != .none else { return }
        guard !retriable, code == .unknownTopicOrPartition else {
            throw .refused(what: what, code: code, message: message)
        }
        throw .protocolMismatch("The \(what) does not exist.")
    }

    /// Sends to the first broker that can be reached.
    func callAny<R: Request>(_ request: R, patienceMs: Int = 0) throws -> R.Response {
        var failure: any Error = ClientError.connection("No broker to connect to was named.")
        for address in bootstrap {
            do { return try use(address) { try $0.call(request, patienceMs: patienceMs) } } catch { failure = error }
        }
        throw failure
    }

    /// Runs `body` with the connection to a broker, which is given up if that fails.
    func use<T>(_ address: Address, _ body: (Connection) throws -> T) throws -> T {
        let connection = try connections[address] ?? connect(address)
        // Only a connection whose last answer was read to its end is used again.
        connections[address] = nil
        let result = try body(connection)
        connections[address] = connection
        return result
    }

    /// The next calls ask who leads.
    func forgetLeaders() { leaders.removeAll() }

    /// Repeats `body` while its error may pass, until the time is up.
    func retrying<T>(lostAnswers: Bool = false, _ body: () throws -> T) throws -> T {
        let deadline = ContinuousClock.now + .milliseconds(timeoutMs)
        var pauseMs: UInt32 = 20
        while true {
            do { return try body() } catch let error as ClientError {
                var mayPass = error.isRetriable
                if lostAnswers, case .connection = error { mayPass = true }
                guard mayPass, ContinuousClock.now + .milliseconds(Int(pauseMs)) < deadline else { throw error }
                forgetLeaders()
                usleep(pauseMs * 1000)
                pauseMs = min(pauseMs * 2, 1000)
            }
        }
    }
}
