import Wire

// Consumer groups, as who looks after them sees them.

extension KafkaClient {
    /// All groups that the brokers know of, by id.
    public func consumerGroups() throws -> [ListGroupsResponse.Group] {
        var groups: [ListGroupsResponse.Group] = []
        for broker in try metadata(topics: []).brokers {
            groups += try retrying {
                let response = try self.use(Address(host: broker.host, port: broker.port)) { try $0.call(ListGroupsRequest()) }
                try Self.check(response.errorCode, "groups of broker \(broker.nodeId)")
                return response.groups
            }
        }
        return groups.sorted { $0.groupId < $1.groupId }
    }

    /// The groups that the first broker which can be reached coordinates.
    public func ownConsumerGroups() throws -> [ListGroupsResponse.Group] {
        let response = try callAny(ListGroupsRequest())
        try Self.check(response.errorCode, "groups")
        return response.groups.sorted { $0.groupId < $1.groupId }
    }

    /// A group's state and members. One that there is not is in the state Dead.
    public func describe(group id: String) throws -> DescribeGroupsResponse.Group {
        var request = DescribeGroupsRequest()
        request.groups = [id]
        return try callCoordinator(of: id, request) { response throws(ClientError) in
            let group = try Self.answered(response.groups.first, id)
            try Self.check(group.errorCode, "group \(id)")
            return group
        }
    }

    /// What a group has committed, of all partitions.
    public func committedOffsets(of id: String) throws -> [TopicPartition: Int64] {
        var request = OffsetFetchRequest()
        // The version decides which of the two is sent.
        request.groupId = id
        request.topics = nil
        request.groups = [.init(groupId: id, topics: nil)]
        return try callCoordinator(of: id, request) { response throws(ClientError) in
            let group = response.groups.first
            try Self.check(group?.errorCode ?? response.errorCode, "offsets of group \(id)")
            var offsets: [TopicPartition: Int64] = [:]
            for topic in group?.topics ?? response.topics {
                for partition in topic.partitions {
                    let target = TopicPartition(topic.name, partition.partitionIndex)
                    try Self.check(partition.errorCode, "offset of group \(id) in \(target)")
                    offsets[target] = partition.committedOffset
                }
            }
            return offsets
        }
    }

    /// Commits offsets for a group, as one of its members, or if it has none now.
    public func commit(_ offsets: [TopicPartition: Int64], for id: String, memberId: String = "", generation: Int32 = -1) throws {
        var request = OffsetCommitRequest()
        request.groupId = id
        request.memberId = memberId
        request.generationId = generation
        request.topics = Self.byTopic(Array(offsets.keys)).map { topic, partitions in
            .init(name: topic, partitions: partitions.map { .init(partitionIndex: $0, committedOffset: offsets[TopicPartition(topic, $0)] ?? 0) })
        }
        try callCoordinator(of: id, request) { response throws(ClientError) in
            for topic in response.topics {
                for partition in topic.partitions {
                    try Self.check(partition.errorCode, "offset of group \(id) in \(TopicPartition(topic.name, partition.partitionIndex))")
                }
            }
        }
    }

    /// Deletes a group that has no members, with its offsets.
    public func delete(group id: String) throws {
        var request = DeleteGroupsRequest()
        request.groupsNames = [id]
        try callCoordinator(of: id, request) { response throws(ClientError) in
            try Self.check(try Self.answered(response.results.first, id).errorCode, "group \(id)")
        }
    }

    private static func answered<Part>(_ part: Part?, _ id: String) throws(ClientError) -> Part {
        guard let part else { throw .protocolMismatch("The broker left the group \(id) out of its answer.") }
        return part
    }

    /// Calls the broker that coordinates the group; again, where it does so no more, or not yet, or is gone: all that a group is asked for may be asked twice.
    /// - Parameter patienceMs: how long the broker may itself wait before it answers, in milliseconds; nil: as long as a call may take.
    func callCoordinator<R: Request, T>(
        of id: String, _ request: R, patienceMs: Int? = nil, _ take: (R.Response) throws(ClientError) -> T
    ) throws -> T {
        try retrying(lostAnswers: true) {
            let response = try self.use(try self.coordinator(of: id)) { try $0.call(request, patienceMs: patienceMs ?? self.timeoutMs) }
            return try take(response)
        }
    }

    private func coordinator(of id: String) throws -> Address {
        var request = FindCoordinatorRequest()
        // The version decides which of the two is sent.
        request.key = id
        request.coordinatorKeys = [id]
        let response = try callAny(request)
        let found = response.coordinators.first
        try Self.check(found?.errorCode ?? response.errorCode, "coordinator of group \(id)", message: found?.errorMessage ?? response.errorMessage)
        return Address(host: found?.host ?? response.host, port: found?.port ?? response.port)
    }
}
