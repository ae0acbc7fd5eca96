import ArgumentParser

/// Consumer groups. Each action is in a file of its own.
struct GroupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "group", abstract: "List, describe, move and delete consumer groups.",
        subcommands: [GroupList.self, GroupDescribe.self, GroupSeek.self, GroupDelete.self])
}
