import ArgumentParser
import Client

struct TopicDelete: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "delete", abstract: "Delete topics with all their records.")

    @Argument(help: "Names of the topics.") var names: [String]
    @OptionGroup var server: ServerOption

    func run() throws {
        let results = try server.client().deleteTopics(names).topics
        try TopicResults.report(results.map { ($0.name ?? "", $0.errorCode, $0.errorMessage) }, done: "deleted")
    }
}
