import Foundation

/// A dashboard for Grafana, made from the metrics' names.
public enum Dashboard {
    private struct Panel {
        var title: String
        var unit: String
        /// Each an expression, with what its lines are called.
        var targets: [(expression: String, legend: String)]
        var description = ""
        var kind = "timeseries"
    }

    private static let rate = "[$__rate_interval]"
    private static let quantiles = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")]

    private static let rows: [(title: String, panels: [Panel])] = [
        (
            "Now",
            [
                Panel(title: "Produce requests", unit: "reqps", targets: [("sum(rate(hutong_requests_total{api=\"Produce\"}\(rate)))", "produce")], kind: "stat"),
                Panel(title: "Received", unit: "Bps", targets: [("sum(rate(hutong_received_bytes_total\(rate)))", "in")], kind: "stat"),
                Panel(title: "Sent", unit: "Bps", targets: [("sum(rate(hutong_sent_bytes_total\(rate)))", "out")], kind: "stat"),
                Panel(title: "Connections", unit: "short", targets: [("sum(hutong_connections)", "open")], kind: "stat"),
                Panel(title: "Stuck stages", unit: "short", targets: [("sum(hutong_stage_stuck)", "stuck")], kind: "stat"),
            ]
        ),
        (
            "Requests",
            [
                Panel(title: "Requests by API", unit: "reqps", targets: [("sum by (api) (rate(hutong_requests_total\(rate)))", "{{api}}")]),
                Panel(
                    title: "Produce, from arrival to answer", unit: "s",
                    targets: quantiles.map { ("histogram_quantile(\($0.0), sum by (le) (rate(hutong_produce_seconds_bucket\(rate))))", $0.1) },
                    description: "Of the oldest request of each batch of answers."),
                Panel(title: "Produce errors", unit: "reqps", targets: [("sum by (error) (rate(hutong_produce_errors_total\(rate)))", "{{error}}")]),
            ]
        ),
        (
            "Stages",
            [
                Panel(
                    title: "What waits, as a share of what may", unit: "percentunit",
                    targets: [("hutong_stage_depth / (hutong_stage_capacity > 0)", "{{instance}} {{stage}}")]),
                Panel(title: "Age of the oldest that waits", unit: "s", targets: [("hutong_stage_oldest_seconds", "{{instance}} {{stage}}")]),
                Panel(
                    title: "Done at once (p50)", unit: "short",
                    targets: [("histogram_quantile(0.5, sum by (le, stage) (rate(hutong_stage_batch_bucket\(rate))))", "{{stage}}")]),
                Panel(title: "Bottleneck", unit: "short", targets: [("hutong_stage_bottleneck == 1", "{{instance}} {{stage}}")], description: "For which things wait longest, or which is stuck."),
                Panel(
                    title: "Wait for the write stage", unit: "s",
                    targets: quantiles.prefix(2).map { ("histogram_quantile(\($0.0), sum by (le) (rate(hutong_write_wait_seconds_bucket\(rate))))", $0.1) }),
                Panel(
                    title: "Durable write", unit: "s",
                    targets: quantiles.prefix(2).map { ("histogram_quantile(\($0.0), sum by (le) (rate(hutong_flush_seconds_bucket\(rate))))", $0.1) }),
                Panel(
                    title: "From here durable to committed", unit: "s",
                    targets: quantiles.prefix(2).map { ("histogram_quantile(\($0.0), sum by (le) (rate(hutong_commit_seconds_bucket\(rate))))", $0.1) }),
            ]
        ),
        (
            "Journals and replicas",
            [
                Panel(
                    title: "Journaled", unit: "Bps",
                    targets: [("sum by (group) (rate(hutong_journal_position_bytes{position=\"journaled\"}\(rate)))", "group {{group}}")]),
                Panel(
                    title: "Not committed yet", unit: "bytes",
                    targets: [("hutong_journal_position_bytes{position=\"journaled\"} - ignoring (position) hutong_journal_position_bytes{position=\"committed\"}", "{{instance}} group {{group}}")]),
                Panel(title: "Led partition groups", unit: "short", targets: [("sum by (instance) (hutong_group_leading)", "{{instance}}")]),
                Panel(title: "Replicas in sync", unit: "short", targets: [("hutong_group_in_sync_replicas and hutong_group_leading == 1", "group {{group}}")]),
            ]
        ),
        ("Consumers", [Panel(title: "Lag", unit: "short", targets: [("sum by (consumer_group, topic) (hutong_consumer_group_lag_records)", "{{consumer_group}} {{topic}}")])]),
    ]

    /// The dashboard as Grafana imports it (schema version 39).
    public static func json() throws -> String {
        var panels: [[String: Any]] = []
        var y = 0
        for row in rows {
            panels.append(["type": "row", "title": row.title, "collapsed": false, "gridPos": ["x": 0, "y": y, "w": 24, "h": 1], "panels": [Any](), "id": panels.count + 1])
            y += 1
            let width = row.panels.allSatisfy { $0.kind == "stat" } ? 24 / row.panels.count : 8
            let height = row.panels.allSatisfy { $0.kind == "stat" } ? 4 : 8
            for (number, panel) in row.panels.enumerated() {
                let perLine = 24 / width
                panels.append(self.panel(panel, id: panels.count + 1, x: number % perLine * width, y: y + number / perLine * height, width, height))
            }
            y += (row.panels.count + 24 / width - 1) / (24 / width) * height
        }
        let dashboard: [String: Any] = [
            "title": "Hutong", "uid": "hutong", "schemaVersion": 39, "version": 1, "editable": true, "tags": ["hutong"], "refresh": "10s",
            "time": ["from": "now-30m", "to": "now"], "panels": panels, "templating": ["list": [source]], "annotations": ["list": [Any]()],
        ]
        let data = try JSONSerialization.data(withJSONObject: dashboard, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
        return String(decoding: data, as: UTF8.self) + "\n"
    }

    private static var source: [String: Any] { ["name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0] }

    private static func panel(_ panel: Panel, id: Int, x: Int, y: Int, _ width: Int, _ height: Int) -> [String: Any] {
        let targets: [[String: Any]] = panel.targets.enumerated().map { number, target in
            ["refId": String(UnicodeScalar(UInt8(65 + number))), "expr": target.expression, "legendFormat": target.legend, "datasource": datasource]
        }
        var options: [String: Any] = ["legend": ["displayMode": "list", "placement": "bottom"], "tooltip": ["mode": "multi"]]
        if panel.kind == "stat" { options = ["reduceOptions": ["calcs": ["lastNotNull"]]] }
        return [
            "id": id, "type": panel.kind, "title": panel.title, "description": panel.description, "gridPos": ["x": x, "y": y, "w": width, "h": height],
            "datasource": datasource, "targets": targets, "fieldConfig": ["defaults": ["unit": panel.unit], "overrides": [Any]()], "options": options,
        ]
    }

    private static let datasource = ["type": "prometheus", "uid": "${source}"]

    /// Every expression, with what Grafana puts in replaced, so that others can check them.
    public static var expressions: [String] {
        rows.flatMap(\.panels).flatMap(\.targets).map { $0.expression.replacing("$__rate_interval", with: "5m") }
    }
}
