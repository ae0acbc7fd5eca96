import ArgumentParser
import Client
import Wire

struct GroupDescribe: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "describe", abstract: "Show groups: their members, how far they have read, and how much is left.")

    @Argument(help: "The groups.") var groups: [String]
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    private struct Group: Encodable {
        let group: String
        let state: String
        let assignor: String
        let members: [Member]
        let partitions: [Partition]
        let lag: Int64
    }

    private struct Member: Encodable {
        let id: String
        let instance: String?
        let client: String
        let host: String
        let partitions: Int
    }

    private struct Partition: Encodable {
        let topic: String
        let partition: Int32
        /// Nil where the group has committed nothing.
        let committed: Int64?
        /// Nil where there is no such partition any more.
        let start: Int64?
        let end: Int64?
        let lag: Int64?
        /// The member that reads it.
        let member: String?
        let client: String?
    }

    func validate() throws {
        guard !groups.isEmpty else { throw ValidationError("Name at least one group.") }
    }

    func run() throws {
        let client = try server.client()
        let found = try groups.map { try describe($0, client) }
        guard !json else { return print(try Output.json(found), terminator: "") }
        for group in found { show(group) }
    }

    private func describe(_ id: String, _ client: KafkaClient) throws -> Group {
        let group = try client.describe(group: id)
        guard group.groupState != "Dead" else { throw ToolError("There is no group \(id).") }
        let committed = try client.committedOffsets(of: id)
        var members: [Member] = []
        var readers: [KafkaClient.TopicPartition: DescribeGroupsResponse.Member] = [:]
        for member in group.members {
            let mine = assigned(to: member, of: group)
            for target in mine { readers[target] = member }
            members.append(
                Member(id: member.memberId, instance: member.groupInstanceId, client: member.clientId, host: member.clientHost, partitions: mine.count))
        }
        let targets = Set(committed.keys).union(readers.keys).sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
        let starts = try client.offsets(of: targets, at: ListOffsetsRequest.Timestamp.earliest)
        let ends = try client.offsets(of: targets, at: ListOffsetsRequest.Timestamp.latest)
        let partitions = targets.map { describe($0, starts[$0], ends[$0], committed[$0], readers[$0]) }
        return Group(
            group: id, state: group.groupState, assignor: group.protocolData, members: members, partitions: partitions,
            lag: partitions.compactMap(\.lag).reduce(0, +))
    }

    /// What a member of a group of consumers was given; of other kinds of groups it is their own business.
    private func assigned(to member: DescribeGroupsResponse.Member, of group: DescribeGroupsResponse.Group) -> [KafkaClient.TopicPartition] {
        guard group.protocolType == "consumer", let assignment = try? ConsumerProtocolAssignment.decode(member.memberAssignment) else { return [] }
        return assignment.assignedPartitions.flatMap { topic in topic.partitions.map { .init(topic.topic, $0) } }
    }

    private func describe(
        _ target: KafkaClient.TopicPartition, _ start: Int64?, _ end: Int64?, _ committed: Int64?, _ reader: DescribeGroupsResponse.Member?
    ) -> Partition {
        Partition(
            topic: target.topic, partition: target.partition, committed: committed, start: start, end: end,
            lag: end.flatMap { end in committed.map { max(end - $0, 0) } }, member: reader?.memberId, client: reader?.clientId)
    }

    private func show(_ group: Group) {
        print("\(group.group)  state \(group.state)  assignor \(group.assignor.isEmpty ? "-" : group.assignor)  lag \(group.lag)")
        func text(_ number: Int64?) -> String { number.map { "\($0)" } ?? "-" }
        if !group.members.isEmpty {
            let rows = group.members.map { [$0.id, $0.instance ?? "-", $0.client, $0.host, "\($0.partitions)"] }
            print(Output.table(["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"], rows))
        }
        let rows = group.partitions.map {
            [$0.topic, "\($0.partition)", text($0.committed), text($0.start), text($0.end), text($0.lag), $0.member ?? "-"]
        }
        print(Output.table(["TOPIC", "PARTITION", "COMMITTED", "START", "END", "LAG", "MEMBER"], rows))
    }
}
