import ArgumentParser
import Bench
import Client
import Foundation
import Host
import Settings
import Wire

/// `hutong bench produce`.
struct BenchProduce: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "produce",
        abstract: "Measure how many produce requests a second a broker answers, and how fast; every answer is checked.",
        discussion: """
            Prints the line of kafka-producer-perf-test, and a card that says what was measured. In the same run, for a broker on this \
            host, it measures what the drive does at most (durable writes of one size after the other) and what the transport does at \
            most (hutong bench null), and says what share of each the broker reaches.
            """)

    @Option(name: .long, help: ArgumentHelp("The broker.", valueName: "host:port")) var server = "127.0.0.1:9092"
    @Option(name: .long, help: "Connections.") var connections = 4
    @Option(name: .long, help: "Requests that each connection has under way at once.") var outstanding = 1024
    @Option(name: .long, help: "Bytes of a record's value.") var recordSize = 100
    @Option(name: .long, help: "Records in a request.") var recordsPerRequest = 1
    @Option(name: .long, parsing: .unconditional, help: "What an answer means: -1, 1, or 0 for none.") var acks: Int16 = -1
    @Option(name: .long, help: "Topics; they are made, and deleted at the end.") var topics = 1
    @Option(name: .long, help: "The topic, which is made if it does not exist, and stays.") var topic: String?
    @Option(name: .long, help: "Partitions of each topic; as many as connections by default.") var partitions: Int?
    @Option(name: .long, help: "Idempotent producers of each connection; 0: none.") var producers = 1
    @Option(name: .long, help: "Seconds before counting begins.") var warmup = 1.0
    @Option(name: .long, help: "Seconds that are counted.") var duration = 10.0
    @Option(name: .long, help: "Requests a second, sent when due whatever the answers do; as fast as answers come by default.") var rate: Double?
    @Option(name: .long, help: "Threads of the load generator.") var threads = 1
    @Option(name: .long, help: "A setting of the topics, as NAME=VALUE; may be given again.") var topicConfig: [String] = []
    @Option(name: .long, help: "The seed of what records hold.") var seed: UInt64 = 1
    @Option(name: .long, help: "Seconds for each ceiling, of transport and of drive; 0: they are not measured.") var ceiling = 3.0
    @Flag(name: .long, help: "Leave the topics there.") var keep = false
    @Flag(name: .long, help: "Print the card as JSON.") var json = false

    func validate() throws {
        guard HostPort(server) != nil else { throw ValidationError("--server must be host:port.") }
        guard [-1, 0, 1].contains(acks) else { throw ValidationError("--acks is -1, 0 or 1.") }
        guard connections > 0, outstanding > 0, recordsPerRequest > 0, topics > 0, threads > 0, (partitions ?? 1) > 0 else {
            throw ValidationError("counts must be greater than zero.")
        }
        guard recordSize >= 0, producers >= 0, warmup >= 0, duration > 0, ceiling >= 0, rate.map({ $0 > 0 }) ?? true else {
            throw ValidationError("sizes, times and rates must not be negative.")
        }
        guard (connections + threads - 1) / threads <= 250 else {
            throw ValidationError("a thread has at most 250 connections: raise --threads.")
        }
        guard topic == nil || topics == 1 else { throw ValidationError("--topic names the only one.") }
        guard topicConfig.allSatisfy({ $0.contains("=") }) else { throw ValidationError("--topic-config is NAME=VALUE.") }
    }

    func run() throws {
        guard let address = HostPort(server) else { return }
        let client = KafkaClient(bootstrap: [KafkaClient.Address(host: address.host, port: Int32(address.port))])
        var settings = try loadSettings(address)
        var before = 0
        if let topic, let known = try? client.partitionCount(of: topic) {
            settings.partitions = Int(known)
            before = try held(settings, client)
        } else {
            try BenchCommand.makeTopics(settings, configs: topicConfig, client)
        }
        defer { if !keep && topic == nil { _ = try? client.deleteTopics(settings.topics) } }
        for _ in 0..<connections * producers { settings.producerIds.append(try client.initProducerId()) }
        let broker = BrokerProcess(listeningOn: address.port)
        let result = try run(settings, broker)
        if acks == 0 { try awaitAll(before + result.counts.sentRecords, settings, client) }
        let facts = try BrokerFacts(client, topic: settings.topics[0], acks: acks, process: broker)
        var card = BenchCard(self, settings, result, facts)
        if ceiling > 0 {
            if let directory = broker?.dataDirectory {
                card.drive = try DriveCeiling(directory: directory, sizes: BenchCard.driveSizes, seconds: ceiling / Double(BenchCard.driveSizes.count))
            }
            card.null = try nullResult(settings)
        }
        print(json ? try Output.json(card.values) : card.text, terminator: "")
    }

    private func loadSettings(_ address: HostPort) throws -> LoadSettings {
        var settings = LoadSettings()
        settings.host = address.host
        settings.port = address.port
        settings.connections = connections
        settings.outstanding = outstanding
        settings.recordSize = recordSize
        settings.recordsPerRequest = recordsPerRequest
        settings.acks = acks
        // Names of one length: so are the requests, whichever topic they are for.
        let stamp = Moment.now().wall
        settings.topics = topic.map { [$0] } ?? (0..<topics).map { "bench-\(stamp)-" + String(format: "%06d", $0) }
        settings.partitions = partitions ?? (topics == 1 ? connections : 1)
        settings.producers = producers
        settings.rate = rate
        settings.warmup = warmup
        settings.duration = duration
        settings.threads = threads
        settings.seed = seed
        return settings
    }

    private func run(_ settings: LoadSettings, _ broker: BrokerProcess?, _ what: String = "") throws -> LoadResult {
        try ProduceLoad(settings, broker: broker).run { second, requests in
            Output.say("\(what)\(second) s: \(requests) requests/s")
        }
    }

    /// How many records the partitions' logs have had.
    private func held(_ settings: LoadSettings, _ client: KafkaClient) throws -> Int {
        var count: Int64 = 0
        for topic in settings.topics {
            for partition in 0..<Int32(settings.partitions) {
                count += try client.offset(of: .init(topic, partition), at: ListOffsetsRequest.Timestamp.latest)
            }
        }
        return Int(count)
    }

    /// Without answers, what has arrived is what the partitions then hold.
    private func awaitAll(_ records: Int, _ settings: LoadSettings, _ client: KafkaClient) throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while true {
            let there = try held(settings, client)
            if there == records { return }
            guard there < records, ContinuousClock.now < deadline else {
                throw LoadError("after what was sent with acks 0 the partitions must hold \(records) records, but they hold \(there)")
            }
            usleep(50_000)
        }
    }

    /// The same load against a server that does nothing with it, on this host.
    private func nullResult(_ settings: LoadSettings) throws -> LoadResult {
        let server = Process()
        server.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        server.arguments = ["bench", "null"]
        let output = Pipe()
        server.standardOutput = output
        try server.run()
        defer {
            server.terminate()
            server.waitUntilExit()
        }
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        guard let port = line.split(separator: ",").first?.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw LoadError("the null server does not say where it listens: \(line)")
        }
        var null = settings
        null.host = "127.0.0.1"
        null.port = port
        null.rate = nil
        null.warmup = min(1, ceiling / 3)
        null.duration = ceiling
        null.checksOffsets = false
        return try run(null, BrokerProcess(pid: server.processIdentifier), "transport ")
    }
}
