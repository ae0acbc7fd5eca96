/// A setting of Kafka's brokers that has no meaning here, and why.
public struct KafkaSetting: Sendable {
    public let key: String
    /// What it is in a Kafka that was given nothing.
    public let defaultText: String
    public let type: SettingType
    /// What it can be set to, because that is what is done here; none: it can't be set.
    let allowed: [String]
    /// Why it has no meaning, and what to say instead, in sentences.
    public let reason: String

    init(_ key: String, _ defaultText: String, type: SettingType = .number, allowed: [String] = [], _ reason: String) {
        self.key = key
        self.defaultText = defaultText
        self.type = type
        self.allowed = allowed
        self.reason = reason
    }
}

extension Settings {
    /// Those that Kafka's users know best, by name.
    public static let kafkas: [KafkaSetting] = [
        KafkaSetting("background.threads", "10", threads),
        KafkaSetting("compression.type", "producer", type: .text, allowed: ["producer"], "Batches stay as the producer has compressed them."),
        KafkaSetting("controlled.shutdown.enable", "true", type: .boolean, allowed: ["true"], "A broker that is stopped always hands over first what it leads."),
        KafkaSetting("delete.topic.enable", "true", type: .boolean, allowed: ["true"], "Topics can be deleted."),
        KafkaSetting("inter.broker.protocol.version", "", type: .text, "Brokers of one release make a cluster."),
        KafkaSetting("log.cleaner.enable", "true", type: .boolean, allowed: ["true"], "Compacted topics are always cleaned."),
        KafkaSetting("log.cleaner.threads", "1", "The archive stage of each partition group cleans."),
        KafkaSetting("log.flush.interval.messages", "9223372036854775807", flushing),
        KafkaSetting("log.flush.interval.ms", "", flushing),
        KafkaSetting("log.index.interval.bytes", "4096", "Each batch has its entry in the index."),
        KafkaSetting("log.index.size.max.bytes", "10485760", segments),
        KafkaSetting("log.message.format.version", "", type: .text, "Record batches have format v2."),
        KafkaSetting("log.preallocate", "false", type: .boolean, "Segments always have their space before they are written to."),
        KafkaSetting("log.roll.hours", "168", segments),
        KafkaSetting("log.roll.ms", "", segments),
        KafkaSetting("log.segment.bytes", "1073741824", segments),
        KafkaSetting("num.io.threads", "8", threads),
        KafkaSetting("num.network.threads", "3", threads),
        KafkaSetting("num.recovery.threads.per.data.dir", "2", "Each partition group recovers on a thread of its own."),
        KafkaSetting("num.replica.fetchers", "1", "Leaders send to followers: nobody fetches."),
        KafkaSetting("queued.max.requests", "500", "What a connection may have under way is connection.max.in.flight."),
        KafkaSetting("socket.receive.buffer.bytes", "102400", buffers),
        KafkaSetting("socket.send.buffer.bytes", "102400", buffers),
        KafkaSetting("transaction.state.log.min.isr", "2", transactions),
        KafkaSetting("transaction.state.log.num.partitions", "50", transactions),
        KafkaSetting("transaction.state.log.replication.factor", "3", transactions),
        KafkaSetting(
            "unclean.leader.election.enable", "false", type: .boolean, allowed: ["false"],
            "Who does not have all that was committed is never elected by itself; an operator may order it: hutong cluster elect --unclean."),
    ]

    private static let threads = "How stages share threads is threads.layout, and how many read and write sockets threads.io."
    private static let flushing = "When records are on stable storage is what qos.leader and qos.all say of acknowledgements; all of them get there at once."
    private static let segments = "Partitions share the segments of their partition group's journal: their size is journal.segment.bytes, what all of them take journal.max.bytes."
    private static let buffers = "The kernel sizes sockets' buffers; what is read ahead of one connection is connection.receive.bytes."
    private static let transactions = "There are no transactions yet."

    /// What other settings of Kafka's begin with, or are, and what is to be said of them.
    private static let families: [(prefix: String, reason: String)] = [
        ("advertised.listeners", "Say advertise, as HOST:PORT."),
        ("authorizer.", "There is no authorization yet."),
        ("broker.id.generation.", "Each broker is given its broker.id."),
        ("controller.", quorum),
        ("inter.broker.listener.", listeners),
        ("listener.", listeners),
        ("listeners", "Say listen, as HOST:PORT."),
        ("log.dir", "Say data.dir: a broker has one directory."),
        ("log.flush.", flushing),
        ("log.roll.", segments),
        ("metadata.log.", quorum),
        ("process.roles", quorum),
        ("quota.", "There are no quotas yet."),
        ("remote.log.", "There is no tiered storage: records stay on the brokers' disks."),
        ("replica.fetch.", "Leaders send to followers: nobody fetches."),
        ("sasl.", security),
        ("security.", security),
        ("ssl.", security),
        ("transaction.", transactions),
        ("transactional.", transactions),
        ("zookeeper.", "Brokers are a cluster by an etcd: say etcd.endpoints."),
    ]

    private static let quorum = "Brokers are a cluster by an etcd, without controllers of their own: say etcd.endpoints."
    private static let listeners = "A broker listens for clients at listen, and for other brokers at peer.listen."
    private static let security = "There is no TLS or SASL yet; towards etcd there are etcd.ca.file and etcd.certificate.file."

    /// Why a setting of Kafka's can't be set here; nil: it is none, or not known as one.
    static func kafkasReason(_ key: String) -> String? {
        kafkas.first { $0.key == key }?.reason ?? families.first { key.hasPrefix($0.prefix) }?.reason
    }

    /// Settings of Kafka's that say in another unit what one of ours says, and those that can only be what is done here.
    static let taken: [Setting] =
        [
            Setting("log.retention.hours", sets: "log.retention.ms", \.logRetentionMs, .milliseconds(each: 3_600_000, "hours"), "log.retention.ms in hours."),
            Setting("log.retention.minutes", sets: "log.retention.ms", \.logRetentionMs, .milliseconds(each: 60_000, "minutes"), "log.retention.ms in minutes."),
        ] + kafkas.filter { !$0.allowed.isEmpty }.map(Setting.init)
}

extension Kind where Value == Int {
    /// Milliseconds, told in a longer unit; -1: no limit.
    fileprivate static func milliseconds(each unit: Int, _ name: String) -> Kind {
        let most = Int.max / unit
        return Kind(
            type: .number, expected: "a whole number of \(name) from -1 to \(most)",
            read: { text in Int(text).flatMap { (-1...most).contains($0) ? ($0 < 0 ? -1 : $0 * unit) : nil } },
            write: { "\($0 < 0 ? -1 : $0 / unit)" })
    }
}
