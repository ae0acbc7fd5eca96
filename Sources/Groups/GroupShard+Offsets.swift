import Wire

// OffsetCommit, OffsetFetch, OffsetDelete: what each comes to on one shard. What changes it stands in records, which count once they are stored.
extension GroupShard {
    /// What makes a commit last, and the answer to it once that has been stored.
    /// - Parameters:
    ///   - metadataLimit: the most bytes that may be kept with an offset (offset.metadata.max.bytes).
    ///   - exists: whether there is such a partition.
    public mutating func commit(
        _ request: OffsetCommitRequest, metadataLimit: Int, now: ConsumerGroup.Moments, exists: (String, Int32) -> Bool
    ) -> (records: [GroupRecord], answer: OffsetCommitResponse) {
        let flaw = commitFlaw(request, now)
        var records: [GroupRecord] = []
        var answer = OffsetCommitResponse()
        answer.topics = request.topics.map { topic in
            var partitions: [OffsetCommitResponse.Partition] = []
            for asked in topic.partitions {
                var error = flaw ?? .none
                let metadata = asked.committedMetadata ?? ""
                if error == .none, !exists(topic.name, asked.partitionIndex) { error = .unknownTopicOrPartition }
                if error == .none, metadata.utf8.count > metadataLimit { error = .offsetMetadataTooLarge }
                if error == .none {
                    let offset = CommittedOffset(
                        offset: asked.committedOffset, leaderEpoch: asked.committedLeaderEpoch, metadata: metadata,
                        committedAt: asked.commitTimestamp >= 0 ? asked.commitTimestamp : now.wall)
                    records.append(.offset(group: request.groupId, topic: topic.name, partition: asked.partitionIndex, offset))
                }
                partitions.append(OffsetCommitResponse.Partition(partitionIndex: asked.partitionIndex, errorCode: error))
            }
            return OffsetCommitResponse.Topic(name: topic.name, partitions: partitions)
        }
        return (records, answer)
    }

    /// Who is no member of anything may commit for a group that is not there: it is there then.
    private mutating func commitFlaw(_ request: OffsetCommitRequest, _ now: ConsumerGroup.Moments) -> ErrorCode? {
        guard entries[request.groupId] != nil else { return request.generationId < 0 ? nil : .illegalGeneration }
        return withGroup(request.groupId) {
            $0.commitFlaw(member: request.memberId, instance: request.groupInstanceId, generation: request.generationId, now: now)
        } ?? nil
    }

    /// How far a group has read. A group that is not there has read nothing.
    /// - Parameter topics: nil: all for which there are offsets.
    public func offsets(of group: String, _ topics: [OffsetFetchRequest.Topic]?) -> [OffsetFetchResponse.Topic] {
        let known = entries[group]?.offsets
        func answer(_ partition: Int32, _ offset: CommittedOffset?) -> OffsetFetchResponse.Partition {
            var answer = OffsetFetchResponse.Partition(partitionIndex: partition, committedOffset: offset?.offset ?? -1)
            answer.committedLeaderEpoch = offset?.leaderEpoch ?? -1
            answer.metadata = offset?.metadata ?? ""
            return answer
        }
        if let topics {
            return topics.map { topic in
                OffsetFetchResponse.Topic(name: topic.name, partitions: topic.partitionIndexes.map { answer($0, known?[topic.name, $0]) })
            }
        }
        return (known?.topics ?? [:]).sorted { $0.key < $1.key }.map { name, partitions in
            OffsetFetchResponse.Topic(name: name, partitions: partitions.sorted { $0.key < $1.key }.map { answer($0.key, $0.value) })
        }
    }

    /// What takes offsets back (KIP-496); those of topics that a member has subscribed to stay.
    public func deleteOffsets(_ request: OffsetDeleteRequest) -> (records: [GroupRecord], answer: OffsetDeleteResponse) {
        var answer = OffsetDeleteResponse()
        guard let entry = entries[request.groupId] else {
            answer.errorCode = .groupIdNotFound
            return ([], answer)
        }
        let subscribed = entry.group.subscribedTopics
        if subscribed == nil, !entry.group.members.isEmpty {
            answer.errorCode = .nonEmptyGroup
            return ([], answer)
        }
        var records: [GroupRecord] = []
        answer.topics = request.topics.map { topic in
            let isSubscribed = subscribed?.contains(topic.name) ?? false
            var result = OffsetDeleteResponse.Topic()
            result.name = topic.name
            result.partitions = topic.partitions.map { asked in
                var partition = OffsetDeleteResponse.Partition()
                partition.partitionIndex = asked.partitionIndex
                if isSubscribed {
                    partition.errorCode = .groupSubscribedToTopic
                } else if entry.offsets[topic.name, asked.partitionIndex] != nil || isUnderWay(request.groupId, topic.name, asked.partitionIndex) {
                    records.append(.offset(group: request.groupId, topic: topic.name, partition: asked.partitionIndex, nil))
                }
                return partition
            }
            return result
        }
        return (records, answer)
    }

    /// What takes back all offsets of topics that are gone.
    public func offsets(ofTopics gone: Set<String>) -> [GroupRecord] {
        entries.sorted { $0.key < $1.key }.flatMap { id, entry in
            entry.offsets.topics.filter { gone.contains($0.key) }.sorted { $0.key < $1.key }.flatMap { topic, partitions in
                partitions.keys.sorted().map { GroupRecord.offset(group: id, topic: topic, partition: $0, nil) }
            }
        }
    }

    /// What takes back the offsets that have been kept long enough, and groups with nothing left (KIP-211): of a group without members, from when it became so; of
    /// one that never had any, from each commit; of one of consumers, those of topics that none of them has subscribed to.
    /// - Parameters:
    ///   - retention: offsets.retention.minutes, in milliseconds.
    ///   - wall: in milliseconds since 1970.
    public func expired(retention: Int64, wall: Int64) -> [GroupRecord] {
        var records: [GroupRecord] = []
        for (id, entry) in entries.sorted(by: { $0.key < $1.key }) {
            var left = 0
            for (topic, partitions) in entry.offsets.topics.sorted(by: { $0.key < $1.key }) {
                for (partition, offset) in partitions.sorted(by: { $0.key < $1.key }) {
                    if !isUnderWay(id, topic, partition), let since = entry.group.keepsSince(topic, offset), since <= wall - retention {
                        records.append(.offset(group: id, topic: topic, partition: partition, nil))
                    } else {
                        left += 1
                    }
                }
            }
            // As in Kafka, a group of which nothing is left but its name is not kept for that.
            if left == 0, underWay[id] == nil, entry.group.isIdle, entry.group.generation > 0 { records.append(.group(id, nil)) }
        }
        return records
    }
}

extension ConsumerGroup {
    /// The topics that the members have subscribed to; nil: that can't be told, because they are no consumers, or say nothing that can be read.
    var subscribedTopics: Set<String>? {
        guard !members.isEmpty else { return [] }
        guard protocolType == "consumer", let protocolName else { return nil }
        var topics: Set<String> = []
        for member in members.values {
            guard let subscription = try? ConsumerProtocolSubscription.decode(member.metadata(for: protocolName)) else { return nil }
            topics.formUnion(subscription.topics)
        }
        return topics
    }

    /// Since when, in milliseconds since 1970, nobody needs the offset; nil: somebody may.
    func keepsSince(_ topic: String, _ offset: CommittedOffset) -> Int64? {
        if members.isEmpty {
            // Who commits without being a member never makes it change its state.
            return isIdle ? (generation > 0 ? max(stateSince, offset.committedAt) : offset.committedAt) : nil
        }
        guard state == .stable, let subscribedTopics else { return nil }
        return subscribedTopics.contains(topic) ? nil : offset.committedAt
    }
}
