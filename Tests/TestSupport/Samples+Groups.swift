import Wire

extension ElectLeadersRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 1 { m.electionType = values.int8() }
        m.topicPartitions = values.optional { values in
            values.array { values in
                let topic = values.string()
                return Topic(topic: topic, partitions: values.array { $0.int32() })
            }
        }
        m.timeoutMs = values.int32()
        return m
    }
}

extension ElectLeadersResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        if v >= 1 { m.errorCode = values.error() }
        m.replicaElectionResults = values.array { values in
            var topic = Topic()
            topic.topic = values.string()
            topic.partitionResult = values.array { values in
                var partition = Partition()
                partition.partitionId = values.int32()
                partition.errorCode = values.error()
                partition.errorMessage = values.nullableString()
                return partition
            }
            return topic
        }
        return m
    }
}

extension AlterPartitionReassignmentsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.timeoutMs = values.int32()
        m.topics = values.array { values in
            let name = values.string()
            return Topic(name: name, partitions: values.array { values in
                let index = values.int32()
                return Partition(partitionIndex: index, replicas: values.optional { values in values.array { $0.int32() } })
            })
        }
        return m
    }
}

extension AlterPartitionReassignmentsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.errorCode = values.error()
        m.errorMessage = values.nullableString()
        m.responses = values.array { values in
            var topic = Topic()
            topic.name = values.string()
            topic.partitions = values.array { values in
                var partition = Partition()
                partition.partitionIndex = values.int32()
                partition.errorCode = values.error()
                partition.errorMessage = values.nullableString()
                return partition
            }
            return topic
        }
        return m
    }
}

extension ListPartitionReassignmentsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.timeoutMs = values.int32()
        m.topics = values.optional { values in
            values.array { values in
                var topic = Topic()
                topic.name = values.string()
                topic.partitionIndexes = values.array { $0.int32() }
                return topic
            }
        }
        return m
    }
}

extension ListPartitionReassignmentsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.errorCode = values.error()
        m.errorMessage = values.nullableString()
        m.topics = values.array { values in
            var topic = Topic()
            topic.name = values.string()
            topic.partitions = values.array { values in
                var partition = Partition()
                partition.partitionIndex = values.int32()
                partition.replicas = values.array { $0.int32() }
                partition.addingReplicas = values.array { $0.int32() }
                partition.removingReplicas = values.array { $0.int32() }
                return partition
            }
            return topic
        }
        return m
    }
}
