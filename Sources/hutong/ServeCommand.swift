import ArgumentParser
import Broker
import Control
import Coordination
import Fetching
import Foundation
import Glibc
import Groups
import Host
import IO
import Intake
import Journal
import Logging
import Metadata
import Meters
import Monitoring
import Replication
import Settings
import Wire

/// `hutong serve`: runs a broker until it is told to stop.
struct ServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Run a broker.",
        discussion: """
            Settings come from a YAML file, then the environment (HUTONG_NUM_PARTITIONS for num.partitions), then flags; \
            what comes later counts. SIGTERM or SIGINT stops it: what was taken is answered and made durable first.
            """)

    @Option(name: .long, help: "A YAML file of settings.")
    var config: String?

    @Option(name: .long, help: "The directory of the journal and of everything else that is kept.")
    var dataDir: String?

    @Option(name: .long, help: ArgumentHelp("The address to listen on.", valueName: "host:port"))
    var listen: String?

    @Option(name: .long, help: ArgumentHelp("The address that clients are told to connect to.", valueName: "host:port"))
    var advertise: String?

    @Option(name: .long, help: ArgumentHelp("Any other setting.", valueName: "key=value"))
    var set: [String] = []

    func run() throws {
        let settings: Settings
        do { settings = try loadSettings() } catch let error as SettingsError { fail(error.description) }
        let level = Logger.Level(rawValue: settings.logLevel.rawValue) ?? .info
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
        let signals = blockSignals()
        let logger = Logger(label: "hutong")
        for note in settings.notes { logger.notice("\(note)") }
        let notices = ServiceNotices(environment: ProcessInfo.processInfo.environment)
        do {
            let broker = try Broker(try BrokerConfiguration(settings), logger: logger, onFailure: ServeCommand.storageFailed)
            let monitoring = MonitoringServer(board: broker.board, host: ownHost(settings), port: broker.port, patience: UInt64(settings.healthStuckMs) * 1_000_000, logger: logger)
            let http = listen(monitoring, settings, logger)
            try broker.start(isCancelled: { ServeCommand.isTold(signals) })
            monitoring.setServing(true)
            _ = Output.write(Array((readyLine(broker, settings, http) + "\n").utf8))
            notices.ready()
            wait(signals, broker, monitoring, notices)
        } catch {
            fail("\(error)")
        }
    }

    private func loadSettings() throws -> Settings {
        var flags: [(key: String, value: String)] = []
        if let dataDir { flags.append(("data.dir", dataDir)) }
        if let listen { flags.append(("listen", listen)) }
        if let advertise { flags.append(("advertise", advertise)) }
        flags += try settingArguments(set)
        let environment = ProcessInfo.processInfo.environment
        return try Settings.load(
            file: config ?? environment[Settings.fileVariable], environment: environment, flags: flags)
    }

    private func fail(_ sentence: String) -> Never {
        Output.say(sentence)
        Glibc.exit(1)
    }

    // MARK: HTTP

    /// Where the broker reaches itself.
    private func ownHost(_ settings: Settings) -> String {
        settings.listen.isWildcard ? (settings.listen.host == "::" ? "::1" : "127.0.0.1") : settings.listen.host
    }

    /// Without it clients are served all the same. Returns the address that is listened on; nil: there is none.
    private func listen(_ monitoring: MonitoringServer, _ settings: Settings, _ logger: Logger) -> HostPort? {
        guard var address = settings.httpListen else { return nil }
        do {
            address.port = try monitoring.start(host: address.host, port: address.port, names: [settings.advertised.host, settings.listen.host])
            return address
        } catch {
            logger.warning("\(address) can't be listened on, so there are no metrics and no status page: \(error). Choose another address with http.listen, or none.")
            return nil
        }
    }

    // MARK: Signals

    /// Before any thread starts, so that none of them is interrupted: only this one waits for signals.
    private func blockSignals() -> sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGUSR1] { sigaddset(&signals, signal) }
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        signal(SIGPIPE, SIG_IGN)
        return signals
    }

    /// Whether one of the signals that are waited for has come.
    private static func isTold(_ signals: sigset_t) -> Bool {
        var pending = sigset_t()
        sigpending(&pending)
        var wanted = signals
        return [SIGTERM, SIGINT, SIGUSR1].contains { sigismember(&wanted, $0) == 1 && sigismember(&pending, $0) == 1 }
    }

    /// Nothing is acknowledged any more, so there is nothing to go on for: the main thread is told.
    @Sendable private static func storageFailed(_ code: Int32) {
        Output.say("the journal can't be written: \(describe(errno: code)). Nothing more is acknowledged; stopping.")
        kill(getpid(), SIGUSR1)
    }

    private func wait(_ signals: sigset_t, _ broker: Broker, _ monitoring: MonitoringServer, _ notices: ServiceNotices) -> Never {
        var signals = signals
        var signal: Int32 = -1
        var wasStuck = false
        while signal < 0 {
            guard let interval = notices.watchdogInterval else {
                signal = sigwaitinfo(&signals, nil)
                continue
            }
            var time = timespec(tv_sec: Int(interval / 1_000_000_000), tv_nsec: Int(interval % 1_000_000_000))
            signal = sigtimedwait(&signals, nil, &time)
            // A broker that does not go on by itself is to be started again, which loses nothing that was promised.
            guard signal < 0 else { break }
            let fault = monitoring.fault
            if let fault { notices.isStuck(fault) } else { notices.isWell(again: wasStuck) }
            wasStuck = fault != nil
        }
        if signal == SIGUSR1 { Glibc.exit(2) }
        notices.stopping()
        monitoring.setServing(false)
        let isClean = broker.stop()
        Output.say(isClean ? "stopped" : "stopped before everything was finished")
        Glibc.exit(0)
    }

    /// One line for scripts and people that wait for it.
    private func readyLine(_ broker: Broker, _ settings: Settings, _ http: HostPort?) -> String {
        let listen = HostPort(host: settings.listen.host, port: broker.port)
        return "hutong ready listen=\(listen) data=\(settings.dataDir) io=\(broker.backend.rawValue)"
            + " http=\(http.map(\.description) ?? "none") flush=\(settings.journalFlushMethod.rawValue) layout=\(broker.plan.layout.rawValue)"
            + " threads=\(broker.plan.threads.count) partition.groups=\(broker.plan.partitionGroups)"
            + " acks=0:oneWay(no answer) acks=1:\(meaning(settings.qosLeader.rawValue))"
            + " acks=-1:\(meaning(settings.qosAll.rawValue))"
    }

    private func meaning(_ name: String) -> String {
        QualityOfService(name: name).map { "\($0.name)(\($0.meaning))" } ?? name
    }
}

extension BrokerConfiguration {
    /// As the operator has set it, on this host.
    init(_ settings: Settings) throws {
        let topicSettings = TopicSettings(
            qosLeader: QualityOfService(name: settings.qosLeader.rawValue) ?? .persisted,
            qosAll: QualityOfService(name: settings.qosAll.rawValue) ?? .durable,
            minInsyncReplicas: UInt8(settings.minInsyncReplicas), maxMessageBytes: settings.messageMaxBytes, retentionMs: Int64(settings.logRetentionMs),
            retentionBytes: Int64(settings.logRetentionBytes), cleanup: CleanupPolicy(settings.logCleanupPolicy.rawValue) ?? .delete,
            compaction: CompactionSettings(
                minDirtyRatio: settings.logCleanerMinCleanableRatio, minLagMs: Int64(settings.logCleanerMinCompactionLagMs),
                maxLagMs: Int64(settings.logCleanerMaxCompactionLagMs), deleteRetentionMs: Int64(settings.logCleanerDeleteRetentionMs)),
            usesAppendTime: settings.logMessageTimestampType == .logAppendTime)
        let journal = JournalOptions(
            segmentBytes: settings.journalSegmentBytes, cacheSegments: settings.journalCacheSegments,
            locksMemory: settings.memoryLock, journalBytes: settings.journalMaxBytes, reserveBytes: settings.diskReserveBytes,
            compaction: CompactionLimits(keyBytes: settings.logCleanerDedupeBufferSize, bytesASecond: settings.logCleanerIoMaxBytesPerSecond))
        self.init(
            dataDirectory: settings.dataDir, listenHost: settings.listen.host, listenPort: settings.listen.port,
            advertisedHost: settings.advertise?.host, advertisedPort: settings.advertise?.port,
            nodeId: Int32(settings.brokerId), clusterId: settings.clusterId, topology: .discover(),
            wishes: PlacementWishes(settings),
            flushMethod: IO.FlushMethod(rawValue: settings.journalFlushMethod.rawValue) ?? .linked,
            ringChoice: RingChoice(rawValue: settings.ioBackend.rawValue) ?? .auto,
            journal: journal,
            intake: IntakeLimits(settings),
            reading: ReadLimits(
                fetchBytes: settings.fetchMaxBytes, answerBytes: max(64 << 20, 2 * settings.fetchMaxBytes),
                coldBytes: 32 << 20, journalSegments: journal.journalSegments,
                backlogSegments: settings.replicaBacklogBytes / journal.segmentBytes, retentionInterval: settings.logRetentionCheckIntervalMs),
            topics: TopicDefaults(
                partitions: settings.numPartitions, autoCreate: settings.autoCreateTopicsEnable, settings: topicSettings,
                offsetsPartitions: settings.offsetsTopicPartitions, offsetsReplicas: settings.offsetsTopicReplicas),
            producerLimit: settings.producerStateMax, producerExpiration: Int64(settings.producerIdExpirationMs),
            traceFile: settings.ioTrace)
        groups = GroupSettings(settings)
        if let wedge = settings.debugWedgeStage, let kind = StageKind(rawValue: wedge.kind) {
            wedges = [kind: Wedge(delay: UInt64(wedge.seconds) * 1_000_000_000, hangs: wedge.hangs)]
        }
        self.settings = settings.described
        cluster = try ClusterConfiguration(settings)
    }
}

extension GroupSettings {
    init(_ settings: Settings) {
        func nanoseconds(_ milliseconds: Int) -> UInt64 { UInt64(milliseconds) * 1_000_000 }
        self.init()
        limits.sessionTimeouts =
            nanoseconds(settings.groupMinSessionTimeoutMs)...nanoseconds(max(settings.groupMinSessionTimeoutMs, settings.groupMaxSessionTimeoutMs))
        limits.initialDelay = nanoseconds(settings.groupInitialRebalanceDelayMs)
        limits.mostMembers = settings.groupMaxSize
        metadataBytes = settings.offsetMetadataMaxBytes
        skipsDamaged = settings.offsetsSkipDamaged
        retention = Int64(settings.offsetsRetentionMinutes) * 60_000
        retentionInterval = nanoseconds(settings.offsetsRetentionCheckIntervalMs)
    }
}

extension ClusterConfiguration {
    /// How many partition groups a cluster can have where it is not said.
    private static let usualGroups = 8

    /// Nil: the broker is alone.
    init?(_ settings: Settings) throws {
        guard let endpoints = settings.etcdEndpoints else { return nil }
        var password: String?
        if let file = settings.etcdPasswordFile {
            guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
                throw BrokerError("\(file), which etcd.password.file names, can't be read.")
            }
            password = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        }
        var times = ReplicaTimes()
        times.silence = UInt64(settings.replicaSilenceMs) * 1_000_000
        times.lag = UInt64(settings.replicaLagTimeMaxMs) * 1_000_000
        times.heartbeat = times.silence / 8
        times.candidacy = max(times.silence * 3 / 2, 1_000_000_000)
        times.backoff = times.silence / 4
        times.retry = times.silence / 4
        times.steady = UInt64(settings.leaderImbalanceCheckIntervalSeconds) * 1_000_000_000
        times.balance = settings.autoLeaderRebalanceEnable ? times.steady : nil
        // A frame may be as long as a segment.
        guard settings.journalSegmentBytes <= 128 << 20 else {
            throw BrokerError("journal.segment.bytes is \(settings.journalSegmentBytes), but in a cluster it may be 128 MiB at most.")
        }
        times.window = UInt64(max(8 << 20, settings.journalSegmentBytes + (1 << 20)))
        times.read = UInt64(settings.journalSegmentBytes)
        let etcd = EtcdOptions(
            endpoints: endpoints.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }, prefix: settings.etcdPrefix,
            leaseSeconds: settings.etcdLeaseSeconds, username: settings.etcdUsername, password: password, caFile: settings.etcdCaFile,
            certificateFile: settings.etcdCertificateFile, keyFile: settings.etcdKeyFile)
        self.init(
            etcd: etcd, peerHost: settings.peerListen.host, peerPort: settings.peerListen.port,
            advertisedPeerHost: settings.peerAdvertise?.host, advertisedPeerPort: settings.peerAdvertise?.port,
            groups: settings.partitionGroups ?? ClusterConfiguration.usualGroups, defaultReplicas: settings.defaultReplicationFactor, times: times)
    }
}

extension Settings {
    /// As clients are told of them.
    fileprivate var described: [DescribedSetting] { Settings.all.map(described) + kafkasAddresses + kafkasOthers }

    /// Under the names by which Kafka's tools look for them.
    private var kafkasAddresses: [DescribedSetting] {
        [("listeners", "listen", listen), ("advertised.listeners", "advertise", advertised)].map { name, setting, address in
            DescribedSetting(
                name: name, value: "PLAINTEXT://\(address)", given: "PLAINTEXT://\(address)", defaultValue: "", type: .list,
                documentation: "What \(setting) says, as Kafka writes it.")
        }
    }

    /// Kafka's that have no meaning here, as they are in a Kafka that was given nothing: tools show them, or look for them.
    private var kafkasOthers: [DescribedSetting] {
        Settings.kafkas.map { setting in
            var described = DescribedSetting(
                name: setting.key, value: setting.defaultText, given: nil, defaultValue: setting.defaultText, type: configType(setting.type),
                documentation: "Without effect here. \(setting.reason)")
            described.isIdle = true
            return described
        }
    }

    private func described(_ setting: Setting) -> DescribedSetting {
        let (value, standard) = (setting.plainText(self), setting.plainText(Settings()))
        return DescribedSetting(
            name: setting.key, value: value, given: value == standard ? nil : value, defaultValue: standard, type: configType(setting.type),
            documentation: setting.doc)
    }

    private func configType(_ type: SettingType) -> ConfigType {
        switch type {
        case .text: .string
        case .boolean: .boolean
        case .number: .long
        }
    }
}

extension IntakeLimits {
    init(_ settings: Settings) {
        self.init(
            connections: settings.maxConnections, receiveBytes: settings.connectionReceiveBytes,
            requestBytes: settings.socketRequestMaxBytes, inFlight: settings.connectionMaxInFlight,
            largeBufferBytes: max(256 << 20, 2 * settings.socketRequestMaxBytes))
        connectionsPerAddress = settings.maxConnectionsPerIp
        reservedDescriptors = settings.fileDescriptorsReserved
        func nanoseconds(_ milliseconds: Int) -> UInt64 { UInt64(milliseconds) * 1_000_000 }
        timeouts = ConnectionTimeouts(
            firstByte: nanoseconds(settings.connectionFirstByteTimeoutMs),
            request: nanoseconds(settings.connectionRequestTimeoutMs),
            requestRate: settings.connectionRequestMinBytesPerSecond, idle: nanoseconds(settings.connectionsMaxIdleMs),
            send: nanoseconds(settings.connectionSendTimeoutMs))
    }
}

extension PlacementWishes {
    init(_ settings: Settings) {
        self.init(
            layout: Layout(rawValue: settings.threadsLayout.rawValue), partitionGroups: settings.partitionGroups,
            ioThreads: settings.threadsIO, pin: settings.threadsPin)
    }
}
