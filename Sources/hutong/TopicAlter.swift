import ArgumentParser
import Client
import Wire

struct TopicAlter: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "alter", abstract: "Change settings of topics; they count at once.")

    @Argument(help: "Names of the topics.") var names: [String]
    @Option(name: .shortAndLong, help: ArgumentHelp("A setting and what it is to be; may be repeated.", valueName: "key=value"))
    var set: [KeyValue] = []
    @Option(name: .shortAndLong, help: ArgumentHelp("A setting that goes back to the brokers' default; may be repeated.", valueName: "key"))
    var delete: [String] = []
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    func validate() throws {
        guard !names.isEmpty else { throw ValidationError("Name at least one topic.") }
        guard !set.isEmpty || !delete.isEmpty else { throw ValidationError("Say what is to change: --set key=value, or --delete key.") }
    }

    func run() throws {
        let client = try server.client()
        let configs: [IncrementalAlterConfigsRequest.Config] =
            set.map { .init(name: $0.key, operation: .set, value: $0.value) } + delete.map { .init(name: $0, operation: .delete, value: nil) }
        var outcomes = Outcomes(json: json)
        for name in names {
            try outcomes.attempt(Outcome(topic: name)) { _ in
                try client.alterConfigs(.topic, name, configs)
                return "altered \(name)"
            }
        }
        try outcomes.finish()
    }
}

/// Two words with an equals sign between.
struct KeyValue: ExpressibleByArgument {
    let key: String
    let value: String

    init?(argument: String) {
        guard let sign = argument.firstIndex(of: "="), sign > argument.startIndex else { return nil }
        key = String(argument[..<sign])
        value = String(argument[argument.index(after: sign)...])
    }
}
