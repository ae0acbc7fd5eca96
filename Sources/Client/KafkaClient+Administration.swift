import Wire

// Topics that are there already: their settings, their partitions, the begin of their logs.

extension KafkaClient {
    /// Changes settings of a topic, or with the type `.broker` and an empty name what all brokers are given while they run.
    public func alterConfigs(_ type: ConfigResourceType, _ name: String, _ configs: [IncrementalAlterConfigsRequest.Config]) throws {
        var resource = IncrementalAlterConfigsRequest.Resource()
        resource.resourceType = type.rawValue
        resource.resourceName = name
        resource.configs = configs
        var request = IncrementalAlterConfigsRequest()
        request.resources = [resource]
        for outcome in try callAny(request, patienceMs: timeoutMs).responses {
            try Self.check(outcome.errorCode, type == .topic ? "topic \(name)" : "brokers", message: outcome.errorMessage)
        }
    }

    /// The settings of topics, by the topics' names: those that were given, and the defaults of the others.
    public func configs(ofTopics names: [String]) throws -> [String: [DescribeConfigsResponse.Config]] {
        var found: [String: [DescribeConfigsResponse.Config]] = [:]
        for first in stride(from: 0, to: names.count, by: Self.describedAtOnce) {
            var request = DescribeConfigsRequest()
            request.resources = names[first...].prefix(Self.describedAtOnce).map { .init(type: .topic, name: $0) }
            for result in try callAny(request).results {
                try Self.check(result.errorCode, "settings of \(result.resourceName)", message: result.errorMessage)
                found[result.resourceName] = result.configs
            }
        }
        return found
    }

    /// A broker answers for so many topics at once at least.
    private static let describedAtOnce = 100

    /// The settings of a broker, as it tells them itself.
    /// - Parameter id: nil: the one that changes are sent to.
    public func configs(ofBroker id: Int32?) throws -> (broker: Int32, configs: [DescribeConfigsResponse.Config]) {
        let metadata = try metadata(topics: [])
        let id = id ?? metadata.controllerId
        guard let broker = metadata.brokers.first(where: { $0.nodeId == id }) ?? (id < 0 ? metadata.brokers.first : nil) else {
            throw ClientError.nowhere("There is no broker \(id): there are \(metadata.brokers.map { "\($0.nodeId)" }.joined(separator: ", ")).")
        }
        var request = DescribeConfigsRequest()
        request.resources = [.init(type: .broker, name: String(broker.nodeId))]
        guard let result = try use(Address(host: broker.host, port: broker.port), { try $0.call(request) }).results.first else {
            throw ClientError.protocolMismatch("The broker left its settings out of its answer.")
        }
        try Self.check(result.errorCode, "settings of broker \(broker.nodeId)", message: result.errorMessage)
        return (broker.nodeId, result.configs)
    }

    /// Gives a topic more partitions.
    /// - Parameter count: how many it is to have, with those that are there.
    public func createPartitions(of topic: String, count: Int32) throws {
        var request = CreatePartitionsRequest()
        request.timeoutMs = Int32(clamping: timeoutMs)
        request.topics = [.init(name: topic, count: count)]
        for result in try callAny(request, patienceMs: timeoutMs).results {
            try Self.check(result.errorCode, "topic \(result.name)", message: result.errorMessage)
        }
    }

    /// Deletes the records of a partition that are before an offset; -1: all. Returns where its log begins now.
    public func deleteRecords(of target: TopicPartition, before offset: Int64) throws -> Int64 {
        var partition = DeleteRecordsRequest.Partition()
        partition.partitionIndex = target.partition
        partition.offset = offset
        var topic = DeleteRecordsRequest.Topic()
        topic.name = target.topic
        topic.partitions = [partition]
        var request = DeleteRecordsRequest()
        request.timeoutMs = Int32(clamping: timeoutMs)
        request.topics = [topic]
        return try retrying {
            let response = try self.use(try self.leader(of: target)) { try $0.call(request, patienceMs: self.timeoutMs) }
            guard let answer = response.topics.first?.partitions.first else {
                throw ClientError.protocolMismatch("The broker left \(target) out of its answer.")
            }
            try Self.check(answer.errorCode, "\(target)")
            return answer.lowWatermark
        }
    }
}
