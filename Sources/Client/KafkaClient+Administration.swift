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

    /// Gives topics more partitions.
    /// - Parameter counts: how many each is to have, with those that are there.
    public func createPartitions(_ counts: [(topic: String, count: Int32)]) throws -> CreatePartitionsResponse {
        var request = CreatePartitionsRequest()
        request.timeoutMs = Int32(clamping: timeoutMs)
        request.topics = counts.map { .init(name: $0, count: $1) }
        return try callAny(request, patienceMs: timeoutMs)
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
