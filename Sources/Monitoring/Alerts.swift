/// Rules by which Prometheus tells that something is wrong.
public enum Alerts {
    private struct Rule {
        var name: String
        var expression: String
        /// How long it must have been so.
        var duration: String
        var severity: String
        var summary: String
        var remedy: String
    }

    private static let rules = [
        Rule(
            name: "HutongDown", expression: "up{job=\"hutong\"} == 0", duration: "1m", severity: "critical", summary: "A broker's metrics can't be read.",
            remedy: "Is its process there? Does http.listen name an address that Prometheus reaches?"),
        Rule(
            name: "HutongStorageFailed", expression: "hutong_group_storage_failed == 1", duration: "0m", severity: "critical",
            summary: "Storage has failed: the broker acknowledges nothing any more.", remedy: "The log has the error. Look at the drive before the broker is started again."),
        Rule(
            name: "HutongStageStuck", expression: "hutong_stage_stuck == 1", duration: "30s", severity: "critical",
            summary: "Stage {{ $labels.stage }} does not go on.", remedy: "hutong top --data-dir DIR on the host shows what it waits for, though the broker hangs."),
        Rule(
            name: "HutongNoSpace", expression: "hutong_group_has_space == 0", duration: "30s", severity: "critical",
            summary: "Partition group {{ $labels.group }} can't make segments: producers are refused.", remedy: "Free space in the data directory, or lower retention."),
        Rule(
            name: "HutongNobodyLeads", expression: "sum by (group) (hutong_group_leading) == 0", duration: "1m", severity: "critical",
            summary: "Nobody leads partition group {{ $labels.group }}.", remedy: "hutong cluster info. A majority of its replicas is needed."),
        Rule(
            name: "HutongTooFewInSync", expression: "hutong_group_leading == 1 and hutong_group_in_sync_replicas < hutong_group_majority", duration: "1m", severity: "critical",
            summary: "Partition group {{ $labels.group }} has no majority in sync.", remedy: "hutong cluster info; start the brokers that are away."),
        Rule(
            name: "HutongProduceErrors", expression: "sum by (error) (rate(hutong_produce_errors_total[5m])) > 1", duration: "5m", severity: "warning",
            summary: "Producers are refused: {{ $labels.error }}.", remedy: "docs/OPERATING.md says what the most frequent ones mean."),
        Rule(
            name: "HutongSlowProduce", expression: "histogram_quantile(0.99, sum by (le) (rate(hutong_produce_seconds_bucket[5m]))) > 1", duration: "10m", severity: "warning",
            summary: "One of a hundred produce requests takes more than a second.", remedy: "hutong top shows which stage it waits for."),
        Rule(
            name: "HutongSlowDrive", expression: "histogram_quantile(0.99, sum by (le) (rate(hutong_flush_seconds_bucket[5m]))) > 0.25", duration: "10m", severity: "warning",
            summary: "One of a hundred durable writes takes more than 250 ms.", remedy: "hutong doctor measures the drive; does something else write to it?"),
        Rule(
            name: "HutongConnectionsRefused", expression: "increase(hutong_connections_refused_total[5m]) > 0", duration: "5m", severity: "warning",
            summary: "Connections are refused.", remedy: "max.connections, max.connections.per.ip, and the limit of open files (the log says which)."),
        Rule(
            name: "HutongConsumerLagGrows", expression: "sum by (consumer_group, topic) (hutong_consumer_group_lag_records) > 100000 and sum by (consumer_group, topic) (deriv(hutong_consumer_group_lag_records[15m])) > 0",
            duration: "15m", severity: "warning", summary: "Consumer group {{ $labels.consumer_group }} falls behind in {{ $labels.topic }}.",
            remedy: "hutong group describe {{ $labels.consumer_group }}: are its members there, and do they commit?"),
    ]

    /// A file for Prometheus' rule_files.
    public static var yaml: String {
        var text = "groups:\n  - name: hutong\n    rules:\n"
        for rule in rules {
            text += """
                      - alert: \(rule.name)
                        expr: \(quoted(rule.expression))
                        for: \(rule.duration)
                        labels:
                          severity: \(rule.severity)
                        annotations:
                          summary: \(quoted(rule.summary))
                          description: \(quoted(rule.remedy))

                """
        }
        return text
    }

    private static func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }
}
