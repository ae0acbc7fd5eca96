import ArgumentParser
import Client

struct GroupDelete: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "delete", abstract: "Delete groups that have no members, with their offsets.")

    @Argument(help: "The groups.") var groups: [String]
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    func validate() throws {
        guard !groups.isEmpty else { throw ValidationError("Name at least one group.") }
    }

    func run() throws {
        let client = try server.client()
        var outcomes = Outcomes(json: json)
        for group in groups {
            try outcomes.attempt(Outcome(group: group)) { _ in
                try client.delete(group: group)
                return "deleted \(group)"
            }
        }
        try outcomes.finish()
    }
}
