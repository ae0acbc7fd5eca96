import ArgumentParser
import Foundation
import Host

/// The manual page, from what the commands say of themselves (man(7)'s macros).
enum ManualPage {
    /// What ArgumentParser tells of a command, as far as the page needs it (its tool info, version 0).
    private struct Info: Decodable {
        var command: Command
    }

    private struct Command: Decodable {
        var commandName: String
        var abstract: String?
        var discussion: String?
        var subcommands: [Command]?
        var arguments: [Argument]?
    }

    private struct Argument: Decodable {
        struct Name: Decodable {
            var kind: String
            var name: String
        }

        var kind: String
        var shouldDisplay: Bool
        var names: [Name]?
        var valueName: String?
        var abstract: String?
        var defaultValue: String?
    }

    static func text(of command: (some ParsableCommand).Type) throws -> String {
        let info = try JSONDecoder().decode(Info.self, from: Data(command._dumpHelp().utf8))
        var lines = [".TH HUTONG 1 \"\" \"hutong \(Program.version)\" \"User Commands\"", ".SH NAME", "hutong \\- \(escaped(info.command.abstract ?? ""))"]
        lines += [".SH SYNOPSIS", ".B hutong", "\\fICOMMAND\\fR [\\fIARGUMENTS\\fR]", ".SH COMMANDS"]
        describe(info.command, path: "", &lines)
        lines += [
            ".SH \"EXIT STATUS\"", "0: done. 1: not done, with the reason on standard error. 2: the broker's storage has failed. 64: the arguments are wrong.",
            ".SH ENVIRONMENT", ".TP", "\\fBHUTONG_CONFIG\\fR", "The configuration file of hutong serve.", ".TP", "\\fBHUTONG_\\fISETTING\\fR",
            "Any setting of hutong serve: HUTONG_NUM_PARTITIONS for num.partitions. hutong config describe prints all.",
        ]
        return lines.joined(separator: "\n") + "\n"
    }

    private static func describe(_ command: Command, path: String, _ lines: inout [String]) {
        let name = path.isEmpty ? command.commandName : "\(path) \(command.commandName)"
        let subcommands = (command.subcommands ?? []).filter { $0.commandName != "help" }
        if !path.isEmpty {
            lines += [".SS \"\(escaped(name))\""]
            if let abstract = command.abstract { lines.append(escaped(abstract)) }
            if let discussion = command.discussion, !discussion.isEmpty { lines += [".PP"] + discussion.split(separator: "\n").map { escaped(String($0)) } }
            for argument in (command.arguments ?? []) where argument.shouldDisplay && !isHelp(argument) { lines += describe(argument) }
        }
        for each in subcommands { describe(each, path: name, &lines) }
    }

    private static func isHelp(_ argument: Argument) -> Bool { argument.names?.contains { $0.name == "help" || $0.name == "version" } ?? false }

    private static func describe(_ argument: Argument) -> [String] {
        let names = (argument.names ?? []).map { "\\fB" + ($0.kind == "long" ? "\\-\\-" : "\\-") + escaped($0.name) + "\\fR" }
        let value = argument.valueName.map { "\\fI\(escaped($0))\\fR" } ?? ""
        let head = argument.kind == "positional" ? value : names.joined(separator: ", ") + (argument.kind == "option" ? " \(value)" : "")
        var text = argument.abstract ?? ""
        if let standard = argument.defaultValue, argument.kind == "option" { text += " (default: \(standard))" }
        return [".TP", head, escaped(text)]
    }

    /// A line may not begin with what roff takes for a request.
    private static func escaped(_ text: String) -> String {
        let plain = text.replacing("\\", with: "\\e").replacing("-", with: "\\-").replacing("\n", with: " ")
        return plain.hasPrefix(".") || plain.hasPrefix("'") ? "\\&" + plain : plain
    }
}
