import ArgumentParser
import Client
import Wire

struct ClusterConfig: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Show or change what brokers are given while they run.",
        discussion: """
            These are the settings that topics have by default. What is changed counts at once, for all brokers and for all topics that were not given the \
            setting themselves, and it counts more than what brokers are given at their start. Without --set and --delete, those settings are shown.
            """)

    @Option(name: .shortAndLong, help: ArgumentHelp("A setting and what it is to be; may be repeated.", valueName: "key=value"))
    var set: [KeyValue] = []
    @Option(name: .shortAndLong, help: ArgumentHelp("A setting that goes back to what brokers were given at their start; may be repeated.", valueName: "key"))
    var delete: [String] = []
    @Flag(name: .shortAndLong, help: "Show all settings, also those that are read at the start.") var all = false
    @Option(help: ArgumentHelp("Whose settings are shown; by default those of the broker that changes are sent to.", valueName: "id")) var broker: Int32?
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    private var changes: [IncrementalAlterConfigsRequest.Config] {
        self.set.map { .init(name: $0.key, operation: .set, value: $0.value) } + delete.map { .init(name: $0, operation: .delete, value: nil) }
    }

    private struct Shown: Encodable {
        let broker: Int32
        let settings: [SettingRow]
    }

    func validate() throws {
        if broker != nil, !changes.isEmpty { throw ValidationError("--broker says whose settings are shown; they are changed for all brokers together.") }
    }

    func run() throws {
        let client = try server.client()
        guard changes.isEmpty else { return try alter(client) }
        let (id, configs) = try client.configs(ofBroker: broker)
        let rows = configs.map(SettingRow.init).filter { all || $0.isAlterable }.sorted { $0.name < $1.name }
        guard !json else { return print(try Output.json(Shown(broker: id, settings: rows)), terminator: "") }
        print(SettingRow.table(rows), terminator: "")
    }

    /// All of it or nothing.
    private func alter(_ client: KafkaClient) throws {
        try client.alterConfigs(.broker, "", changes)
        var outcomes = Outcomes(json: json)
        for change in changes {
            outcomes.add(
                Outcome(setting: change.name, value: change.value),
                done: change.value.map { "\(change.name) is \($0) now" } ?? "\(change.name) is what brokers were given at their start")
        }
        try outcomes.finish()
    }
}
