import ArgumentParser
import Client

struct TopicAddPartitions: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add-partitions", abstract: "Give topics more partitions.",
        discussion: "Records stay where they are. Producers that choose partitions by key choose others for many keys from then on.")

    @Argument(help: "Names of the topics.") var names: [String]
    @Option(name: .shortAndLong, help: "How many more each of them gets.") var number: Int32
    @OptionGroup var server: ServerOption

    func validate() throws {
        guard !names.isEmpty else { throw ValidationError("Name at least one topic.") }
        guard number > 0 else { throw ValidationError("--number must be at least 1: there is no way to have fewer.") }
    }

    func run() throws {
        let client = try server.client()
        let counts = try names.map { name in
            let (count, overflow) = try client.partitionCount(of: name).addingReportingOverflow(number)
            return (topic: name, count: overflow ? .max : count)
        }
        let results = try client.createPartitions(counts).results
        let total = Dictionary(counts.map { ($0.topic, $0.count) }) { first, _ in first }
        try TopicResults.report(results.map { ($0.name, $0.errorCode, $0.errorMessage) }, done: "added partitions to") { name in
            total[name].map { ", which has \($0) now" } ?? ""
        }
    }
}
