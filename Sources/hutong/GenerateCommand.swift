import ArgumentParser
import Foundation
import Host
import Monitoring

/// `hutong generate`: files that others read.
struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Print files for other programs.", discussion: "Shell completion: hutong --generate-completion-script bash|zsh|fish.",
        subcommands: [Grafana.self, Alerts.self, Man.self])

    struct Grafana: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "grafana", abstract: "Print a dashboard for Grafana.",
            discussion: "Import it as JSON. With --expressions only what it asks Prometheus for, a line each.")
        @Flag(name: .long, help: "Print the expressions.") var expressions = false

        func run() throws {
            if expressions { return print(Dashboard.expressions.joined(separator: "\n")) }
            print(try Dashboard.json(), terminator: "")
        }
    }

    struct Alerts: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "alerts", abstract: "Print rules for Prometheus that tell when something is wrong.", discussion: "A file for rule_files; the job is to be called hutong.")

        func run() { print(Monitoring.Alerts.yaml, terminator: "") }
    }

    struct Man: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "man", abstract: "Print the manual page, hutong(1).")

        func run() throws { print(try ManualPage.text(of: Hutong.self), terminator: "") }
    }
}
