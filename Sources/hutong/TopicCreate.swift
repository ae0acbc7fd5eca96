import ArgumentParser
import Client
import Wire

struct TopicCreate: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "create", abstract: "Create topics.")

    @Argument(help: "Names of the topics.") var names: [String]
    @Option(name: .shortAndLong, help: "Partitions of each; by default as the broker is set.") var partitions: Int32?
    @Option(name: .shortAndLong, help: "Replicas of each partition; by default as the broker is set.")
    var replicationFactor: Int16?
    @Option(name: .shortAndLong, help: ArgumentHelp("A setting of the topics; may be repeated.", valueName: "key=value"))
    var config: [KeyValue] = []
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    func validate() throws {
        guard !names.isEmpty else { throw ValidationError("Name at least one topic.") }
    }

    func run() throws {
        var request = CreateTopicsRequest()
        request.timeoutMs = Int32(clamping: server.timeout * 1000)
        let configs = config.map { CreateTopicsRequest.Config(name: $0.key, value: $0.value) }
        request.topics = names.map { name in
            var topic = CreateTopicsRequest.Topic()
            topic.name = name
            topic.numPartitions = partitions ?? -1
            topic.replicationFactor = replicationFactor ?? -1
            topic.configs = configs
            return topic
        }
        var outcomes = Outcomes(json: json)
        outcomes.add(try server.client().createTopics(request).topics.map { ($0.name, $0.errorCode, $0.errorMessage) }, done: "created")
        try outcomes.finish()
    }
}
