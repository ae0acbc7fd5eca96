import ArgumentParser

/// Topics. Each action is in a file of its own.
struct TopicCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topic", abstract: "Create, list, describe and delete topics.",
        subcommands: [TopicCreate.self, TopicList.self, TopicDescribe.self, TopicDelete.self])
}
