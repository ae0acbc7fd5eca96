import ArgumentParser
import Foundation
import Host
import Settings

/// `hutong placement`: which stages would run where.
struct PlacementCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "placement", abstract: "Print which stages run on which threads and cores, and near which memory.")

    @Option(
        name: .long,
        help: ArgumentHelp(
            "A JSON file that describes another machine: {\"nodes\": [{\"id\": 0, \"cores\": [[0, 4], [1, 5]]}], \"nicNode\": 0}.",
            valueName: "file"))
    var topology: String?

    @Option(name: .long, help: "A YAML file of settings.")
    var config: String?

    func run() throws {
        let machine = try topology.map { try Topology(file: $0) } ?? .discover()
        let environment = ProcessInfo.processInfo.environment
        let settings = try Settings.load(
            file: config ?? environment[Settings.fileVariable], environment: environment, flags: [])
        let plan = PlacementPlan.make(topology: machine, wishes: PlacementWishes(settings))
        print("placement: layout=\(plan.layout.rawValue) partition.groups=\(plan.partitionGroups) cores=\(machine.coreCount)")
        for line in plan.lines { print(line) }
    }
}
