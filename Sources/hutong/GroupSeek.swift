import ArgumentParser
import Client

struct GroupSeek: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "seek", abstract: "Say where a group goes on reading. It must have no members meanwhile.",
        discussion: "An offset that a partition does not have is replaced by the nearest that it has, with a warning.")

    @Argument(help: "The group.") var group: String
    @Option(parsing: .unconditional, help: ArgumentHelp("Where it goes on: \(LogPlaceArgument.help).", valueName: "place")) var to: LogPlaceArgument
    @Option(name: .shortAndLong, help: "Topics, may be repeated; by default those that the group has committed offsets of.") var topic: [String] = []
    @Option(name: .shortAndLong, help: "Partitions of one topic, may be repeated; by default all.") var partition: [Int32] = []
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    func validate() throws {
        if !partition.isEmpty && topic.count != 1 { throw ValidationError("--partition needs one --topic that it is of.") }
    }

    func run() throws {
        let client = try server.client()
        let found = try client.describe(group: group)
        guard found.members.isEmpty else {
            throw ToolError(
                "The group \(group) has \(found.members.count) member\(found.members.count == 1 ? "" : "s"), who would commit what they have read: stop them first.")
        }
        let before = try client.committedOffsets(of: group)
        let targets = try self.targets(before, client)
        let after = try places(of: targets, client)
        try client.commit(after, for: group)
        guard !json else {
            let outcomes = targets.map { Outcome(topic: $0.topic, group: group, partition: $0.partition, before: before[$0], now: after[$0]) }
            return print(try Output.json(outcomes), terminator: "")
        }
        let rows = targets.map { [$0.topic, "\($0.partition)", before[$0].map { "\($0)" } ?? "-", after[$0].map { "\($0)" } ?? "-"] }
        print(Output.table(["TOPIC", "PARTITION", "BEFORE", "NOW"], rows), terminator: "")
    }

    private func targets(_ before: [KafkaClient.TopicPartition: Int64], _ client: KafkaClient) throws -> [KafkaClient.TopicPartition] {
        var targets = before.keys.filter { topic.isEmpty || topic.contains($0.topic) }
        for name in topic {
            let numbers = try client.partitions(of: name, named: partition)
            targets = targets.filter { $0.topic != name } + numbers.map { .init(name, $0) }
        }
        guard !targets.isEmpty else { throw ToolError("The group \(group) has committed nothing: name the topics, with --topic.") }
        return targets.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
    }

    private func places(of targets: [KafkaClient.TopicPartition], _ client: KafkaClient) throws -> [KafkaClient.TopicPartition: Int64] {
        var places: [KafkaClient.TopicPartition: Int64] = [:]
        for target in targets {
            let wanted = try client.offset(of: target, at: to.place)
            guard case .offset = to.place else {
                places[target] = wanted
                continue
            }
            let (start, end) = (try client.offset(of: target, at: .start), try client.offset(of: target, at: .end))
            let place = min(max(wanted, start), end)
            if place != wanted { Output.say("\(target) has no offset \(wanted), only those from \(start) to \(end): it is \(place) there.") }
            places[target] = place
        }
        return places
    }
}
