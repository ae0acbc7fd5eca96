import Wire

/// A setting that a topic can be given: its name, which is Kafka's where Kafka has it, and what it may be.
public struct TopicConfig: Sendable {
    /// What a value has to be.
    enum Rule: Sendable {
        case qualityOfService([QualityOfService])
        /// A number, of what the words say.
        case number(ClosedRange<Int64>, String)
        /// A number from 0 to 1.
        case share
        case cleanupPolicy
        case boolean
        /// Known from Kafka, but only these are what Hutong does.
        case only([String])
    }

    public let name: String
    /// The broker's setting that is its default; nil: there is none.
    public let brokerName: String?
    public let type: ConfigType
    /// What it means, in sentences.
    public let documentation: String
    let rule: Rule
    private let whereNotGiven: @Sendable (TopicSettings) -> String

    init(
        _ name: String, broker: String? = nil, _ type: ConfigType, _ rule: Rule, _ documentation: String,
        value: @escaping @Sendable (TopicSettings) -> String
    ) {
        self.name = name
        brokerName = broker
        self.type = type
        self.rule = rule
        self.documentation = documentation
        whereNotGiven = value
    }

    /// One that Kafka has, and that has no meaning here: whatever it is, the broker does the same.
    /// - Parameters:
    ///   - reason: why it has none, as a sentence.
    ///   - value: what Kafka does where it is not given.
    static func idle(_ name: String, _ type: ConfigType, _ rule: Rule, _ reason: String, value: String) -> TopicConfig {
        TopicConfig(name, type, rule, "Without effect here. \(reason)", value: { _ in value })
    }

    /// What is in force of a topic with these settings.
    public func value(_ settings: TopicSettings, given: [String: String]) -> String { given[name] ?? whereNotGiven(settings) }

    /// Of a broker whose topics have these settings where they are given none.
    public func value(default settings: TopicSettings) -> String { whereNotGiven(settings) }

    /// Why a topic, or the broker by its name for the setting, can't be given this value; nil: it can.
    public func flaw(_ value: String?, by name: String? = nil) -> String? {
        let name = name ?? self.name
        guard let value else { return "\(name) needs a value" }
        switch rule {
        case .qualityOfService(let allowed):
            if let quality = QualityOfService(name: value), allowed.contains(quality) { return nil }
            return "\(name) is \(allowed.map(\.name).joined(separator: " or ")), not \(value)"
        case .number(let range, let what):
            if let number = Int64(value), range.contains(number) { return nil }
            let upper = range.upperBound == .max ? "" : " to \(range.upperBound)"
            return "\(name) is a number of \(what) from \(range.lowerBound)\(upper)\(range.lowerBound == -1 ? ", -1 for no limit" : ""), not \(value)"
        case .share:
            if let number = Double(value), (0...1).contains(number) { return nil }
            return "\(name) is a number from 0 to 1, not \(value)"
        case .cleanupPolicy: return CleanupPolicy(value) == nil ? "\(name) is delete, compact, or both with a comma between them, not \(value)" : nil
        case .boolean: return value == "true" || value == "false" ? nil : "\(name) is true or false, not \(value)"
        case .only(let values):
            guard !values.contains(value) else { return nil }
            return "\(name) can only be \(values.map { $0.isEmpty ? "empty" : $0 }.joined(separator: " or ")) here, not \(value)"
        }
    }

    /// What `message.timestamp.type` can be.
    static let createTime = "CreateTime"
    static let logAppendTime = "LogAppendTime"

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
    private static let byBrokerName = Dictionary(uniqueKeysWithValues: all.compactMap { config in config.brokerName.map { ($0, config) } })

    public static func named(_ name: String) -> TopicConfig? { byName[name] }

    /// The setting whose default the broker's setting of that name is.
    public static func named(byBroker name: String) -> TopicConfig? { byBrokerName[name] }

    /// Why the setting can't be given; nil: it can.
    public static func flaw(_ name: String, _ value: String?) -> String? {
        guard let config = named(name) else { return "unknown topic setting \(name)" }
        return config.flaw(value)
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
        if let type = configs["message.timestamp.type"] { settings.usesAppendTime = type == logAppendTime }
        if let policy = configs["cleanup.policy"].flatMap(CleanupPolicy.init) { settings.cleanup = policy }
        if let ratio = configs["min.cleanable.dirty.ratio"].flatMap(Double.init) { settings.compaction.minDirtyRatio = ratio }
        if let lag = configs["min.compaction.lag.ms"].flatMap({ Int64($0) }) { settings.compaction.minLagMs = lag }
        if let lag = configs["max.compaction.lag.ms"].flatMap({ Int64($0) }) { settings.compaction.maxLagMs = lag }
        if let time = configs["delete.retention.ms"].flatMap({ Int64($0) }) { settings.compaction.deleteRetentionMs = time }
        return settings
    }

    /// What topics are given by brokers that were themselves given these settings, under the brokers' names.
    public static func settings(brokers configs: [String: String], defaults: TopicSettings) -> TopicSettings {
        let given = configs.compactMap { name, value in named(byBroker: name).map { ($0.name, value) } }
        return settings(Dictionary(uniqueKeysWithValues: given), defaults: defaults)
    }

    /// Why a topic can't have so few replicas with such settings, or some of these together; nil: it can.
    public static func flaw(replicas: Int, _ settings: TopicSettings) -> String? {
        let (least, most) = (settings.compaction.minLagMs, settings.compaction.maxLagMs)
        if least > most { return "min.compaction.lag.ms (\(least)) is more than max.compaction.lag.ms (\(most))" }
        guard settings.minInsyncReplicas > replicas else { return nil }
        return "min.insync.replicas is \(settings.minInsyncReplicas), but of the topic there would be \(replicas) "
            + "replica\(replicas == 1 ? "" : "s"): acks=all could never be taken"
    }
}
