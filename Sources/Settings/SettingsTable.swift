extension Settings {
    /// Every setting. Keys that Kafka has are named and meant as there.
    public static let all: [Setting] = identity + cluster + topics + groups + limits + connections + threads + storage

    private static let identity: [Setting] = [
        Setting(
            "broker.id", aliases: ["node.id"], \.brokerId, .integer(0...Int(Int32.max)),
            "The broker's number, which no other broker of the cluster may have."),
        Setting(
            "cluster.id", \.clusterId, .optional(.text, none: "random"),
            "The cluster's name, which clients are told; it is kept once the data directory has one."),
        Setting("data.dir", \.dataDir, .text, "The directory of the journal and of everything else that is kept."),
        Setting("listen", \.listen, .address, "The address to accept connections on. Port 0 takes any free one."),
        Setting(
            "advertise", \.advertise, .optional(.address, none: "listen"),
            "The address that clients are told to connect to. By default the one of listen, which has to be an address that "
                + "they can reach."),
        Setting("log.level", \.logLevel, .choice(), "How much is logged."),
        Setting(
            "http.listen", \.httpListen, .optional(.address, none: "none"),
            "The address of the status page, of /metrics for Prometheus, /healthz and /readyz; none: nothing is served by HTTP. It is read-only, but shows messages, and "
                + "asks nobody who they are: it must be reachable for those alone who may read everything. Where the port is taken, the broker starts without, and says so."),
        Setting(
            "health.stuck.ms", \.healthStuckMs, .integer(1000...3_600_000),
            "After so many milliseconds in which a thread does not come back from a stage, or a stage does nothing though something waits for it, /healthz fails, and systemd's watchdog "
                + "starts the broker again. Longer than a drive may stand still."),
        Setting(
            "debug.wedge.stage", \.debugWedgeStage, .optional(.wedge, none: "none"),
            "For tests of what watches a broker: stages of that kind stop working so many seconds after the start; with hang, their threads do not come back from them."),
    ]

    private static let cluster: [Setting] = [
        Setting(
            "etcd.endpoints", \.etcdEndpoints, .optional(.text, none: "none"),
            "The addresses of the etcd that makes several brokers a cluster, as http://HOST:PORT, separated by commas; none: the broker is alone."),
        Setting("etcd.prefix", \.etcdPrefix, .text, "What the cluster's keys in etcd begin with. Two clusters may share an etcd by different prefixes."),
        Setting("etcd.username", \.etcdUsername, .optional(.text, none: "none"), "The user to authenticate as at etcd; none: without authentication."),
        Setting(
            "etcd.password.file", \.etcdPasswordFile, .optional(.text, none: "none"), "A file whose first line is the password of that user."),
        Setting(
            "etcd.ca.file", \.etcdCaFile, .optional(.text, none: "none"),
            "A PEM file with the authorities that etcd's certificate may be signed by, where its address begins with https; none: those of the system."),
        Setting(
            "etcd.certificate.file", \.etcdCertificateFile, .optional(.text, none: "none"),
            "A PEM file with the certificate to show to etcd; none: without."),
        Setting("etcd.key.file", \.etcdKeyFile, .optional(.text, none: "none"), "A PEM file with the key of that certificate."),
        Setting(
            "etcd.lease.seconds", \.etcdLeaseSeconds, .integer(1...3600),
            "After so many seconds in which etcd has heard nothing of a broker, others may take over what it leads."),
        Setting(
            "peer.listen", \.peerListen, .address,
            "The address to accept the connections of other brokers on. Port 0 takes any free one. What comes there is not authenticated: it "
                + "must be reachable for brokers alone."),
        Setting(
            "peer.advertise", \.peerAdvertise, .optional(.address, none: "peer.listen"),
            "The address that other brokers are told to connect to. By default the one of peer.listen."),
        Setting(
            "default.replication.factor", \.defaultReplicationFactor, .optional(.integer(1...64), none: "auto"),
            "Replicas of a topic that is created without saying how many; auto: three, or as many as there are brokers where they are fewer."),
        Setting(
            "replica.silence.ms", \.replicaSilenceMs, .integer(100...3_600_000),
            "Milliseconds after which a leader that is not heard of may be replaced, if its lease is gone as well; and after which a leader that "
                + "does not hear of a majority gives up. A follower that is not heard of for so long is not in sync."),
        Setting(
            "replica.lag.time.max.ms", \.replicaLagTimeMaxMs, .integer(100...3_600_000),
            "Milliseconds after which a follower is not in sync that has not had all that its leader had on stable storage."),
        Setting(
            "replica.backlog.bytes", \.replicaBacklogBytes, .size(0...(1 << 50)),
            "Bytes of each partition group's journal that its leader keeps beyond journal.max.bytes, while there is room on the disk, for replicas that "
                + "lag or are away. Who lacks more than that gets a snapshot: the archives and what is left of the journal."),
        Setting(
            "auto.leader.rebalance.enable", \.autoLeaderRebalanceEnable, .boolean,
            "Whether a broker hands what it leads to the broker that is to lead it, the first of a partition's replicas, once that one keeps up."),
        Setting(
            "leader.imbalance.check.interval.seconds", \.leaderImbalanceCheckIntervalSeconds, .integer(1...86_400),
            "How often a broker looks whether others are to lead what it leads, in seconds; and how long they must have kept up. One partition group is "
                + "handed over at a time."),
    ]

    private static let topics: [Setting] = [
        Setting(
            "num.partitions", \.numPartitions, .integer(1...100_000),
            "Partitions of a topic that is created without saying how many."),
        Setting(
            "auto.create.topics.enable", \.autoCreateTopicsEnable, .boolean,
            "Whether a topic that a client asks for by name is created if it does not exist."),
        Setting(
            "qos.leader", \.qosLeader, .choice(),
            "What acks=1 means where the topic does not say it: persisted, the leader has it on stable storage; received, the "
                + "leader has it in its journal cache."),
        Setting(
            "qos.all", \.qosAll, .choice(),
            "What acks=all means where the topic does not say it: durable, a majority has it on stable storage; replicated, a "
                + "majority has it in memory."),
        Setting(
            "min.insync.replicas", \.minInsyncReplicas, .integer(1...64),
            "How many replicas, the leader among them, must be in sync for acks=all to be taken, where the topic does not say it: with fewer "
                + "producers are refused. Less than a majority is a majority; more than a majority must have a record on stable storage as well "
                + "before it is acknowledged. A topic with fewer replicas can't be made."),
        Setting(
            "log.retention.ms", \.logRetentionMs, .integer(-1...Int.max),
            "Milliseconds after which a record may be deleted, by its timestamp, where the topic does not say it (retention.ms); "
                + "-1: never. Kafka's log.retention.minutes and log.retention.hours are taken as well."),
        Setting(
            "log.retention.bytes", \.logRetentionBytes, .integer(-1...Int.max),
            "Bytes that a partition may take on disk before its oldest records are deleted, where the topic does not say it "
                + "(retention.bytes); what it is about to write is counted in. -1: no limit."),
        Setting(
            "log.retention.check.interval.ms", \.logRetentionCheckIntervalMs, .integer(100...86_400_000),
            "How often, in milliseconds, retention is looked at though nothing is written."),
        Setting(
            "log.message.timestamp.type", \.logMessageTimestampType, .choice(),
            "Which time records have where the topic does not say it (message.timestamp.type): CreateTime, the one that their producer gave them; "
                + "LogAppendTime, the one at which the leader wrote them."),
        Setting(
            "log.cleanup.policy", \.logCleanupPolicy, .choice(),
            "What becomes of old records where the topic does not say it (cleanup.policy): delete, they are deleted by age and size; compact, of each "
                + "key the latest stays; or both."),
        Setting(
            "log.cleaner.min.cleanable.ratio", \.logCleanerMinCleanableRatio, .share,
            "How much of what has left the journal has to be dirty, not cleaned yet, as a share of its bytes, before a compacted partition is cleaned, "
                + "where the topic does not say it (min.cleanable.dirty.ratio)."),
        Setting(
            "log.cleaner.min.compaction.lag.ms", \.logCleanerMinCompactionLagMs, .integer(0...Int.max),
            "Records of compacted topics that are younger than so many milliseconds are not cleaned, where the topic does not say it "
                + "(min.compaction.lag.ms)."),
        Setting(
            "log.cleaner.max.compaction.lag.ms", \.logCleanerMaxCompactionLagMs, .integer(1...Int.max),
            "After so many milliseconds records of compacted topics are cleaned though little is dirty, where the topic does not say it "
                + "(max.compaction.lag.ms), counted from when they have left the journal. A full segment leaves it for that when its records are so old; the "
                + "two or three newest stay, however old they are, until more is written."),
        Setting(
            "log.cleaner.delete.retention.ms", \.logCleanerDeleteRetentionMs, .integer(0...Int.max),
            "How long, in milliseconds, after its key was first cleaned a record without a value is kept in compacted topics, where the topic does not "
                + "say it (delete.retention.ms)."),
        Setting(
            "log.cleaner.dedupe.buffer.size", \.logCleanerDedupeBufferSize, .size((1 << 20)...(1 << 36)),
            "Bytes of memory that compaction may take for keys in each partition group, 32 for each key, or a little more: where there are more keys, it goes through a log in "
                + "several steps. It is taken while something is compacted only."),
        Setting(
            "log.cleaner.io.max.bytes.per.second", \.logCleanerIoMaxBytesPerSecond, .optional(.size((64 << 10)...(1 << 40)), none: "none"),
            "Bytes that compaction may read and write together in a second in each partition group; none: as many as the drive can."),
    ]

    private static let limits: [Setting] = [
        Setting(
            "message.max.bytes", \.messageMaxBytes, .size(1024...(1 << 30)),
            "Bytes of the largest record batch that is taken, as it is sent, thus after compression."),
        Setting(
            "socket.request.max.bytes", \.socketRequestMaxBytes, .size(1024...Int(Int32.max)),
            "Bytes of the largest request that is read; a connection that announces a larger one is closed."),
        Setting(
            "fetch.max.bytes", \.fetchMaxBytes, .size(1024...Int(Int32.max)),
            "Bytes of records in one answer to a fetch, whatever the client asks for; a first batch that is larger is sent "
                + "whole. Kafka's default is 55 MiB: ours is lower because the answers under way of all connections count "
                + "against one bounded memory, and a reader is not slower for it."),
        Setting(
            "producer.id.expiration.ms", \.producerIdExpirationMs, .integer(1...Int(Int32.max)),
            "Milliseconds after which the sequence numbers of an idempotent producer that sends nothing are forgotten."),
        Setting(
            "producer.state.max", \.producerStateMax, .integer(1...1_000_000_000),
            "Idempotent producers, counted once per partition, whose sequence numbers are kept at once; beyond it the one "
                + "that has been silent longest is forgotten."),
    ]

    private static let groups: [Setting] = [
        Setting(
            "offsets.topic.num.partitions", \.offsetsTopicPartitions, .integer(1...10_000),
            "Partitions of __consumer_offsets, which keeps the consumer groups. It counts when that topic is made, at the first group; it can't be changed later."),
        Setting(
            "offsets.topic.replication.factor", \.offsetsTopicReplicas, .optional(.integer(1...64), none: "auto"),
            "Replicas of __consumer_offsets; auto: as default.replication.factor says. It counts when that topic is made."),
        Setting(
            "offsets.retention.minutes", \.offsetsRetentionMinutes, .integer(1...Int(Int32.max)),
            "Minutes for which the offsets of a group that has no members any more are kept, and of one that never had any after each commit."),
        Setting(
            "offsets.retention.check.interval.ms", \.offsetsRetentionCheckIntervalMs, .integer(1...Int(Int32.max)),
            "Milliseconds between two looks for offsets that have been kept long enough."),
        Setting(
            "offset.metadata.max.bytes", \.offsetMetadataMaxBytes, .size(0...(1 << 20)), "Bytes of the longest text that a client may keep with an offset."),
        Setting(
            "offsets.skip.damaged", \.offsetsSkipDamaged, .boolean,
            "Whether groups are served though some of __consumer_offsets is damaged for good: what they had committed there is forgotten, so that they may read again what they have read. Else they are not served."),
        Setting(
            "group.initial.rebalance.delay.ms", \.groupInitialRebalanceDelayMs, .integer(0...3_600_000),
            "Milliseconds for which a group that was empty waits for more members than the first, so that it need not rebalance for each."),
        Setting(
            "group.min.session.timeout.ms", \.groupMinSessionTimeoutMs, .integer(1...Int(Int32.max)),
            "Milliseconds of the shortest session that a group's member may ask for."),
        Setting(
            "group.max.session.timeout.ms", \.groupMaxSessionTimeoutMs, .integer(1...Int(Int32.max)),
            "Milliseconds of the longest session that a group's member may ask for."),
        Setting(
            "group.max.size", \.groupMaxSize, .integer(1...Int(Int32.max)), "Members of a group; further ones are refused."),
    ]

    private static let connections: [Setting] = [
        Setting(
            "max.connections", \.maxConnections, .integer(1...1_000_000),
            "Connections at once; further ones are closed. The limit on open files can make it fewer, as the log says at start."),
        Setting(
            "max.connections.per.ip", \.maxConnectionsPerIp, .integer(1...Int(Int32.max)),
            "Connections at once from one IPv4 address, or from one IPv6 network of 64 bits; further ones are closed. Kafka's "
                + "default is no limit; ours keeps one host from taking all connections."),
        Setting(
            "connections.max.idle.ms", \.connectionsMaxIdleMs, .integer(100...Int(Int32.max)),
            "Milliseconds after which a connection is closed on which nothing came or went. One that waits for an answer is "
                + "not idle."),
        Setting(
            "connection.first.byte.timeout.ms", \.connectionFirstByteTimeoutMs, .integer(100...Int(Int32.max)),
            "Milliseconds after which a new connection is closed on which nothing has come."),
        Setting(
            "connection.request.timeout.ms", \.connectionRequestTimeoutMs, .integer(100...Int(Int32.max)),
            "Milliseconds in which a request of which the first bytes came must be complete. While it brings "
                + "connection.request.min.bytes.per.second it gets the same time again, 20 times at most; else its connection "
                + "is closed."),
        Setting(
            "connection.request.min.bytes.per.second", \.connectionRequestMinBytesPerSecond, .size(1...(1 << 30)),
            "The bytes a second with which a request that takes longer than connection.request.timeout.ms must come."),
        Setting(
            "connection.send.timeout.ms", \.connectionSendTimeoutMs, .integer(100...Int(Int32.max)),
            "Milliseconds after which a connection is closed whose client takes nothing of the answers that it is owed; "
                + "at most 2000 while answers take more than half of the memory for them, 500 while they take nearly all."),
        Setting(
            "file.descriptors.reserved", \.fileDescriptorsReserved, .integer(64...1_000_000),
            "How many of the files that the process may open (RLIMIT_NOFILE, raised to its hard limit at start) are kept for "
                + "the journal; no connection takes them. Half of all, where there are fewer than twice as many."),
        Setting(
            "connection.receive.bytes", \.connectionReceiveBytes, .size((4 << 10)...(1 << 30)),
            "Bytes of one connection that are read ahead of being handled."),
        Setting(
            "connection.max.in.flight", \.connectionMaxInFlight, .integer(1...1_000_000),
            "Requests of one connection that are handled and not yet answered; at so many its socket is not read on."),
    ]

    private static let threads: [Setting] = [
        Setting(
            "partition.groups", \.partitionGroups, .optional(.integer(1...64), none: "auto"),
            "Partition groups, each with its own journal and write thread; auto: by the cores. In a cluster, how many there can be together: the "
                + "same for all brokers, and for good; auto: 8."),
        Setting(
            "threads.layout", \.threadsLayout, .choice(),
            "How stages share threads: single, all on one; two, what a request waits for and, beside flush, what it does not; group, a thread each; auto, by the cores."),
        Setting("threads.pin", \.threadsPin, .boolean, "Whether each thread is kept on its own core."),
        Setting(
            "threads.io", \.threadsIO, .optional(.integer(1...64), none: "auto"),
            "Threads that read and write sockets; auto: by the cores."),
        Setting(
            "memory.lock", \.memoryLock, .boolean,
            "Whether caches are locked into memory, so that they are never swapped out. Needs a sufficient memlock limit."),
    ]

    private static let storage: [Setting] = [
        Setting(
            "journal.segment.bytes", \.journalSegmentBytes, .size((1 << 20)...(1 << 30)),
            "Bytes of one journal file; a multiple of 4 KiB."),
        Setting(
            "journal.cache.segments", \.journalCacheSegments, .integer(3...100_000),
            "Segments of each partition group that are held in memory."),
        Setting(
            "journal.max.bytes", \.journalMaxBytes, .size((4 << 20)...(1 << 50)),
            "Bytes of each partition group's journal beyond which the oldest segments are freed: what is live in them goes to the "
                + "partitions' archives. At least four segments."),
        Setting(
            "disk.reserve.bytes", \.diskReserveBytes, .size(0...(1 << 50)),
            "Bytes of the file system that are left free: where there are fewer, no new segments are made, and when those at hand "
                + "are full, producers are refused; reading and deleting go on."),
        Setting(
            "journal.flush.method", \.journalFlushMethod, .choice(),
            "How a write is made durable: linked, a write and an fdatasync submitted together; fdatasync, one after the "
                + "other; dsync, each write for itself (O_DSYNC)."),
        Setting(
            "io.backend", aliases: ["io"], \.ioBackend, .choice(),
            "How the kernel is asked: io_uring, or the start fails; epoll, which is slower and works everywhere; auto, by "
                + "io_uring where the host allows it, else by epoll, with a warning that says why."),
        Setting(
            "io.trace", \.ioTrace, .optional(.text, none: "none"),
            "A file to which each journal write, sync and answer adds a line, to check promises against; it costs speed."),
    ]

    /// What no single setting can be blamed for: sentences, empty if all is well.
    func conflicts() -> [String] {
        var problems: [String] = []
        if advertised.isWildcard {
            problems.append(
                "advertise must be set when listen is \(listen): clients are told the address, and cannot connect to "
                    + "\(advertised.host). Set it to an address or name under which they reach this host.")
        }
        if messageMaxBytes > socketRequestMaxBytes {
            problems.append(
                "message.max.bytes (\(messageMaxBytes)) is more than socket.request.max.bytes (\(socketRequestMaxBytes)), "
                    + "so such a message could never arrive. Lower the one or raise the other.")
        }
        if etcdEndpoints == nil, minInsyncReplicas > 1 {
            problems.append(
                "min.insync.replicas is \(minInsyncReplicas), but a broker without etcd.endpoints has one replica of each topic: acks=all could "
                    + "never be taken. Set it to 1.")
        }
        if let defaultReplicationFactor, minInsyncReplicas > defaultReplicationFactor {
            problems.append(
                "min.insync.replicas (\(minInsyncReplicas)) is more than default.replication.factor (\(defaultReplicationFactor)), so no topic "
                    + "could be made without saying how many replicas it has. Lower the one or raise the other.")
        }
        if journalSegmentBytes % 4096 != 0 {
            problems.append("journal.segment.bytes (\(journalSegmentBytes)) must be a multiple of 4 KiB.")
        }
        if messageMaxBytes > journalSegmentBytes / 2 {
            problems.append(
                "message.max.bytes (\(messageMaxBytes)) is more than half of journal.segment.bytes "
                    + "(\(journalSegmentBytes)), which would waste much of every segment. Lower the one or raise the other.")
        }
        return problems
    }
}
