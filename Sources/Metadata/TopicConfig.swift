/// The settings that a topic can be given: their names, which are Kafka's where Kafka has them, and what they may be.
public enum TopicConfig {
    /// What is served of a setting.
    enum Rule {
        case qualityOfService([QualityOfService])
        case bytes(ClosedRange<Int>)
        /// A number from -1, which means without limit.
        case limit(String)
        /// Known from Kafka, but only this value is what Hutong does.
        case only([String])
    }

    static let rules: [String: Rule] = [
        "qos.leader": .qualityOfService([.received, .persisted]),
        "qos.all": .qualityOfService([.replicated, .durable]),
        "max.message.bytes": .bytes(0...(100 << 20)),
        "cleanup.policy": .only(["delete"]),
        "compression.type": .only(["producer"]),
        "message.timestamp.type": .only(["CreateTime"]),
        "min.insync.replicas": .only(["1"]),
        "retention.ms": .limit("milliseconds"),
        "retention.bytes": .limit("bytes"),
    ]

    /// Why the setting can't be given; nil: it can.
    public static func flaw(_ name: String, _ value: String?) -> String? {
        guard let rule = rules[name] else { return "unknown topic setting \(name)" }
        guard let value else { return "\(name) needs a value" }
        switch rule {
        case .qualityOfService(let allowed):
            if let quality = QualityOfService(name: value), allowed.contains(quality) { return nil }
            return "\(name) is \(allowed.map(\.name).joined(separator: " or ")), not \(value)"
        case .bytes(let range):
            if let number = Int(value), range.contains(number) { return nil }
            return "\(name) is a number of bytes from \(range.lowerBound) to \(range.upperBound), not \(value)"
        case .limit(let unit):
            if let number = Int64(value), number >= -1 { return nil }
            return "\(name) is a number of \(unit), or -1 for no limit, not \(value)"
        case .only(let values):
            return values.contains(value) ? nil : "\(name) can only be \(values.joined(separator: " or ")) here, not \(value)"
        }
    }

    /// The settings in force. What was not given is the broker's default; what was given has been checked.
    public static func settings(_ configs: [String: String], defaults: TopicSettings) -> TopicSettings {
        var settings = defaults
        if let quality = configs["qos.leader"].flatMap(QualityOfService.init(name:)) { settings.qosLeader = quality }
        if let quality = configs["qos.all"].flatMap(QualityOfService.init(name:)) { settings.qosAll = quality }
        if let bytes = configs["max.message.bytes"].flatMap(Int.init) { settings.maxMessageBytes = bytes }
        if let limit = configs["retention.ms"].flatMap({ Int64($0) }) { settings.retentionMs = limit }
        if let limit = configs["retention.bytes"].flatMap({ Int64($0) }) { settings.retentionBytes = limit }
        return settings
    }
}
