import ArgumentParser
import Client

struct GroupDelete: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "delete", abstract: "Delete groups that have no members, with their offsets.")

    @Argument(help: "The groups.") var groups: [String]
    @OptionGroup var server: ServerOption

    func validate() throws {
        guard !groups.isEmpty else { throw ValidationError("Name at least one group.") }
    }

    func run() throws {
        let client = try server.client()
        for group in groups {
            try client.delete(group: group)
            print("deleted \(group)")
        }
    }
}
