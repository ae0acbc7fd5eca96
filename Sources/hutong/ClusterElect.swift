import ArgumentParser
import Client
import Wire

struct ClusterElect: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "elect", abstract: "Have partitions led by the brokers that are to lead them; or by any that is there.",
        discussion: """
            Without --unclean the first of each partition's replicas takes over, if it keeps up. With --unclean, partitions that nobody leads go on with \
            those of their replicas that are there, even if these are no majority: what was acknowledged and only the others have is LOST. That is for \
            disks that are gone for good; a broker that comes back later throws away what the others don't have. Partitions that share a group are led \
            together.
            """)

    @Flag(help: "Go on with the replicas that are there, where nobody leads.") var unclean = false
    @Option(help: ArgumentHelp("Only the partitions of that topic; by default all.", valueName: "name")) var topic: String?
    @OptionGroup var server: ServerOption

    func run() throws {
        let client = try server.client()
        let topics = try client.metadata(topics: topic.map { [$0] }).topics
        var partitions: [KafkaClient.TopicPartition] = []
        for found in topics {
            guard found.errorCode == .none, let name = found.name else {
                throw ClientError.refused(what: "topic \(found.name ?? "")", code: found.errorCode, message: nil)
            }
            partitions += found.partitions.map { KafkaClient.TopicPartition(name, $0.partitionIndex) }
        }
        guard !partitions.isEmpty else { return print("there are no partitions") }
        let elected = try client.electLeaders(partitions, unclean ? .unclean : .preferred)
        print("\(elected) of \(partitions.count) partitions have another leader")
    }
}
