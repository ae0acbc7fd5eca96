import ArgumentParser
import Foundation
import Settings

/// `hutong config`: about settings.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Settings.", subcommands: [Describe.self, Sample.self, Check.self])

    struct Describe: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "describe", abstract: "Print all settings with defaults and meanings, as a table in Markdown.")

        func run() { print(Settings.describe(), terminator: "") }
    }

    struct Sample: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "sample", abstract: "Print a configuration file that explains every setting and changes none.")

        @Option(name: .long, help: ArgumentHelp("A setting that is given there, may be repeated.", valueName: "key=value"))
        var set: [String] = []

        func run() throws {
            let given = try settingArguments(set)
            let text = Settings.sample(given: Dictionary(given, uniquingKeysWith: { $1 }))
            do throws(SettingsError) { _ = try Settings.load(yaml: text) } catch { throw ValidationError(error.description) }
            print(text, terminator: "")
        }
    }

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check", abstract: "Say what is wrong with the settings, without starting a broker.",
            discussion: "Reads them as `hutong serve` does: from the file, the environment and flags. Exits with 1 where something is wrong.")

        @Argument(help: "A YAML file of settings; without it, only the environment and flags are looked at.") var file: String?
        @Option(name: .long, help: ArgumentHelp("A setting, as `hutong serve` takes it, may be repeated.", valueName: "key=value"))
        var set: [String] = []
        @Flag(name: .long, help: "Print the settings that differ from the default.") var show = false

        func run() throws {
            let settings: Settings
            let environment = ProcessInfo.processInfo.environment
            do {
                settings = try Settings.load(
                    file: file ?? environment[Settings.fileVariable], environment: environment, flags: try settingArguments(set))
            } catch let error as SettingsError {
                Output.say(error.description)
                throw ExitCode(1)
            }
            for note in settings.notes { Output.say(note) }
            let standard = Settings()
            let changed = Settings.all.filter { $0.plainText(settings) != $0.plainText(standard) }
            if show { for setting in changed { print("\(setting.key): \(setting.plainText(settings))") } }
            Output.say("the settings are good; \(changed.count) of \(Settings.all.count) differ from the default.")
        }
    }
}

/// `key=value` of flags.
func settingArguments(_ texts: [String]) throws -> [(key: String, value: String)] {
    try texts.map { text in
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw ValidationError("--set is '\(text)', but must be key=value.") }
        return (String(parts[0]), String(parts[1]))
    }
}
