import ArgumentParser
import Settings

/// `hutong config`: about settings.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Settings.", subcommands: [Describe.self])

    struct Describe: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "describe", abstract: "Print all settings with defaults and meanings, as a table in Markdown.")

        func run() { print(Settings.describe(), terminator: "") }
    }
}
