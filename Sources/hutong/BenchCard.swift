import Bench
import Foundation

/// What a produce load has found, and all that one has to know to judge it.
struct BenchCard {
    static let driveSizes = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20]

    struct Values: Encodable {
        struct Latency: Encodable {
            var meanMs: Double
            var p50Ms: Double
            var p95Ms: Double
            var p99Ms: Double
            var p999Ms: Double
            var maxMs: Double

            init(_ log: LatencyLog) {
                func ms(_ percent: Double) -> Double { Double(log.percentile(percent)) / 1e6 }
                meanMs = log.mean / 1e6
                p50Ms = ms(50)
                p95Ms = ms(95)
                p99Ms = ms(99)
                p999Ms = ms(99.9)
                maxMs = Double(log.greatest) / 1e6
            }
        }

        struct Drive: Encodable {
            var bytes: Int
            var writesPerSecond: Double
            var megabytesPerSecond: Double
            var p50Us: Double
        }

        var connections: Int
        var outstanding: Int
        var recordSize: Int
        var recordsPerRequest: Int
        var acks: Int
        var topics: Int
        var partitions: Int
        var producersPerConnection: Int
        var rate: Double?
        var seconds: Double
        var broker: BrokerFacts
        var requests: Int
        var requestsPerSecond: Double
        var recordsPerSecond: Double
        var megabytesPerSecond: Double
        var latency: Latency
        var sendDelay: Latency?
        var brokerNsPerRequest: Double?
        var generatorNsPerRequest: Double
        var drive: [Drive]?
        var nullRequestsPerSecond: Double?
        var nullNsPerRequest: Double?
        var shareOfNull: Double?
        var shareOfDriveBytes: Double?
    }

    private let settings: LoadSettings
    private let result: LoadResult
    private let facts: BrokerFacts
    var drive: DriveCeiling?
    var null: LoadResult?

    init(_ command: BenchProduce, _ settings: LoadSettings, _ result: LoadResult, _ facts: BrokerFacts) {
        self.settings = settings
        self.result = result
        self.facts = facts
    }

    var values: Values {
        let requests = result.requestsPerSecond
        let records = requests * Double(settings.recordsPerRequest)
        let bytes = records * Double(settings.recordSize)
        let counted = Double(max(result.counts.counted, 1))
        return Values(
            connections: settings.connections, outstanding: settings.outstanding, recordSize: settings.recordSize,
            recordsPerRequest: settings.recordsPerRequest, acks: Int(settings.acks), topics: settings.topics.count,
            partitions: settings.partitions, producersPerConnection: settings.producers, rate: settings.rate, seconds: result.seconds,
            broker: facts,
            requests: result.counts.counted, requestsPerSecond: requests, recordsPerSecond: records, megabytesPerSecond: bytes / 1e6,
            latency: Values.Latency(result.latencies), sendDelay: settings.rate == nil ? nil : Values.Latency(result.delays),
            brokerNsPerRequest: result.brokerCPU.map { $0 / counted }, generatorNsPerRequest: result.ownCPU / counted,
            drive: drive?.figures.map {
                .init(
                    bytes: $0.size, writesPerSecond: $0.writesPerSecond, megabytesPerSecond: $0.bytesPerSecond / 1e6,
                    p50Us: Double($0.latencies.percentile(50)) / 1e3)
            },
            nullRequestsPerSecond: null?.requestsPerSecond,
            nullNsPerRequest: null.flatMap { result in result.brokerCPU.map { $0 / Double(max(result.counts.counted, 1)) } },
            shareOfNull: settings.rate == nil ? null.map { requests / $0.requestsPerSecond } : nil,
            shareOfDriveBytes: drive.map { bytes / ($0.figures.map(\.bytesPerSecond).max() ?? 1) })
    }

    var text: String {
        let values = values
        func number(_ value: Double) -> String { String(format: value < 100 ? "%.1f" : "%.0f", value) }
        func latency(_ l: Values.Latency) -> String {
            String(format: "p50 %.3f  p99 %.3f  p99.9 %.3f  max %.3f ms", l.p50Ms, l.p99Ms, l.p999Ms, l.maxMs)
        }
        let l = values.latency
        // As kafka-producer-perf-test has it.
        var lines = [
            String(
                format: "%d records sent, %.1f records/sec (%.2f MB/sec), %.2f ms avg latency, %.2f ms max latency, "
                    + "%.0f ms 50th, %.0f ms 95th, %.0f ms 99th, %.0f ms 99.9th.",
                values.requests * values.recordsPerRequest, values.recordsPerSecond, values.megabytesPerSecond * 1e6 / 1_048_576,
                l.meanMs, l.maxMs, l.p50Ms, l.p95Ms, l.p99Ms, l.p999Ms), "",
        ]
        func line(_ name: String, _ value: String) {
            lines.append("  " + name.padding(toLength: 18, withPad: " ", startingAt: 0) + value)
        }
        line("requests/s", number(values.requestsPerSecond))
        line("records/s", number(values.recordsPerSecond))
        line("MB/s of values", number(values.megabytesPerSecond))
        line("latency", latency(l))
        if let delay = values.sendDelay { line("send delay", latency(delay)) }
        line(
            "load",
            "\(values.connections) x \(values.outstanding), \(values.recordsPerRequest) x \(values.recordSize) B a request, acks \(values.acks), "
                + "\(values.topics) topics x \(values.partitions) partitions, \(values.producersPerConnection) producers a connection"
                + (values.rate.map { ", \(number($0)) requests/s asked for" } ?? ", closed loop") + ", \(number(values.seconds)) s")
        let facts = values.broker
        line("QoS", (facts.qos ?? "not said by the broker") + ", \(facts.replicas) replica" + (facts.replicas == 1 ? "" : "s"))
        line(
            "stands on",
            [
                facts.flushMethod.map { "flush method \($0)" }, facts.backend.map { "backend \($0)" }, facts.layout.map { "layout \($0)" },
                facts.drive.map { "drive \($0)" },
            ].compactMap { $0 }.joined(separator: "; "))
        line(
            "CPU a request",
            (values.brokerNsPerRequest.map { "broker \(number($0)) ns, " } ?? "broker unknown (not on this host), ")
                + "generator \(number(values.generatorNsPerRequest)) ns")
        for (number, figure) in (values.drive ?? []).enumerated() {
            line(
                number == 0 ? "drive's ceiling" : "",
                String(
                    format: "%7d B: %7.0f durable writes/s, %7.1f MB/s, p50 %.0f us (O_DIRECT write + fdatasync, one at a time)", figure.bytes,
                    figure.writesPerSecond, figure.megabytesPerSecond, figure.p50Us))
        }
        if let null = values.nullRequestsPerSecond {
            line(
                "transport's",
                "\(number(null)) requests/s without parsing or storing"
                    + (values.nullNsPerRequest.map { ", server \(number($0)) ns a request" } ?? ""))
        }
        if let share = values.shareOfNull { line("our share", String(format: "%.2f of the transport's", share)) }
        if let share = values.shareOfDriveBytes { line("", String(format: "%.2f of the drive's bytes", share)) }
        return lines.joined(separator: "\n") + "\n"
    }
}
