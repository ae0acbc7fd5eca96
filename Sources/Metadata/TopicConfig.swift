import Wire

/// The settings that a topic can be given: their names, which are Kafka's where Kafka has them, and what they may be.
public enum TopicConfig {
    /// What is served of a setting.
    enum Rule {
        case qualityOfService([QualityOfService])
        case bytes(ClosedRange<Int>)
        case replicas(ClosedRange<UInt8>)
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
        "min.insync.replicas": .replicas(1...64),
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
        case .replicas(let range):
            if let number = UInt8(value), range.contains(number) { return nil }
            return "\(name) is a number of replicas from \(range.lowerBound) to \(range.upperBound), not \(value)"
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
        if let count = configs["min.insync.replicas"].flatMap({ UInt8($0) }) { settings.minInsyncReplicas = count }
        if let bytes = configs["max.message.bytes"].flatMap(Int.init) { settings.maxMessageBytes = bytes }
        if let limit = configs["retention.ms"].flatMap({ Int64($0) }) { settings.retentionMs = limit }
        if let limit = configs["retention.bytes"].flatMap({ Int64($0) }) { settings.retentionBytes = limit }
        return settings
    }

    /// Why a topic can't have so few replicas with such settings; nil: it can.
    public static func flaw(replicas: Int, _ settings: TopicSettings) -> String? {
        guard settings.minInsyncReplicas > replicas else { return nil }
        return "min.insync.replicas is \(settings.minInsyncReplicas), but of the topic there would be \(replicas) "
            + "replica\(replicas == 1 ? "" : "s"): acks=all could never be taken"
    }

    /// One of them, as clients are told of it.
    public struct Described: Sendable {
        public let name: String
        /// The broker's setting that is its default; nil: there is none.
        public let brokerName: String?
        public let type: ConfigType
        public let documentation: String
        /// What is in force with these settings.
        public let value: @Sendable (TopicSettings) -> String
    }

    /// All of them, by name.
    public static let described: [Described] = [
        Described(
            name: "cleanup.policy", brokerName: nil, type: .list,
            documentation: "What becomes of old records: they are deleted. Nothing else is served yet.", value: { _ in "delete" }),
        Described(
            name: "compression.type", brokerName: nil, type: .string,
            documentation: "Batches stay as the producer has compressed them.", value: { _ in "producer" }),
        Described(
            name: "max.message.bytes", brokerName: "message.max.bytes", type: .int,
            documentation: "Bytes of the largest record batch that is taken, thus after compression.",
            value: { String($0.maxMessageBytes) }),
        Described(
            name: "message.timestamp.type", brokerName: nil, type: .string,
            documentation: "Records keep the time that their producer gave them.", value: { _ in "CreateTime" }),
        Described(
            name: "min.insync.replicas", brokerName: "min.insync.replicas", type: .int,
            documentation:
                "How many replicas must be in sync for acks=all to be taken. More than a majority must then have the record on stable storage as well.",
            value: { String($0.minInsyncReplicas) }),
        Described(
            name: "qos.all", brokerName: "qos.all", type: .string,
            documentation: "What acks=all means: durable, a majority has it on stable storage; replicated, a majority has it in memory.",
            value: { $0.qosAll.name }),
        Described(
            name: "qos.leader", brokerName: "qos.leader", type: .string,
            documentation:
                "What acks=1 means: persisted, the leader has it on stable storage; received, the leader has it in its journal cache.",
            value: { $0.qosLeader.name }),
        Described(
            name: "retention.bytes", brokerName: "log.retention.bytes", type: .long,
            documentation: "Bytes that a partition may take on disk before its oldest records are deleted; -1: no limit.",
            value: { String($0.retentionBytes) }),
        Described(
            name: "retention.ms", brokerName: "log.retention.ms", type: .long,
            documentation: "Milliseconds after which a record may be deleted, by its timestamp; -1: never.",
            value: { String($0.retentionMs) }),
    ]
}
