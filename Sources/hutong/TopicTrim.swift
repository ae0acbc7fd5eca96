import ArgumentParser
import Client

struct TopicTrim: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "trim", abstract: "Delete the oldest records of a topic.")

    @Argument(help: "The topic.") var topic: String
    @Option(name: .shortAndLong, parsing: .unconditional, help: ArgumentHelp("Where the log is to begin: \(LogPlaceArgument.help).", valueName: "place"))
    var offset: LogPlaceArgument
    @Option(name: .shortAndLong, help: "Partitions, may be repeated; by default all.") var partition: [Int32] = []
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    func run() throws {
        let client = try server.client()
        var outcomes = Outcomes(json: json)
        for partition in try client.partitions(of: topic, named: partition) {
            let target = KafkaClient.TopicPartition(topic, partition)
            try outcomes.attempt(Outcome(topic: topic, partition: partition)) { outcome in
                let start = try client.deleteRecords(of: target, before: try client.offset(of: target, at: offset.place))
                outcome.startOffset = start
                return "\(target) begins at \(start)"
            }
        }
        try outcomes.finish()
    }
}
