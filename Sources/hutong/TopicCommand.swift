import ArgumentParser

/// Topics. Each action is in a file of its own.
struct TopicCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topic", abstract: "Create, list, describe, alter, trim and delete topics.",
        subcommands: [TopicCreate.self, TopicList.self, TopicDescribe.self, TopicAlter.self, TopicAddPartitions.self, TopicTrim.self, TopicDelete.self])
}
