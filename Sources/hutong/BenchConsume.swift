import ArgumentParser
import Bench
import Client
import Foundation
import Host
import Settings
import Wire

/// `hutong bench consume`.
struct BenchConsume: ParsableCommand {
    enum Mode: String, ExpressibleByArgument, CaseIterable {
        /// What was just written, which the broker has in memory.
        case cached
        /// More than the broker's memory holds, from the beginning.
        case cold
        /// New records, while they are produced at full speed.
        case tail
    }

    static let configuration = CommandConfiguration(
        commandName: "consume", abstract: "Measure how fast a broker's records are read; every batch is checked.",
        discussion: """
            Makes a topic, produces into it, reads it over several connections, a fetch at a time on each as consumers do, and deletes it. \
            Of every batch offsets and checksum are checked.
            """)

    @Option(name: .long, help: ArgumentHelp("The broker.", valueName: "host:port")) var server = "127.0.0.1:9092"
    @Option(name: .long, help: "What is read: cached, cold or tail.") var mode = Mode.cached
    @Option(name: .long, help: "A topic that is there, to read instead of one that is made and written for it.") var topic: String?
    @Option(name: .long, help: "Connections that read, each a partition of its own.") var connections = 4
    @Option(name: .long, help: "Bytes of a record's value.") var recordSize = 100
    @Option(name: .long, help: "Records in a batch.") var recordsPerBatch = 100
    @Option(name: .long, help: "MiB of values to produce beforehand: 64, or 1024 where they are to be read cold.") var size: Int?
    @Option(name: .long, help: "The most bytes of one answer.") var fetchBytes = 1 << 20
    @Option(name: .long, help: "Seconds before counting begins.") var warmup = 1.0
    @Option(name: .long, help: "Seconds that are counted.") var duration = 10.0
    @Option(name: .long, help: "A setting of the topic, as NAME=VALUE; may be given again.") var topicConfig: [String] = []
    @Flag(name: .long, help: "Print figures as JSON.") var json = false

    func validate() throws {
        guard HostPort(server) != nil else { throw ValidationError("--server must be host:port.") }
        guard connections > 0, connections <= 250, recordsPerBatch > 0, recordSize >= 0, (size ?? 1) > 0, duration > 0, warmup >= 0 else {
            throw ValidationError("counts, sizes and times must be greater than zero; --connections at most 250.")
        }
        guard topicConfig.allSatisfy({ $0.contains("=") }) else { throw ValidationError("--topic-config is NAME=VALUE.") }
        guard topic == nil || mode != .tail else { throw ValidationError("--mode tail makes its own topic.") }
        guard (1 << 10...1 << 30).contains(fetchBytes) else { throw ValidationError("--fetch-bytes is from 1024 to 1073741824.") }
    }

    private struct Figures: Encodable {
        var mode: String
        var connections: Int
        var recordSize: Int
        var recordsPerBatch: Int
        var seconds: Double
        var recordsPerSecond: Double
        var megabytesPerSecond: Double
        var fetchesPerSecond: Double
        var fetchP50Ms: Double
        var fetchP99Ms: Double
        var produceRequestsPerSecond: Double?
        var produceAloneRequestsPerSecond: Double?
    }

    func run() throws {
        guard let address = HostPort(server) else { return }
        let client = KafkaClient(bootstrap: [KafkaClient.Address(host: address.host, port: Int32(address.port))])
        var load = LoadSettings()
        load.host = address.host
        load.port = address.port
        load.connections = connections
        load.partitions = connections
        load.outstanding = mode == .tail ? 1024 : 8
        load.recordSize = recordSize
        load.recordsPerRequest = recordsPerBatch
        load.topics = ["bench-\(Moment.now().wall)"]
        load.producers = 0
        load.warmup = warmup
        load.duration = duration
        if let topic {
            load.topics = [topic]
            load.partitions = Int(try client.partitionCount(of: topic))
            return try report(try readAll(load, client))
        }
        try BenchCommand.makeTopics(load, configs: topicConfig, client)
        defer { _ = try? client.deleteTopics(load.topics) }
        try report(mode == .tail ? try tail(load, client) : try read(load, client))
    }

    private func report(_ figures: Figures) throws {
        if json { return print(try Output.json(figures), terminator: "") }
        print(
            String(
                format: "%.0f records/s, %.1f MB/s of batches, %.0f fetches/s, p50 %.3f ms, p99 %.3f ms; %@, %d connections, %d x %d B a batch, "
                    + "every batch checked",
                figures.recordsPerSecond, figures.megabytesPerSecond, figures.fetchesPerSecond, figures.fetchP50Ms, figures.fetchP99Ms,
                figures.mode, connections, recordsPerBatch, recordSize))
        if let produced = figures.produceRequestsPerSecond, let alone = figures.produceAloneRequestsPerSecond {
            print(
                String(format: "produced meanwhile: %.0f requests/s; without consumers %.0f: %.2f of that", produced, alone, produced / alone))
        }
    }

    private func read(_ load: LoadSettings, _ client: KafkaClient) throws -> Figures {
        var load = load
        let bytes = (size ?? (mode == .cold ? 1024 : 64)) << 20
        load.requests = max(bytes / max(recordSize * recordsPerBatch, 1), connections)
        load.duration = 3600
        _ = try ProduceLoad(load, broker: nil).run { second, requests in Output.say("writing, \(second) s: \(requests) requests/s") }
        return try readAll(load, client)
    }

    private func readAll(_ load: LoadSettings, _ client: KafkaClient) throws -> Figures {
        let consumers = try consumers(load, client, follows: false)
        try consumers.start()
        return try figures(try consumers.finish())
    }

    private func tail(_ load: LoadSettings, _ client: KafkaClient) throws -> Figures {
        let tell = { (second: Int, requests: Int) in Output.say("\(second) s: \(requests) requests/s") }
        let alone = try ProduceLoad(load, broker: nil).run(tell: tell)
        let consumers = try consumers(load, client, follows: true)
        let together = try ProduceLoad(load, broker: nil).run(ready: consumers.start, tell: tell)
        var figures = try figures(try consumers.finish())
        figures.produceRequestsPerSecond = together.requestsPerSecond
        figures.produceAloneRequestsPerSecond = alone.requestsPerSecond
        return figures
    }

    private func consumers(_ load: LoadSettings, _ client: KafkaClient, follows: Bool) throws -> ConsumeLoad {
        var settings = ConsumeSettings()
        settings.host = load.host
        settings.port = load.port
        settings.connections = connections
        settings.topic = load.topics[0]
        settings.partitions = load.partitions
        settings.follows = follows
        settings.fetchBytes = fetchBytes
        settings.warmup = warmup
        settings.duration = duration
        settings.ranges = try (0..<Int32(load.partitions)).map { partition in
            let end = try client.offset(of: .init(load.topics[0], partition), at: ListOffsetsRequest.Timestamp.latest)
            let start = follows ? end : try client.offset(of: .init(load.topics[0], partition), at: ListOffsetsRequest.Timestamp.earliest)
            guard follows || start < end else { throw LoadError("partition \(partition) has no records to read") }
            return start..<end
        }
        return try ConsumeLoad(settings)
    }

    private func figures(_ result: (counts: ConsumeCounts, latencies: LatencyLog)) throws -> Figures {
        Figures(
            mode: mode.rawValue, connections: connections, recordSize: recordSize, recordsPerBatch: recordsPerBatch, seconds: duration,
            recordsPerSecond: Double(result.counts.records) / duration, megabytesPerSecond: Double(result.counts.bytes) / duration / 1e6,
            fetchesPerSecond: Double(result.counts.fetches) / duration, fetchP50Ms: Double(result.latencies.percentile(50)) / 1e6,
            fetchP99Ms: Double(result.latencies.percentile(99)) / 1e6)
    }
}
