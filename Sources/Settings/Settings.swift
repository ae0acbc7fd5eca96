/// What an operator can set. Every property's initial value is the setting's default; its key, what it may be and what it
/// means stand in ``all``.
public struct Settings: Sendable, Equatable {
    public internal(set) var brokerId = 0
    /// Nil: a random one.
    public internal(set) var clusterId: String?
    public internal(set) var dataDir = "./hutong-data"
    public internal(set) var listen = HostPort(host: "127.0.0.1", port: 9092)
    /// As set; clients are told ``advertised``.
    public internal(set) var advertise: HostPort?

    public internal(set) var numPartitions = 1
    public internal(set) var autoCreateTopicsEnable = true
    public internal(set) var qosLeader = LeaderQoS.persisted
    public internal(set) var qosAll = AllQoS.durable
    public internal(set) var minInsyncReplicas = 1

    public internal(set) var logRetentionMs = 604_800_000
    public internal(set) var logRetentionBytes = -1
    public internal(set) var logRetentionCheckIntervalMs = 10_000
    public internal(set) var logMessageTimestampType = LogTimestampType.createTime
    public internal(set) var logCleanupPolicy = LogCleanupPolicy.delete
    public internal(set) var logCleanerMinCleanableRatio = 0.5
    public internal(set) var logCleanerMinCompactionLagMs = 0
    public internal(set) var logCleanerMaxCompactionLagMs = Int.max
    public internal(set) var logCleanerDeleteRetentionMs = 86_400_000
    public internal(set) var logCleanerDedupeBufferSize = 32 << 20
    /// Nil: whatever the drive does.
    public internal(set) var logCleanerIoMaxBytesPerSecond: Int?

    public internal(set) var messageMaxBytes = 1_048_588
    public internal(set) var socketRequestMaxBytes = 100 << 20
    public internal(set) var fetchMaxBytes = 8 << 20
    public internal(set) var maxConnections = 10_000
    public internal(set) var maxConnectionsPerIp = 5000
    public internal(set) var fileDescriptorsReserved = 512
    public internal(set) var connectionsMaxIdleMs = 600_000
    public internal(set) var connectionFirstByteTimeoutMs = 30_000
    public internal(set) var connectionRequestTimeoutMs = 30_000
    public internal(set) var connectionRequestMinBytesPerSecond = 1 << 10
    public internal(set) var connectionSendTimeoutMs = 60_000
    public internal(set) var connectionReceiveBytes = 256 << 10
    public internal(set) var connectionMaxInFlight = 4096
    public internal(set) var offsetsTopicPartitions = 50
    /// Nil: as many as topics that are created without saying.
    public internal(set) var offsetsTopicReplicas: Int?
    public internal(set) var offsetsRetentionMinutes = 10_080
    public internal(set) var offsetsRetentionCheckIntervalMs = 600_000
    public internal(set) var offsetMetadataMaxBytes = 4096
    public internal(set) var offsetsSkipDamaged = false
    public internal(set) var groupInitialRebalanceDelayMs = 3000
    public internal(set) var groupMinSessionTimeoutMs = 6000
    public internal(set) var groupMaxSessionTimeoutMs = 1_800_000
    public internal(set) var groupMaxSize = Int(Int32.max)
    public internal(set) var producerIdExpirationMs = 86_400_000
    public internal(set) var producerStateMax = 1_000_000

    /// Nil: the broker is alone. Separated by commas.
    public internal(set) var etcdEndpoints: String?
    public internal(set) var etcdPrefix = "/hutong/"
    public internal(set) var etcdUsername: String?
    public internal(set) var etcdPasswordFile: String?
    public internal(set) var etcdCaFile: String?
    public internal(set) var etcdCertificateFile: String?
    public internal(set) var etcdKeyFile: String?
    public internal(set) var etcdLeaseSeconds = 5
    public internal(set) var peerListen = HostPort(host: "127.0.0.1", port: 9192)
    /// As set; other brokers are told where to connect to.
    public internal(set) var peerAdvertise: HostPort?
    public internal(set) var defaultReplicationFactor: Int?
    public internal(set) var replicaSilenceMs = 2000
    public internal(set) var replicaLagTimeMaxMs = 10_000
    public internal(set) var replicaBacklogBytes = 8 << 30
    public internal(set) var autoLeaderRebalanceEnable = true
    public internal(set) var leaderImbalanceCheckIntervalSeconds = 5

    /// Nil: as many as there are write threads; of a cluster eight.
    public internal(set) var partitionGroups: Int?
    public internal(set) var threadsLayout = ThreadsLayout.auto
    public internal(set) var threadsPin = true
    /// Nil: chosen by the placement.
    public internal(set) var threadsIO: Int?

    public internal(set) var journalSegmentBytes = 64 << 20
    public internal(set) var journalCacheSegments = 6
    public internal(set) var journalMaxBytes = 1 << 30
    public internal(set) var diskReserveBytes = 512 << 20
    public internal(set) var journalFlushMethod = FlushMethod.linked
    public internal(set) var ioBackend = IOBackend.auto
    public internal(set) var ioTrace: String?
    public internal(set) var memoryLock = false

    public internal(set) var logLevel = LogLevel.info

    /// Nil: nothing is served by HTTP.
    public internal(set) var httpListen: HostPort? = HostPort(host: "127.0.0.1", port: 9644)
    public internal(set) var healthStuckMs = 30_000
    /// Nil: as it should be, none.
    public internal(set) var debugWedgeStage: WedgedStages?

    /// What is to be told of how the settings were read, in sentences.
    public internal(set) var notes: [String] = []

    /// The defaults.
    public init() {}

    /// The address that clients are told: ``advertise``, else ``listen``.
    public var advertised: HostPort { advertise ?? listen }
}

/// What acks=1 means on topics that do not say it themselves.
public enum LeaderQoS: String, Sendable, CaseIterable {
    case persisted, received
}

/// What acks=all means on topics that do not say it themselves.
public enum AllQoS: String, Sendable, CaseIterable {
    case durable, replicated
}

/// What becomes of old records of topics that do not say it themselves.
public enum LogCleanupPolicy: String, Sendable, CaseIterable {
    case delete, compact
    case compactAndDelete = "compact,delete"
}

/// Whose times records have on topics that do not say it themselves.
public enum LogTimestampType: String, Sendable, CaseIterable {
    case createTime = "CreateTime"
    case logAppendTime = "LogAppendTime"
}

/// How stages are given threads.
public enum ThreadsLayout: String, Sendable, CaseIterable {
    case auto, single, two, group
}

/// How the journal makes a write durable.
public enum FlushMethod: String, Sendable, CaseIterable {
    case fdatasync, dsync, linked
}

/// How the kernel is asked.
public enum IOBackend: String, Sendable, CaseIterable {
    case auto
    case ioUring = "io_uring"
    case epoll
}

/// Which kind of stage stops working, after how many seconds, and how: `flush`, `flush:5`, `flush:5:hang`.
public struct WedgedStages: Sendable, Equatable, CustomStringConvertible {
    public static let kinds = ["io", "write", "flush", "replicate", "respond", "loader"]

    public var kind: String
    public var seconds: Int
    /// Its thread does not come back from it.
    public var hangs: Bool

    init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (1...3).contains(parts.count), WedgedStages.kinds.contains(parts[0]), parts.count < 3 || parts[2] == "hang" else { return nil }
        guard let seconds = parts.count > 1 ? Int(parts[1]) : 0, (0...86_400).contains(seconds) else { return nil }
        self.kind = parts[0]
        self.seconds = seconds
        hangs = parts.count == 3
    }

    public var description: String { "\(kind):\(seconds)" + (hangs ? ":hang" : "") }
}

/// The levels of swift-log.
public enum LogLevel: String, Sendable, CaseIterable {
    case trace, debug, info, notice, warning, error, critical
}

/// A host, which may be a name or an address, and a TCP port.
public struct HostPort: Sendable, Equatable, CustomStringConvertible {
    public var host: String
    public var port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port`, an IPv6 address in brackets. Nil if it is neither.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, !host.contains(where: \.isWhitespace) else { return nil }
        self.init(host: String(host), port: port)
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Whether this means all of a machine's addresses: one can listen on it, not connect to it.
    public var isWildcard: Bool { ["0.0.0.0", "::", "*"].contains(host) }
}
