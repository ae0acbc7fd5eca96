import Foundation
import Testing

@testable import Settings

@Suite struct SettingsTests {
    private func problems(
        _ yaml: String? = nil, environment: [String: String] = [:], flags: [(key: String, value: String)] = []
    ) -> [String] {
        do throws(SettingsError) {
            _ = try Settings.load(yaml: yaml, environment: environment, flags: flags)
            return []
        } catch {
            return error.problems
        }
    }

    @Test func theDefaultsAreThoseOfTheTable() throws {
        var fromTable = Settings()
        for setting in Settings.all {
            let applied = setting.apply(&fromTable, setting.defaultText)
            #expect(applied, "\(setting.key)")
        }
        #expect(fromTable == Settings())
        #expect(try Settings.load(yaml: nil) == Settings())
        #expect(try Settings.load(yaml: "") == Settings() && Settings.load(yaml: "# nothing\n") == Settings())
    }

    @Test func laterSourcesOverrideEarlierOnes() throws {
        let yaml = "num.partitions: 2\nmessage.max.bytes: 2MiB\nlisten: 10.0.0.1:9092\n"
        let settings = try Settings.load(
            yaml: yaml, environment: ["HUTONG_NUM_PARTITIONS": "3", "HUTONG_LISTEN": "[::1]:9093", "PATH": "/bin"],
            flags: [("num.partitions", "4"), ("num.partitions", "5")])
        #expect(settings.numPartitions == 5 && settings.messageMaxBytes == 2 << 20)
        #expect(settings.listen == HostPort(host: "::1", port: 9093))
        #expect(settings.advertised == settings.listen)
    }

    @Test func nestedMapsFlatten() throws {
        let yaml = """
            journal:
              segment.bytes: 128MiB
              cache: {segments: 12}
              flush:
                method: dsync
            partition.groups: 4
            threads: {layout: two, io: auto, pin: false}
            """
        let settings = try Settings.load(yaml: yaml)
        #expect(settings.journalSegmentBytes == 128 << 20 && settings.journalCacheSegments == 12)
        #expect(settings.journalFlushMethod == .dsync && settings.partitionGroups == 4)
        #expect(settings.threadsLayout == .two && settings.threadsIO == nil && !settings.threadsPin)
    }

    @Test func aliasesAreTaken() throws {
        #expect(try Settings.load(yaml: "node.id: 7").brokerId == 7)
        #expect(try Settings.load(yaml: nil, environment: ["HUTONG_IO": "io_uring"]).ioBackend == .ioUring)
        #expect(try Settings.load(yaml: nil, environment: ["HUTONG_IO_BACKEND": "auto"]).ioBackend == .auto)
        #expect(try Settings.load(yaml: nil, environment: ["HUTONG_IO": "epoll"]).ioBackend == .epoll)
        #expect(problems("node.id: 7\nbroker.id: 7") == ["hutong.yaml, line 2: broker.id is set twice. Keep one."])
    }

    @Test func unknownKeysAreRefusedWithTheNearest() {
        #expect(
            problems("\nnum.partition: 3")
                == ["hutong.yaml, line 2: num.partition is no setting. Did you mean num.partitions?"])
        #expect(
            problems(environment: ["HUTONG_MESSAGE_MAX_BYTE": "3", "HUTONG_CONFIG": "x.yaml"])
                == ["The environment: HUTONG_MESSAGE_MAX_BYTE is no setting. Did you mean HUTONG_MESSAGE_MAX_BYTES?"])
        #expect(
            problems(flags: [("qos.leadr", "x")])
                == ["The command line: qos.leadr is no setting. Did you mean qos.leader?"])
    }

    @Test func kafkasOtherUnitsAreTaken() throws {
        #expect(try Settings.load(yaml: "log.retention.hours: 3").logRetentionMs == 10_800_000)
        #expect(try Settings.load(yaml: nil, environment: ["HUTONG_LOG_RETENTION_MINUTES": "5"]).logRetentionMs == 300_000)
        #expect(try Settings.load(yaml: "log.retention.minutes: -1").logRetentionMs == -1)
        #expect(try Settings.load(yaml: "log.retention.hours: 3", flags: [("log.retention.ms", "7")]).logRetentionMs == 7)
        #expect(problems("log.retention.hours: -2").first?.hasPrefix("hutong.yaml, line 1: log.retention.hours is '-2', but must be a whole number of hours") == true)
        #expect(problems("log.retention.hours: 9223372036854775807").count == 1)
        #expect(
            problems("log.retention.ms: 3\nlog.retention.hours: 3")
                == ["hutong.yaml, line 2: log.retention.hours sets log.retention.ms a second time. Keep one."])
    }

    @Test func whatOfKafkasMeansNothingHereIsRefusedWithTheReason() throws {
        for key in ["num.io.threads", "log.segment.bytes", "transaction.state.log.min.isr", "socket.send.buffer.bytes", "zookeeper.connect", "ssl.keystore.location"] {
            let found = problems(flags: [(key, "1")])
            #expect(found.count == 1 && found[0].hasPrefix("The command line: \(key) is a setting of Kafka's that means nothing here. "), "\(found)")
        }
        #expect(problems(environment: ["HUTONG_NUM_IO_THREADS": "8"]).first?.contains("threads.layout") == true)
        #expect(problems("compression.type: gzip").first?.contains("must be producer: Batches stay") == true)
        #expect(try Settings.load(yaml: "compression.type: producer\nunclean.leader.election.enable: false") == Settings())
    }

    @Test func wrongValuesAreNamedAllAtOnce() {
        #expect(
            problems("num.partitions: many\nqos:\n  all: most", flags: [("memory.lock", "maybe")]) == [
                "hutong.yaml, line 1: num.partitions is 'many', but must be a whole number from 1 to 100000.",
                "hutong.yaml, line 3: qos.all is 'most', but must be one of durable, replicated.",
                "The command line: memory.lock is 'maybe', but must be true or false.",
            ])
        #expect(problems("listen:").count == 1)
        #expect(problems("listen: [a, b]") == ["hutong.yaml, line 1: listen must be a single value."])
        #expect(problems("- a") == ["hutong.yaml must be a map of settings to values."])
        #expect(problems("a: b: c").first?.hasPrefix("hutong.yaml is not YAML") == true)
    }

    @Test func settingsThatDoNotFitTogetherAreRefused() {
        #expect(problems("listen: 0.0.0.0:9092").first?.hasPrefix("advertise must be set") == true)
        #expect(problems("listen: 0.0.0.0:9092\nadvertise: broker:9092").isEmpty)
        #expect(problems("socket.request.max.bytes: 1MiB").count == 1)
        #expect(problems("message.max.bytes: 33MiB").count == 1)
        #expect(problems("journal.segment.bytes: 67108865").count == 1)
        #expect(problems("min.insync.replicas: 2").first?.contains("etcd.endpoints") == true)
        #expect(problems("etcd.endpoints: http://etcd:2379\nmin.insync.replicas: 2").isEmpty)
        #expect(problems("etcd.endpoints: http://etcd:2379\nmin.insync.replicas: 3\ndefault.replication.factor: 2").count == 1)
    }

    @Test(arguments: [
        ("0", 0), ("1048588", 1_048_588), ("64MiB", 64 << 20), ("1 GiB", 1 << 30), ("3kib", 3 << 10), ("", nil), ("MiB", nil),
        ("1.5MiB", nil), ("64MB", nil), ("9999999999999GiB", nil), ("1  MiB", nil),
    ] as [(String, Int?)])
    func sizes(text: String, bytes: Int?) {
        #expect(Size.read(text) == bytes)
    }

    @Test(arguments: ["", ":", "a", "a:", ":1", "a:65536", "a:-1", "a:b", "::1:9092", "[]:1", "a b:1"])
    func wrongAddresses(text: String) {
        #expect(HostPort(text) == nil)
    }

    @Test func aFileThatCannotBeReadIsSaid() {
        #expect(throws: SettingsError.self) {
            try Settings.load(file: "/nowhere/hutong.yaml", environment: [:], flags: [])
        }
    }

    @Test func describesEverySetting() {
        let text = Settings.describe()
        for setting in Settings.all { #expect(text.contains("`\(setting.key)`")) }
        #expect(text.contains("| `message.max.bytes` | 1048588 |") && text.contains("| 64MiB |"))
    }

    /// docs/SETTINGS.md is what `hutong config describe` prints.
    @Test func theDocumentationIsUpToDate() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("docs/SETTINGS.md"), encoding: .utf8)
        #expect(text.hasSuffix(Settings.describe()), "run: hutong config describe")
    }

    // MARK: Kafka's variables

    @Test func whatKafkasImagesTakeIsTaken() throws {
        let settings = try Settings.load(
            yaml: "num.partitions: 2",
            environment: [
                "KAFKA_NUM_PARTITIONS": "3", "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false", "KAFKA_NODE_ID": "4", "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
                "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://localhost:29092", "KAFKA_PROCESS_ROLES": "broker,controller", "KAFKA_HEAP_OPTS": "-Xmx1g", "KAFKA_LOG_DIRS": "/data",
                "HUTONG_DATA_DIR": "/ours",
            ])
        #expect(settings.numPartitions == 3 && !settings.autoCreateTopicsEnable && settings.brokerId == 4)
        #expect(settings.listen == HostPort(host: "0.0.0.0", port: 9092) && settings.advertised == HostPort(host: "localhost", port: 29092))
        #expect(settings.dataDir == "/ours", "our own variables count more")
        #expect(settings.notes.count == 1 && settings.notes[0].contains("KAFKA_PROCESS_ROLES"))
    }

    @Test(arguments: [
        ("PLAINTEXT://a:1,EXTERNAL://b:2", "2 listeners"), ("SASL_SSL://a:1", "SASL_SSL"), ("localhost:9092", "NAME://HOST:PORT"), ("PLAINTEXT://nowhere", "host:port"),
    ]) func listenersThatThereAreNotAreRefused(value: String, says: String) {
        let found = problems(environment: ["KAFKA_ADVERTISED_LISTENERS": value])
        #expect(found.count == 1 && found[0].contains(says), "\(found)")
    }

    @Test func listenersAreHeldToTheirProtocols() {
        let environment = ["KAFKA_LISTENERS": "INSIDE://0.0.0.0:9092", "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "INSIDE:SSL, OUTSIDE:PLAINTEXT", "HUTONG_ADVERTISE": "h:1"]
        #expect(problems(environment: environment).first?.contains("SSL") == true)
        #expect(problems(environment: environment.merging(["KAFKA_LISTENERS": "OUTSIDE://0.0.0.0:9092"]) { $1 }).isEmpty)
    }

    @Test func theSampleChangesNothing() throws {
        let text = Settings.sample()
        #expect(try Settings.load(yaml: text) == Settings())
        for setting in Settings.all { #expect(text.contains("\n# \(setting.key): ")) }
        #expect(try Settings.load(yaml: Settings.sample(given: ["data.dir": "/d", "num.partitions": "7"])).numPartitions == 7)
        // With all that is commented out put in force it says the same.
        let all = text.split(separator: "\n").compactMap { line in
            line.firstMatch(of: /^# ([a-z.]+: .*)$/).flatMap { match in Settings.all.contains { match.1.hasPrefix("\($0.key): ") } ? String(match.1) : nil }
        }
        #expect(all.count == Settings.all.count)
        #expect(try Settings.load(yaml: all.joined(separator: "\n")) == Settings())
    }

    @Test(arguments: [("flush", "flush:0"), ("io:5", "io:5"), ("respond:1:hang", "respond:1:hang")]) func stagesToWedge(text: String, meant: String) throws {
        #expect(try Settings.load(yaml: nil, flags: [("debug.wedge.stage", text)]).debugWedgeStage?.description == meant)
    }

    @Test(arguments: ["read", "flush:x", "flush:1:2", "flush:1:hang:2", "", "flush:-1"]) func stagesThatCantBeWedged(text: String) {
        #expect(problems(flags: [("debug.wedge.stage", text)]).count == 1)
    }

    @Test func distances() {
        #expect(editDistance("kitten", "sitting") == 3 && editDistance("", "abc") == 3 && editDistance("a", "a") == 0)
    }
}
