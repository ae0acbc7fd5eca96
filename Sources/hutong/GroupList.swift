import ArgumentParser
import Client

struct GroupList: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List all groups, of all brokers.")

    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    private struct Row: Encodable {
        let group: String
        let state: String
        let protocolType: String
    }

    func run() throws {
        let rows = try server.client().consumerGroups().map { Row(group: $0.groupId, state: $0.groupState, protocolType: $0.protocolType) }
        guard !json else { return print(try Output.json(rows), terminator: "") }
        print(Output.table(["GROUP", "STATE", "TYPE"], rows.map { [$0.group, $0.state, $0.protocolType] }), terminator: "")
    }
}
