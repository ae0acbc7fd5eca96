import Foundation
import Host
import Meters
import Testing

@testable import Monitoring

@Suite struct MetricsTests {
    private func board() throws -> MeterBoard {
        try MeterBoard(
            BoardDescription(
                version: "1", brokerId: 3, listen: "h:1", advertised: "h:2", dataDirectory: "/d", backend: "epoll", flushMethod: "linked", isCluster: false,
                plan: PlacementPlan.make(topology: Topology(nodes: [.init(id: 0, cores: [[0], [1]])]))))
    }

    /// Values by name and labels; fails where the text is not as Prometheus wants it.
    private func samples(_ text: String) throws -> [String: Double] {
        var found: [String: Double] = [:]
        var types: [String: String] = [:]
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ")
                #expect(types.updateValue(String(words[3]), forKey: String(words[2])) == nil, "\(line): a metric is told of once")
            } else if !line.hasPrefix("#") {
                let space = try #require(line.lastIndex(of: " "))
                let value = try #require(Double(line[line.index(after: space)...]), "\(line)")
                #expect(found.updateValue(value, forKey: String(line[..<space])) == nil, "\(line): a sample is told of once")
            }
        }
        return found
    }

    @Test func countersBecomeSamples() throws {
        let board = try board()
        board.requests.add(0, 12)
        board.errors.add(7)
        board.meter(of: .io(0)).set(.first, 4)
        let flush = board.meter(of: .flush(0))
        for microseconds in [100, 100, 5000] as [UInt64] { flush.record(latency: microseconds * 1000) }
        board.set(group: 0, .committed, 99)
        board.set(group: 0, .servingEpoch, 2)
        var lags = GroupLags()
        lags.groups = [.init(id: "a\"b\\c\nd", members: 2)]
        lags.lags = [.init(group: "a\"b\\c\nd", topic: "t", records: 42)]
        let found = try samples(BrokerMetrics.text(board.snapshot(), lags: lags))
        #expect(found["hutong_requests_total{api=\"Produce\"}"] == 12 && found["hutong_produce_errors_total{error=\"REQUEST_TIMED_OUT\"}"] == 1)
        #expect(found["hutong_connections"] == 4 && found["hutong_journal_position_bytes{group=\"0\",position=\"committed\"}"] == 99)
        #expect(found["hutong_group_leading{group=\"0\"}"] == 1)
        #expect(found["hutong_flush_seconds_count{stage=\"flush-0\"}"] == 3 && found["hutong_flush_seconds_bucket{stage=\"flush-0\",le=\"+Inf\"}"] == 3)
        #expect(found["hutong_flush_seconds_bucket{stage=\"flush-0\",le=\"0.000131072\"}"] == 2)
        #expect(abs((found["hutong_flush_seconds_sum{stage=\"flush-0\"}"] ?? 0) - 0.0052) < 1e-9)
        #expect(found["hutong_consumer_group_lag_records{consumer_group=\"a\\\"b\\\\c\\nd\",topic=\"t\"}"] == 42)
    }

    @Test func bucketsOnlyGrow() throws {
        let board = try board()
        let respond = board.meter(of: .respond(0))
        for power in 0..<36 { respond.record(latency: 1 << UInt64(power)) }
        var before = -1.0
        for line in BrokerMetrics.text(board.snapshot(), lags: nil).split(separator: "\n") where line.hasPrefix("hutong_produce_seconds_bucket{stage=\"respond-0\"") {
            let value = try #require(Double(line.split(separator: " ")[1]))
            #expect(value >= before, "\(line)")
            before = value
        }
        #expect(before == 36)
    }

    @Test func ratesAreOfTheInterval() throws {
        let board = try board()
        board.requests.add(0, 1000)
        let before = board.snapshot()
        board.requests.add(0, 500)
        let view = BrokerView(board.snapshot(), since: before)
        #expect(view.requests["Produce"] == 1500)
        #expect(abs(view.producesPerSecond * view.intervalSeconds - 500) < 1)
        #expect(view.bottleneck == nil && view.partitionGroups.count == 1)
        let encoded = try JSONDecoder().decode(BrokerView.self, from: JSONEncoder().encode(view))
        #expect(encoded.stages.count == view.stages.count)
    }

    @Test func aBrokerIsWellUnlessStorageFailsOrAStageStands() throws {
        let board = try board()
        #expect(Health(board.snapshot()).faults.isEmpty && Health(board.snapshot()).problems.isEmpty)
        var standing = board.snapshot()
        let write = try #require(standing.description.stages.firstIndex { $0.kind == .write })
        standing.startedAt = 1
        standing.stages[write].depth = 1
        standing.stages[write].oldest = 5_000_000_000
        let (soon, later) = (Health(standing, patience: 4_000_000_000), Health(standing, patience: 6_000_000_000))
        #expect(soon.faults.count == 1 && later.faults.isEmpty && later.problems.count == 1)
        board.set(group: 0, .failure, 5)
        #expect(Health(board.snapshot()).faults.count == 1)
    }

    @Test(arguments: [
        ("127.0.0.1:9644", true), ("localhost", true), ("[::1]:9644", true), ("Broker.Example:9644", true), ("evil.example:9644", false), ("", false), ("127.0.0.1.evil.example", false),
    ]) func onlyOwnNamesAreAnswered(authority: String, isOwn: Bool) { #expect(OwnHosts(names: ["broker.example"]).isOwn(authority) == isOwn) }

    @Test func theDashboardAsksForWhatThereIs() throws {
        let board = try board()
        let text = BrokerMetrics.text(board.snapshot(), lags: GroupLags())
        let known = Set(text.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }.map { String($0.split(separator: " ")[2]) })
        let expressions = Dashboard.expressions + Alerts.yaml.split(separator: "\n").map(String.init).filter { $0.contains(" expr:") }
        var asked = 0
        for expression in expressions {
            for match in expression.matches(of: /hutong_[a-z_]+/) {
                var name = String(match.output)
                for suffix in ["_bucket", "_sum", "_count"] where !known.contains(name) && name.hasSuffix(suffix) { name.removeLast(suffix.count) }
                #expect(known.contains(name), "\(match.output) in \(expression)")
                asked += 1
            }
        }
        #expect(asked > 30)
        let dashboard = try #require(try JSONSerialization.jsonObject(with: Data(Dashboard.json().utf8)) as? [String: Any])
        let panels = try #require(dashboard["panels"] as? [[String: Any]])
        #expect(Set(panels.compactMap { $0["id"] as? Int }).count == panels.count && panels.count > 15)
    }
}
