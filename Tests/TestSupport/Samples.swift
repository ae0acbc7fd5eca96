import Wire

/// A message with every field that a version has, filled in the order of the fields in Kafka's schemas.
public protocol Sampled: Message {
    static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self
}

/// All messages that are declared.
public let sampledMessages: [any Sampled.Type] = [
    ProduceRequest.self, ProduceResponse.self, FetchRequest.self, FetchResponse.self, ListOffsetsRequest.self,
    ListOffsetsResponse.self, MetadataRequest.self, MetadataResponse.self, ApiVersionsRequest.self,
    ApiVersionsResponse.self, CreateTopicsRequest.self, CreateTopicsResponse.self, DeleteTopicsRequest.self,
    DeleteTopicsResponse.self, DeleteRecordsRequest.self, DeleteRecordsResponse.self, InitProducerIdRequest.self, InitProducerIdResponse.self,
    DescribeConfigsRequest.self, DescribeConfigsResponse.self, OffsetForLeaderEpochRequest.self, OffsetForLeaderEpochResponse.self,
    ElectLeadersRequest.self, ElectLeadersResponse.self,
    AlterPartitionReassignmentsRequest.self, AlterPartitionReassignmentsResponse.self, ListPartitionReassignmentsRequest.self,
    ListPartitionReassignmentsResponse.self,
    OffsetCommitRequest.self, OffsetCommitResponse.self, OffsetFetchRequest.self, OffsetFetchResponse.self,
    FindCoordinatorRequest.self, FindCoordinatorResponse.self, JoinGroupRequest.self, JoinGroupResponse.self,
    HeartbeatRequest.self, HeartbeatResponse.self, LeaveGroupRequest.self, LeaveGroupResponse.self, SyncGroupRequest.self,
    SyncGroupResponse.self, DescribeGroupsRequest.self, DescribeGroupsResponse.self, ListGroupsRequest.self, ListGroupsResponse.self,
    AlterConfigsRequest.self, AlterConfigsResponse.self, DescribeLogDirsRequest.self, DescribeLogDirsResponse.self,
    CreatePartitionsRequest.self, CreatePartitionsResponse.self, DeleteGroupsRequest.self, DeleteGroupsResponse.self,
    IncrementalAlterConfigsRequest.self, IncrementalAlterConfigsResponse.self, OffsetDeleteRequest.self, OffsetDeleteResponse.self,
    DescribeClusterRequest.self, DescribeClusterResponse.self, DescribeProducersRequest.self, DescribeProducersResponse.self,
]

extension ApiVersionsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 3 { m.clientSoftwareName = values.string() }
        if v >= 3 { m.clientSoftwareVersion = values.string() }
        return m
    }
}

extension ApiVersionsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.errorCode = values.error()
        m.apiKeys = values.array { values in
            var api = API()
            api.apiKey = values.int16()
            api.minVersion = values.int16()
            api.maxVersion = values.int16()
            return api
        }
        if v >= 1 { m.throttleTimeMs = values.int32() }
        guard v >= 3 else { return m }
        m.supportedFeatures = values.array { values in
            var feature = SupportedFeature()
            feature.name = values.string()
            feature.minVersion = values.int16()
            feature.maxVersion = values.int16()
            return feature
        }
        m.finalizedFeaturesEpoch = values.int64()
        m.finalizedFeatures = values.array { values in
            var feature = FinalizedFeature()
            feature.name = values.string()
            feature.maxVersionLevel = values.int16()
            feature.minVersionLevel = values.int16()
            return feature
        }
        m.zkMigrationReady = values.bool()
        return m
    }
}

extension MetadataRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        func topics(_ values: inout V) -> [Topic] {
            values.array { values in
                var topic = Topic()
                if v >= 10 { topic.topicId = values.uuid() }
                topic.name = v >= 10 ? values.nullableString() : values.string()
                return topic
            }
        }
        var m = Self()
        m.topics = v >= 1 ? values.optional { topics(&$0) } : topics(&values)
        if v >= 4 { m.allowAutoTopicCreation = values.bool() }
        if (8...10).contains(v) { m.includeClusterAuthorizedOperations = values.bool() }
        if v >= 8 { m.includeTopicAuthorizedOperations = values.bool() }
        return m
    }
}

extension MetadataResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 3 { m.throttleTimeMs = values.int32() }
        m.brokers = values.array { values in
            var broker = Broker()
            broker.nodeId = values.int32()
            broker.host = values.string()
            broker.port = values.int32()
            if v >= 1 { broker.rack = values.nullableString() }
            return broker
        }
        if v >= 2 { m.clusterId = values.nullableString() }
        if v >= 1 { m.controllerId = values.int32() }
        m.topics = values.array { values in
            var topic = Topic()
            topic.errorCode = values.error()
            topic.name = v >= 12 ? values.nullableString() : values.string()
            if v >= 10 { topic.topicId = values.uuid() }
            if v >= 1 { topic.isInternal = values.bool() }
            topic.partitions = values.array { values in
                var partition = Partition()
                partition.errorCode = values.error()
                partition.partitionIndex = values.int32()
                partition.leaderId = values.int32()
                if v >= 7 { partition.leaderEpoch = values.int32() }
                partition.replicaNodes = values.array { $0.int32() }
                partition.isrNodes = values.array { $0.int32() }
                if v >= 5 { partition.offlineReplicas = values.array { $0.int32() } }
                return partition
            }
            if v >= 8 { topic.topicAuthorizedOperations = values.bits() }
            return topic
        }
        if (8...10).contains(v) { m.clusterAuthorizedOperations = values.bits() }
        return m
    }
}

extension ProduceRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.transactionalId = values.nullableString()
        m.acks = values.int16()
        m.timeoutMs = values.int32()
        m.topics = values.array { values in
            let name = values.string()
            return Topic(name: name, partitions: values.array { values in
                let index = values.int32()
                return Partition(index: index, records: values.records())
            })
        }
        return m
    }
}

extension NodeEndpoint {
    public static func sample<V: Values>(_ values: inout V) -> Self {
        var node = Self()
        node.nodeId = values.int32()
        node.host = values.string()
        node.port = values.int32()
        node.rack = values.nullableString()
        return node
    }
}

extension LeaderIdAndEpoch {
    public static func sample<V: Values>(_ values: inout V) -> Self {
        let id = values.int32()
        return Self(leaderId: id, leaderEpoch: values.int32())
    }
}

extension ProduceResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.topics = values.array { values in
            let name = values.string()
            return Topic(name: name, partitions: values.array { partition(v, &$0) })
        }
        m.throttleTimeMs = values.int32()
        if v >= 10 { m.nodeEndpoints = values.array { NodeEndpoint.sample(&$0) } }
        return m
    }

    private static func partition<V: Values>(_ v: Int16, _ values: inout V) -> Partition {
        var partition = Partition()
        partition.index = values.int32()
        partition.errorCode = values.error()
        partition.baseOffset = values.int64()
        partition.logAppendTimeMs = values.int64()
        if v >= 5 { partition.logStartOffset = values.int64() }
        if v >= 8 {
            partition.recordErrors = values.array { values in
                let index = values.int32()
                return RecordError(batchIndex: index, message: values.nullableString())
            }
        }
        if v >= 8 { partition.errorMessage = values.nullableString() }
        if v >= 10 { partition.currentLeader = values.optional { LeaderIdAndEpoch.sample(&$0) } }
        return partition
    }
}

extension FetchRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 12 { m.clusterId = values.nullableString() }
        if v < 15 {
            m.replicaId = values.int32()
        } else {
            m.replicaState = values.optional { values in
                var state = ReplicaState()
                state.replicaId = values.int32()
                state.replicaEpoch = values.int64()
                return state
            }
        }
        m.maxWaitMs = values.int32()
        m.minBytes = values.int32()
        m.maxBytes = values.int32()
        m.isolationLevel = values.int8()
        if v >= 7 { m.sessionId = values.int32() }
        if v >= 7 { m.sessionEpoch = values.int32() }
        m.topics = values.array { values in
            var topic = Topic()
            if v < 13 { topic.topic = values.string() } else { topic.topicId = values.uuid() }
            topic.partitions = values.array { values in
                var partition = Partition()
                partition.partition = values.int32()
                if v >= 9 { partition.currentLeaderEpoch = values.int32() }
                partition.fetchOffset = values.int64()
                if v >= 12 { partition.lastFetchedEpoch = values.int32() }
                if v >= 5 { partition.logStartOffset = values.int64() }
                partition.partitionMaxBytes = values.int32()
                if v >= 17 { partition.replicaDirectoryId = values.uuid() }
                return partition
            }
            return topic
        }
        if v >= 7 {
            m.forgottenTopics = values.array { values in
                var topic = ForgottenTopic()
                if v < 13 { topic.topic = values.string() } else { topic.topicId = values.uuid() }
                topic.partitions = values.array { $0.int32() }
                return topic
            }
        }
        if v >= 11 { m.rackId = values.string() }
        return m
    }
}

extension FetchResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        if v >= 7 { m.errorCode = values.error() }
        if v >= 7 { m.sessionId = values.int32() }
        m.topics = values.array { values in
            var topic = Topic()
            if v < 13 { topic.topic = values.string() } else { topic.topicId = values.uuid() }
            topic.partitions = values.array { partition(v, &$0) }
            return topic
        }
        if v >= 16 { m.nodeEndpoints = values.array { NodeEndpoint.sample(&$0) } }
        return m
    }

    private static func partition<V: Values>(_ v: Int16, _ values: inout V) -> Partition {
        var partition = Partition()
        partition.partitionIndex = values.int32()
        partition.errorCode = values.error()
        partition.highWatermark = values.int64()
        partition.lastStableOffset = values.int64()
        if v >= 5 { partition.logStartOffset = values.int64() }
        if v >= 12 {
            partition.divergingEpoch = values.optional { values in
                var epoch = EpochEndOffset()
                epoch.epoch = values.int32()
                epoch.endOffset = values.int64()
                return epoch
            }
            partition.currentLeader = values.optional { LeaderIdAndEpoch.sample(&$0) }
            partition.snapshotId = values.optional { values in
                var snapshot = SnapshotId()
                snapshot.endOffset = values.int64()
                snapshot.epoch = values.int32()
                return snapshot
            }
        }
        partition.abortedTransactions = values.optional { values in
            values.array { values in
                var transaction = AbortedTransaction()
                transaction.producerId = values.int64()
                transaction.firstOffset = values.int64()
                return transaction
            }
        }
        if v >= 11 { partition.preferredReadReplica = values.int32() }
        partition.records = values.records()
        return partition
    }
}

extension ListOffsetsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.replicaId = values.int32()
        if v >= 2 { m.isolationLevel = values.int8() }
        m.topics = values.array { values in
            let name = values.string()
            return Topic(name: name, partitions: values.array { values in
                var partition = Partition()
                partition.partitionIndex = values.int32()
                if v >= 4 { partition.currentLeaderEpoch = values.int32() }
                partition.timestamp = values.int64()
                return partition
            })
        }
        return m
    }
}

extension ListOffsetsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 2 { m.throttleTimeMs = values.int32() }
        m.topics = values.array { values in
            var topic = Topic()
            topic.name = values.string()
            topic.partitions = values.array { values in
                var partition = Partition()
                partition.partitionIndex = values.int32()
                partition.errorCode = values.error()
                partition.timestamp = values.int64()
                partition.offset = values.int64()
                if v >= 4 { partition.leaderEpoch = values.int32() }
                return partition
            }
            return topic
        }
        return m
    }
}

extension CreateTopicsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.topics = values.array { values in
            var topic = Topic()
            topic.name = values.string()
            topic.numPartitions = values.int32()
            topic.replicationFactor = values.int16()
            topic.assignments = values.array { values in
                var assignment = Assignment()
                assignment.partitionIndex = values.int32()
                assignment.brokerIds = values.array { $0.int32() }
                return assignment
            }
            topic.configs = values.array { values in
                let name = values.string()
                return Config(name: name, value: values.nullableString())
            }
            return topic
        }
        m.timeoutMs = values.int32()
        m.validateOnly = values.bool()
        return m
    }
}

extension CreateTopicsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.topics = values.array { values in
            var topic = Topic()
            topic.name = values.string()
            if v >= 7 { topic.topicId = values.uuid() }
            topic.errorCode = values.error()
            topic.errorMessage = values.nullableString()
            guard v >= 5 else { return topic }
            topic.topicConfigErrorCode = values.error()
            topic.numPartitions = values.int32()
            topic.replicationFactor = values.int16()
            topic.configs = values.optional { values in
                values.array { values in
                    var config = Config()
                    config.name = values.string()
                    config.value = values.nullableString()
                    config.readOnly = values.bool()
                    config.configSource = values.int8()
                    config.isSensitive = values.bool()
                    return config
                }
            }
            return topic
        }
        return m
    }
}

extension DeleteTopicsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 6 {
            m.topics = values.array { values in
                var topic = Topic()
                topic.name = values.nullableString()
                topic.topicId = values.uuid()
                return topic
            }
        } else {
            m.topicNames = values.array { $0.string() }
        }
        m.timeoutMs = values.int32()
        return m
    }
}

extension DeleteTopicsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.topics = values.array { values in
            var topic = Topic()
            topic.name = v >= 6 ? values.nullableString() : values.string()
            if v >= 6 { topic.topicId = values.uuid() }
            topic.errorCode = values.error()
            if v >= 5 { topic.errorMessage = values.nullableString() }
            return topic
        }
        return m
    }
}

extension OffsetForLeaderEpochRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 3 { m.replicaId = values.int32() }
        m.topics = values.array { values in
            var topic = Topic()
            topic.topic = values.string()
            topic.partitions = values.array { values in
                var partition = Partition()
                partition.partition = values.int32()
                partition.currentLeaderEpoch = values.int32()
                partition.leaderEpoch = values.int32()
                return partition
            }
            return topic
        }
        return m
    }
}

extension OffsetForLeaderEpochResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.topics = values.array { values in
            var topic = Topic()
            topic.topic = values.string()
            topic.partitions = values.array { values in
                var partition = Partition()
                partition.errorCode = values.error()
                partition.partition = values.int32()
                partition.leaderEpoch = values.int32()
                partition.endOffset = values.int64()
                return partition
            }
            return topic
        }
        return m
    }
}

extension DeleteRecordsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.topics = values.array { values in
            var topic = Topic()
            topic.name = values.string()
            topic.partitions = values.array { values in
                var partition = Partition()
                partition.partitionIndex = values.int32()
                partition.offset = values.int64()
                return partition
            }
            return topic
        }
        m.timeoutMs = values.int32()
        return m
    }
}

extension DescribeConfigsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.resources = values.array { values in
            var resource = Resource()
            resource.resourceType = values.int8()
            resource.resourceName = values.string()
            resource.configurationKeys = values.array { $0.string() }
            return resource
        }
        if v >= 1 { m.includeSynonyms = values.bool() }
        if v >= 3 { m.includeDocumentation = values.bool() }
        return m
    }
}

extension DescribeConfigsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.results = values.array { values in
            var result = Result()
            result.errorCode = values.error()
            result.errorMessage = values.nullableString()
            result.resourceType = values.int8()
            result.resourceName = values.string()
            result.configs = values.array { values in
                var config = Config()
                config.name = values.string()
                config.value = values.nullableString()
                config.readOnly = values.bool()
                if v == 0 { config.isDefault = values.bool() } else { config.configSource = values.int8() }
                config.isSensitive = values.bool()
                if v >= 1 {
                    config.synonyms = values.array { values in
                        var synonym = Synonym()
                        synonym.name = values.string()
                        synonym.value = values.nullableString()
                        synonym.source = values.int8()
                        return synonym
                    }
                }
                if v >= 3 { config.configType = values.int8() }
                if v >= 3 { config.documentation = values.nullableString() }
                return config
            }
            return result
        }
        return m
    }
}

extension DeleteRecordsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.topics = values.array { values in
            var topic = Topic()
            topic.name = values.string()
            topic.partitions = values.array { values in
                var partition = Partition()
                partition.partitionIndex = values.int32()
                partition.lowWatermark = values.int64()
                partition.errorCode = values.error()
                return partition
            }
            return topic
        }
        return m
    }
}

extension InitProducerIdRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.transactionalId = values.nullableString()
        m.transactionTimeoutMs = values.int32()
        if v >= 3 { m.producerId = values.int64() }
        if v >= 3 { m.producerEpoch = values.int16() }
        return m
    }
}

extension InitProducerIdResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.errorCode = values.error()
        m.producerId = values.int64()
        m.producerEpoch = values.int16()
        return m
    }
}
