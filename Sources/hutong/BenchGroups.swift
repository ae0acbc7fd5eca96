import ArgumentParser
import Bench
import Client
import Foundation
import Host
import Settings

/// `hutong bench groups`.
struct BenchGroups: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "groups", abstract: "Measure what consumer groups cost, and how fast they commit; every answer is checked.",
        discussion: """
            Makes topics; lets groups of one member each join; commits, again and again, each group the offsets of all partitions of its topic; asks \
            what has been committed; and deletes groups and topics. The broker alone coordinates: of a cluster the groups that others \
            coordinate are refused. Members wait for others to join first, as group.initial.rebalance.delay.ms of the broker says.
            """)

    @Option(name: .long, help: ArgumentHelp("The broker.", valueName: "host:port")) var server = "127.0.0.1:9092"
    @Option(name: .long, help: "Groups.") var groups = 1000
    @Option(name: .long, help: "Topics, which the groups read in turn.") var topics = 100
    @Option(name: .long, help: "Partitions of each topic.") var partitions: Int32 = 10
    @Option(name: .long, help: "Connections, each with one request under way.") var connections = 100
    @Option(name: .long, help: "Seconds before counting begins.") var warmup = 1.0
    @Option(name: .long, help: "Seconds in which commits are counted.") var duration = 10.0
    @Flag(name: .long, help: "Leave topics and groups there.") var keep = false
    @Flag(name: .long, help: "Print figures as JSON.") var json = false

    func validate() throws {
        guard HostPort(server) != nil else { throw ValidationError("--server must be host:port.") }
        guard groups > 0, topics > 0, (1...1000).contains(partitions), (1...250).contains(connections) else {
            throw ValidationError("counts must be greater than zero; --partitions at most 1000, --connections at most 250.")
        }
        guard warmup >= 0, duration > 0 else { throw ValidationError("times must be greater than zero.") }
    }

    private struct Figures: Encodable {
        var groups: Int
        var topics: Int
        var partitions: Int
        var connections: Int
        var seconds: Double
        var joinedSeconds: Double
        var commits: Int
        var commitsPerSecond: Double
        var offsetsPerSecond: Double
        var latency: BenchCard.Values.Latency
        var brokerNsPerCommit: Double?
        var residentBeforeMiB: Double?
        var residentAfterMiB: Double?
        var verifiedOffsets: Int
        var verifiedSeconds: Double
    }

    func run() throws {
        guard let address = HostPort(server) else { return }
        let client = KafkaClient(bootstrap: [KafkaClient.Address(host: address.host, port: Int32(address.port))])
        let stamp = Moment.now().wall
        var made = LoadSettings()
        made.topics = (0..<topics).map { "bench-\(stamp)-\($0)" }
        made.partitions = Int(partitions)
        try BenchCommand.makeTopics(made, client)
        defer { if !keep { _ = try? client.deleteTopics(made.topics) } }
        var settings = GroupLoadSettings()
        settings.host = address.host
        settings.port = address.port
        settings.connections = connections
        settings.name = "bench-\(stamp)"
        settings.groups = groups
        settings.topics = made.topics
        settings.partitions = partitions
        settings.warmup = warmup
        settings.duration = duration
        // Where there has been no group yet, this makes what they are kept in.
        _ = try client.committedOffsets(of: settings.name)
        let load = GroupLoad(settings, broker: BrokerProcess(listeningOn: address.port))
        let result = try load.run { Output.say($0) }
        if !keep { try load.end() }
        try report(result)
    }

    private func report(_ result: GroupLoadResult) throws {
        func mebibytes(_ bytes: Int?) -> Double? { bytes.map { Double($0) / Double(1 << 20) } }
        let figures = Figures(
            groups: groups, topics: topics, partitions: Int(partitions), connections: connections, seconds: duration, joinedSeconds: result.joinedSeconds,
            commits: result.commits, commitsPerSecond: Double(result.commits) / duration, offsetsPerSecond: Double(result.commits * Int(partitions)) / duration,
            latency: BenchCard.Values.Latency(result.latencies), brokerNsPerCommit: result.commits == 0 ? nil : result.brokerCPU.map { $0 / Double(result.commits) },
            residentBeforeMiB: mebibytes(result.residentBefore), residentAfterMiB: mebibytes(result.residentAfter), verifiedOffsets: result.verifiedOffsets,
            verifiedSeconds: result.verifiedSeconds)
        if json { return print(try Output.json(figures), terminator: "") }
        print(
            String(
                format: "%d groups joined in %.1f s; %.0f commits/s of %d offsets each, p50 %.2f ms, p99 %.2f ms, %d connections, every answer checked",
                groups, figures.joinedSeconds, figures.commitsPerSecond, figures.partitions, figures.latency.p50Ms, figures.latency.p99Ms, connections))
        if let cost = figures.brokerNsPerCommit, let before = figures.residentBeforeMiB, let after = figures.residentAfterMiB {
            print(String(format: "the broker: %.0f ns of CPU a commit; %.1f MiB of memory before the groups, %.1f MiB after", cost, before, after))
        }
        print(String(format: "%d offsets asked for afterwards in %.1f s: all as committed", figures.verifiedOffsets, figures.verifiedSeconds))
    }
}
