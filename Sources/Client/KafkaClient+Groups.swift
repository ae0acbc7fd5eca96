import Wire

// What operators want of partition groups. Any broker takes it.

extension KafkaClient {
    /// Each topic with its partitions' numbers, as requests name them; in order.
    static func byTopic(_ partitions: [TopicPartition]) -> [(topic: String, partitions: [Int32])] {
        Dictionary(grouping: partitions, by: \.topic).sorted { $0.key < $1.key }.map { ($0, $1.map(\.partition).sorted()) }
    }

    /// Has partitions moved to these brokers, or, where there are none, what is under way cancelled. It is put down when this returns, and goes on then.
    /// Throws the first refusal.
    public func reassign(_ partitions: [TopicPartition], to replicas: [Int32]?) throws {
        var request = AlterPartitionReassignmentsRequest()
        request.timeoutMs = Int32(clamping: timeoutMs)
        request.topics = Self.byTopic(partitions).map { topic, partitions in
            .init(name: topic, partitions: partitions.map { .init(partitionIndex: $0, replicas: replicas) })
        }
        let response = try callAny(request, patienceMs: timeoutMs)
        try Self.check(response.errorCode, "reassignment", message: response.errorMessage)
        for topic in response.responses {
            for partition in topic.partitions {
                try Self.check(partition.errorCode, "\(TopicPartition(topic.name, partition.partitionIndex))", message: partition.errorMessage)
            }
        }
    }

    /// What is being moved.
    public func reassignments() throws -> [TopicPartition: ListPartitionReassignmentsResponse.Partition] {
        let response = try callAny(ListPartitionReassignmentsRequest())
        try Self.check(response.errorCode, "reassignments", message: response.errorMessage)
        var found: [TopicPartition: ListPartitionReassignmentsResponse.Partition] = [:]
        for topic in response.topics {
            for partition in topic.partitions { found[TopicPartition(topic.name, partition.partitionIndex)] = partition }
        }
        return found
    }

    /// Has the partitions led by the brokers that are to lead them; waits until they do. Those that do already, or can't be, are no error.
    /// - Parameter kind: an unclean election lets the replicas that are there go on without the others; it is for partitions that nobody leads.
    /// - Returns: how many have another leader now.
    @discardableResult
    public func electLeaders(_ partitions: [TopicPartition], _ kind: ElectLeadersRequest.Kind = .preferred) throws -> Int {
        var request = ElectLeadersRequest()
        request.electionType = kind.rawValue
        request.timeoutMs = Int32(clamping: timeoutMs)
        request.topicPartitions = Self.byTopic(partitions).map { .init(topic: $0, partitions: $1) }
        let response = try callAny(request, patienceMs: timeoutMs)
        try Self.check(response.errorCode, "election")
        var elected = 0
        for topic in response.replicaElectionResults {
            for partition in topic.partitionResult {
                if partition.errorCode == .none { elected += 1 }
                if [.electionNotNeeded, .preferredLeaderNotAvailable].contains(partition.errorCode) { continue }
                try Self.check(partition.errorCode, "\(TopicPartition(topic.topic, partition.partitionId))", message: partition.errorMessage)
            }
        }
        return elected
    }
}
