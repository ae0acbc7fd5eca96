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
        let results = try server.client().createTopics(request).topics
        try TopicResults.report(results.map { ($0.name, $0.errorCode, $0.errorMessage) }, done: "created")
    }
}

/// What became of each topic of a request.
enum TopicResults {
    /// Prints those that were done, and throws if one was not.
    /// - Parameter more: what else is to be said of it.
    static func report(
        _ results: [(name: String, code: ErrorCode, message: String?)], done: String, _ more: (String) -> String = { _ in "" }
    ) throws {
        for result in results where result.code == .none { print("\(done) \(result.name)\(more(result.name))") }
        let refused = results.filter { $0.code != .none }.map { result in
            ClientError.refused(what: "topic \(result.name)", code: result.code, message: result.message).description
        }
        if !refused.isEmpty { throw ToolError(refused.joined(separator: "\n")) }
    }
}

/// Why a command did not do what it was told, to be printed as it is.
struct ToolError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
