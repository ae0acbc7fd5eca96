import ArgumentParser
import Client

struct TopicAddPartitions: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add-partitions", abstract: "Give topics more partitions.",
        discussion: "Records stay where they are. Producers that choose partitions by key choose others for many keys from then on.")

    @Argument(help: "Names of the topics.") var names: [String]
    @Option(name: .shortAndLong, help: "How many more each of them gets.") var number: Int32
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    func validate() throws {
        guard !names.isEmpty else { throw ValidationError("Name at least one topic.") }
        guard number > 0 else { throw ValidationError("--number must be at least 1: there is no way to have fewer.") }
    }

    func run() throws {
        let client = try server.client()
        var outcomes = Outcomes(json: json)
        for name in names {
            try outcomes.attempt(Outcome(topic: name)) { outcome in
                let (sum, overflow) = try client.partitionCount(of: name).addingReportingOverflow(number)
                let count = overflow ? .max : sum
                try client.createPartitions(of: name, count: count)
                outcome.partitions = count
                return "added partitions to \(name), which has \(count) now"
            }
        }
        try outcomes.finish()
    }
}
