import Wire

extension OffsetCommitRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.groupId = values.string()
        m.generationId = values.int32()
        m.memberId = values.string()
        if v >= 7 { m.groupInstanceId = values.nullableString() }
        if (2...4).contains(v) { m.retentionTimeMs = values.int64() }
        m.topics = values.array { values in
            let name = values.string()
            return Topic(name: name, partitions: values.array { values in
                let index = values.int32()
                var partition = Partition(partitionIndex: index, committedOffset: values.int64())
                if v >= 6 { partition.committedLeaderEpoch = values.int32() }
                if v == 1 { partition.commitTimestamp = values.int64() }
                partition.committedMetadata = values.nullableString()
                return partition
            })
        }
        return m
    }
}

extension OffsetCommitResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 3 { m.throttleTimeMs = values.int32() }
        m.topics = values.array { values in
            let name = values.string()
            return Topic(name: name, partitions: values.array { values in
                let index = values.int32()
                return Partition(partitionIndex: index, errorCode: values.error())
            })
        }
        return m
    }
}

extension OffsetFetchRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        func topics(_ values: inout V) -> [Topic] {
            values.array { values in
                let name = values.string()
                return Topic(name: name, partitionIndexes: values.array { $0.int32() })
            }
        }
        var m = Self()
        if v < 8 { m.groupId = values.string() }
        if v < 8 { m.topics = v >= 2 ? values.optional { topics(&$0) } : topics(&values) }
        if v >= 8 {
            m.groups = values.array { values in
                let id = values.string()
                return Group(groupId: id, topics: values.optional { topics(&$0) })
            }
        }
        if v >= 7 { m.requireStable = values.bool() }
        return m
    }
}

extension OffsetFetchResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        if v >= 3 { m.throttleTimeMs = values.int32() }
        if v < 8 { m.topics = values.array { topic(v, &$0) } }
        if (2...7).contains(v) { m.errorCode = values.error() }
        if v >= 8 {
            m.groups = values.array { values in
                var group = Group()
                group.groupId = values.string()
                group.topics = values.array { topic(v, &$0) }
                group.errorCode = values.error()
                return group
            }
        }
        return m
    }

    private static func topic<V: Values>(_ v: Int16, _ values: inout V) -> Topic {
        let name = values.string()
        return Topic(name: name, partitions: values.array { values in
            var partition = Partition()
            partition.partitionIndex = values.int32()
            partition.committedOffset = values.int64()
            if v >= 5 { partition.committedLeaderEpoch = values.int32() }
            partition.metadata = values.nullableString()
            partition.errorCode = values.error()
            return partition
        })
    }
}

extension OffsetDeleteRequest: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.groupId = values.string()
        m.topics = values.array { values in
            let name = values.string()
            return Topic(name: name, partitions: values.array { Partition(partitionIndex: $0.int32()) })
        }
        return m
    }
}

extension OffsetDeleteResponse: Sampled {
    public static func sample<V: Values>(_ v: Int16, _ values: inout V) -> Self {
        var m = Self()
        m.errorCode = values.error()
        m.throttleTimeMs = values.int32()
        m.topics = values.array { values in
            let name = values.string()
            return Topic(name: name, partitions: values.array { values in
                let index = values.int32()
                return Partition(partitionIndex: index, errorCode: values.error())
            })
        }
        return m
    }
}
