import ArgumentParser
import Client

struct TopicList: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List all topics.")

    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    private struct Row: Encodable {
        let name: String
        let partitions: Int
        let replicationFactor: Int
        let isInternal: Bool
    }

    func run() throws {
        let topics = try server.client().metadata(topics: nil).topics.filter { $0.errorCode == .none }
        let rows = topics.map { topic in
            Row(
                name: topic.name ?? "", partitions: topic.partitions.count,
                replicationFactor: topic.partitions.map(\.replicaNodes.count).max() ?? 0, isInternal: topic.isInternal)
        }.sorted { $0.name < $1.name }
        guard !json else { return print(try Output.json(rows), terminator: "") }
        let cells = rows.map { [$0.name, "\($0.partitions)", "\($0.replicationFactor)"] }
        print(Output.table(["NAME", "PARTITIONS", "REPLICAS"], cells), terminator: "")
    }
}
