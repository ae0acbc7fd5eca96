import Wire

extension AlterConfigsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.resources = values.array { values in
            var resource = Resource()
            resource.resourceType = values.int8()
            resource.resourceName = values.string()
            resource.configs = values.array { values in
                let name = values.string()
                return Config(name: name, value: values.nullableString())
            }
            return resource
        }
        m.validateOnly = values.bool()
        return m
    }
}

extension AlterConfigsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.responses = values.array { values in
            var resource = Resource()
            resource.errorCode = values.error()
            resource.errorMessage = values.nullableString()
            resource.resourceType = values.int8()
            resource.resourceName = values.string()
            return resource
        }
        return m
    }
}

extension IncrementalAlterConfigsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.resources = values.array { values in
            var resource = Resource()
            resource.resourceType = values.int8()
            resource.resourceName = values.string()
            resource.configs = values.array { values in
                var config = Config()
                config.name = values.string()
                config.configOperation = values.int8()
                config.value = values.nullableString()
                return config
            }
            return resource
        }
        m.validateOnly = values.bool()
        return m
    }
}

extension IncrementalAlterConfigsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.responses = values.array { values in
            var resource = Resource()
            resource.errorCode = values.error()
            resource.errorMessage = values.nullableString()
            resource.resourceType = values.int8()
            resource.resourceName = values.string()
            return resource
        }
        return m
    }
}

extension DescribeLogDirsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.topics = values.optional { values in
            values.array { values in
                let topic = values.string()
                return Topic(topic: topic, partitions: values.array { $0.int32() })
            }
        }
        return m
    }
}

extension DescribeLogDirsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        if v >= 3 { m.errorCode = values.error() }
        m.results = values.array { values in
            var result = Result()
            result.errorCode = values.error()
            result.logDir = values.string()
            result.topics = values.array { values in
                var topic = Topic()
                topic.name = values.string()
                topic.partitions = values.array { values in
                    var partition = Partition()
                    partition.partitionIndex = values.int32()
                    partition.partitionSize = values.int64()
                    partition.offsetLag = values.int64()
                    partition.isFutureKey = values.bool()
                    return partition
                }
                return topic
            }
            if v >= 4 { result.totalBytes = values.int64() }
            if v >= 4 { result.usableBytes = values.int64() }
            return result
        }
        return m
    }
}

extension CreatePartitionsRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.topics = values.array { values in
            let name = values.string()
            var topic = Topic(name: name, count: values.int32())
            topic.assignments = values.optional { values in
                values.array { values in Assignment(brokerIds: values.array { $0.int32() }) }
            }
            return topic
        }
        m.timeoutMs = values.int32()
        m.validateOnly = values.bool()
        return m
    }
}

extension CreatePartitionsResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.results = values.array { values in
            var result = Result()
            result.name = values.string()
            result.errorCode = values.error()
            result.errorMessage = values.nullableString()
            return result
        }
        return m
    }
}

extension DescribeClusterRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.includeClusterAuthorizedOperations = values.bool()
        if v >= 1 { m.endpointType = values.int8() }
        return m
    }
}

extension DescribeClusterResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.errorCode = values.error()
        m.errorMessage = values.nullableString()
        if v >= 1 { m.endpointType = values.int8() }
        m.clusterId = values.string()
        m.controllerId = values.int32()
        m.brokers = values.array { values in
            var broker = Broker()
            broker.brokerId = values.int32()
            broker.host = values.string()
            broker.port = values.int32()
            broker.rack = values.nullableString()
            return broker
        }
        m.clusterAuthorizedOperations = values.bits()
        return m
    }
}

extension DescribeProducersRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.topics = values.array { values in
            let name = values.string()
            return Topic(name: name, partitionIndexes: values.array { $0.int32() })
        }
        return m
    }
}

extension DescribeProducersResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.throttleTimeMs = values.int32()
        m.topics = values.array { values in
            var topic = Topic()
            topic.name = values.string()
            topic.partitions = values.array { values in
                var partition = Partition()
                partition.partitionIndex = values.int32()
                partition.errorCode = values.error()
                partition.errorMessage = values.nullableString()
                partition.activeProducers = values.array { producer(&$0) }
                return partition
            }
            return topic
        }
        return m
    }

    private static func producer<V: Values>(_ values: inout V) -> Producer {
        var producer = Producer()
        producer.producerId = values.int64()
        producer.producerEpoch = values.int32()
        producer.lastSequence = values.int32()
        producer.lastTimestamp = values.int64()
        producer.coordinatorEpoch = values.int32()
        producer.currentTxnStartOffset = values.int64()
        return producer
    }
}
