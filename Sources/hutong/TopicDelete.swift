import ArgumentParser
import Client

struct TopicDelete: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "delete", abstract: "Delete topics with all their records.")

    @Argument(help: "Names of the topics.") var names: [String]
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    func run() throws {
        var outcomes = Outcomes(json: json)
        outcomes.add(try server.client().deleteTopics(names).topics.map { ($0.name ?? "", $0.errorCode, $0.errorMessage) }, done: "deleted")
        try outcomes.finish()
    }
}
