import Wire

/// A setting as a broker tells it, for people and programs.
struct SettingRow: Encodable {
    let name: String
    let value: String
    /// Who has given it: topic, brokers (while they run), broker (at its start) or default.
    let source: String
    /// Whether it can be altered while brokers run.
    let isAlterable: Bool

    var isDefault: Bool { source == "default" }

    init(_ config: DescribeConfigsResponse.Config) {
        name = config.name
        value = config.value ?? ""
        isAlterable = !config.readOnly
        source =
            switch ConfigSource(rawValue: config.configSource) {
            case .dynamicTopicConfig: "topic"
            case .dynamicBrokerConfig, .dynamicDefaultBrokerConfig: "brokers"
            case .staticBrokerConfig: "broker"
            case .defaultConfig: "default"
            case .unknown, nil: "unknown"
            }
    }

    static func table(_ rows: [SettingRow]) -> String {
        Output.table(["SETTING", "VALUE", "GIVEN BY"], rows.map { [$0.name, $0.value.isEmpty ? "-" : $0.value, $0.source] })
    }
}
