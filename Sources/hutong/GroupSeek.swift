import ArgumentParser
import Client

struct GroupSeek: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "seek", abstract: "Say where a group goes on reading. It must have no members meanwhile.")

    @Argument(help: "The group.") var group: String
    @Option(parsing: .unconditional, help: ArgumentHelp("Where it goes on: \(LogPlaceArgument.help).", valueName: "place")) var to: LogPlaceArgument
    @Option(name: .shortAndLong, help: "Topics, may be repeated; by default those that the group has committed offsets of.") var topic: [String] = []
    @Option(name: .shortAndLong, help: "Partitions of one topic, may be repeated; by default all.") var partition: [Int32] = []
    @OptionGroup var server: ServerOption

    func validate() throws {
        if !partition.isEmpty && topic.count != 1 { throw ValidationError("--partition needs one --topic that it is of.") }
    }

    func run() throws {
        let client = try server.client()
        let before = try client.committedOffsets(of: group)
        var targets = before.keys.filter { topic.isEmpty || topic.contains($0.topic) }
        for name in topic {
            let numbers = try partition.isEmpty ? Array(0..<client.partitionCount(of: name)) : partition
            targets = targets.filter { $0.topic != name } + numbers.map { .init(name, $0) }
        }
        guard !targets.isEmpty else { throw ToolError("The group \(group) has committed nothing: name the topics, with --topic.") }
        targets.sort { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
        let after = try targets.map { ($0, try client.offset(of: $0, at: to.place)) }
        try client.commit(Dictionary(uniqueKeysWithValues: after), for: group)
        let rows = after.map { [$0.topic, "\($0.partition)", before[$0].map { "\($0)" } ?? "-", "\($1)"] }
        print(Output.table(["TOPIC", "PARTITION", "BEFORE", "NOW"], rows), terminator: "")
    }
}
