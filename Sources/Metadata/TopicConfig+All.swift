import Wire

extension TopicConfig {
    /// All of them, by name: Hutong's own, and those of Kafka's TopicConfig but for what is left of older formats and of tiered storage.
    public static let all: [TopicConfig] = (served + idle).sorted { $0.name < $1.name }

    private static let limit: ClosedRange<Int64> = -1 ... .max
    private static let amount: ClosedRange<Int64> = 0 ... .max

    private static let served: [TopicConfig] = [
        TopicConfig(
            "cleanup.policy", broker: "log.cleanup.policy", .list, .cleanupPolicy,
            "What becomes of old records: delete, they are deleted by age and size; compact, of each key the latest stays; or both.",
            value: { $0.cleanup.text }),
        TopicConfig(
            "compression.type", .string, .only(["producer"]), "Batches stay as the producer has compressed them.", value: { _ in "producer" }),
        TopicConfig(
            "delete.retention.ms", broker: "log.cleaner.delete.retention.ms", .long, .number(amount, "milliseconds"),
            "Of a compacted topic: how long after its key was first cleaned a record without a value, which deletes its key, is kept, so that readers see it.",
            value: { String($0.compaction.deleteRetentionMs) }),
        TopicConfig(
            "max.compaction.lag.ms", broker: "log.cleaner.max.compaction.lag.ms", .long, .number(1 ... .max, "milliseconds"),
            "Of a compacted topic: after so many milliseconds records are cleaned though little of the log is dirty, counted from when they have left the journal. "
                + "A full segment leaves it for that when its records are so old; the two or three newest stay, however old they are, until more is written.",
            value: { String($0.compaction.maxLagMs) }),
        TopicConfig(
            "max.message.bytes", broker: "message.max.bytes", .int, .number(0...(100 << 20), "bytes"),
            "Bytes of the largest record batch that is taken, thus after compression.", value: { String($0.maxMessageBytes) }),
        TopicConfig(
            "message.timestamp.after.max.ms", .long, .only([unlimited]), "Records may have any time: none is refused for being of the future.",
            value: { _ in unlimited }),
        TopicConfig(
            "message.timestamp.before.max.ms", .long, .only([unlimited]), "Records may have any time: none is refused for being old.",
            value: { _ in unlimited }),
        TopicConfig(
            "message.timestamp.type", broker: "log.message.timestamp.type", .string, .only([createTime, logAppendTime]),
            "Which time records have: CreateTime, the one that their producer gave them; LogAppendTime, the one at which the leader wrote them, which all "
                + "records of a batch share.", value: { $0.usesAppendTime ? logAppendTime : createTime }),
        TopicConfig(
            "min.cleanable.dirty.ratio", broker: "log.cleaner.min.cleanable.ratio", .double, .share,
            "Of a compacted topic: how much of what has left the journal has to be dirty, not cleaned yet, as a share of its bytes, before it is cleaned.",
            value: { String($0.compaction.minDirtyRatio) }),
        TopicConfig(
            "min.compaction.lag.ms", broker: "log.cleaner.min.compaction.lag.ms", .long, .number(amount, "milliseconds"),
            "Of a compacted topic: records younger than so many milliseconds are not cleaned.", value: { String($0.compaction.minLagMs) }),
        TopicConfig(
            "min.insync.replicas", broker: "min.insync.replicas", .int, .number(1...64, "replicas"),
            "How many replicas must be in sync for acks=all to be taken. More than a majority must then have the record on stable storage as well.",
            value: { String($0.minInsyncReplicas) }),
        TopicConfig(
            "qos.all", broker: "qos.all", .string, .qualityOfService([.replicated, .durable]),
            "What acks=all means: durable, a majority has it on stable storage; replicated, a majority has it in memory.", value: { $0.qosAll.name }),
        TopicConfig(
            "qos.leader", broker: "qos.leader", .string, .qualityOfService([.received, .persisted]),
            "What acks=1 means: persisted, the leader has it on stable storage; received, the leader has it in its journal cache.",
            value: { $0.qosLeader.name }),
        TopicConfig(
            "remote.storage.enable", .boolean, .only(["false"]), "There is no tiered storage: records stay on the brokers' disks.", value: { _ in "false" }),
        TopicConfig(
            "retention.bytes", broker: "log.retention.bytes", .long, .number(limit, "bytes"),
            "Bytes that a partition may take on disk before its oldest records are deleted; -1: no limit.", value: { String($0.retentionBytes) }),
        TopicConfig(
            "retention.ms", broker: "log.retention.ms", .long, .number(limit, "milliseconds"),
            "Milliseconds after which a record may be deleted, by its timestamp; -1: never.", value: { String($0.retentionMs) }),
        TopicConfig(
            "unclean.leader.election.enable", .boolean, .only(["false"]),
            "Who does not have all that was committed is never elected by itself. An operator may order it (ElectLeaders, unclean).", value: { _ in "false" }),
    ] + ["leader", "follower"].map { side in
        TopicConfig(
            "\(side).replication.throttled.replicas", .list, .only([""]), "Replication is not throttled: there is nothing to list.", value: { _ in "" })
    }

    private static let unlimited = String(Int64.max)

    private static let idle: [TopicConfig] = [
        .idle("compression.gzip.level", .int, .number(-1...9, "the level"), recompression, value: "-1"),
        .idle("compression.lz4.level", .int, .number(1...17, "the level"), recompression, value: "9"),
        .idle("compression.zstd.level", .int, .number(-131_072...22, "the level"), recompression, value: "3"),
        .idle("file.delete.delay.ms", .long, .number(amount, "milliseconds"), "Files are removed once nobody reads them.", value: "60000"),
        .idle("flush.messages", .long, .number(1 ... .max, "records"), flushing, value: unlimited),
        .idle("flush.ms", .long, .number(amount, "milliseconds"), flushing, value: unlimited),
        .idle("index.interval.bytes", .int, .number(0...Int64(Int32.max), "bytes"), "Each batch has its entry in the index.", value: "4096"),
        .idle(
            "message.downconversion.enable", .boolean, .boolean, "Clients that need older formats of record batches are not served.", value: "true"),
        .idle("preallocate", .boolean, .boolean, "Segments always have their space before they are written to.", value: "false"),
        .idle("segment.bytes", .int, .number(14...Int64(Int32.max), "bytes"), segments, value: "1073741824"),
        .idle("segment.index.bytes", .int, .number(4...Int64(Int32.max), "bytes"), segments, value: "10485760"),
        .idle("segment.jitter.ms", .long, .number(amount, "milliseconds"), segments, value: "0"),
        .idle("segment.ms", .long, .number(1 ... .max, "milliseconds"), segments, value: "604800000"),
    ]

    private static let recompression = "Batches stay as the producer has compressed them."
    private static let flushing = "When records are on stable storage is what qos.leader and qos.all say of acknowledgements; all of them get there at once."
    private static let segments = "Partitions share the segments of their partition group's journal, whose size is the broker's journal.segment.bytes."
}
