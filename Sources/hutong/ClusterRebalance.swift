import ArgumentParser
import Client
import Foundation
import Wire

struct ClusterRebalance: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rebalance", abstract: "Spread partition groups' replicas and leaders evenly over the brokers, by few moves.",
        discussion: """
            A broker that was added gets its share; one that --brokers leaves out has none afterwards, and can be stopped for good. Groups are moved \
            one after the other, while clients go on. Exit code 0: all is as it is to be. 1: something went wrong. 2: it was not done in time, and goes \
            on by itself. 3: with --dry-run, there is something to move.
            """)

    @Flag(help: "Only print the plan.") var dryRun = false
    @Option(
        help: ArgumentHelp(
            "The brokers that are to have replicas, with commas between; by default all that are there. One that has some now and is left out is emptied.",
            valueName: "ids"))
    var brokers: String?
    @Flag(help: "Don't wait until the moves are done.") var noWait = false
    @Option(help: ArgumentHelp("Seconds to wait for one group's move without any sign of progress.", valueName: "seconds")) var patience = 600
    @OptionGroup var server: ServerOption

    private static let unfinished: Int32 = 2
    private static let somethingToDo: Int32 = 3

    func validate() throws {
        guard (1...86_400).contains(patience) else { throw ValidationError("--patience must be from 1 to 86400 seconds.") }
        _ = try named()
    }

    /// Nil: all that are there.
    private func named() throws -> Set<Int32>? {
        guard let brokers else { return nil }
        let numbers = brokers.split(separator: ",").map { Int32($0.trimmingCharacters(in: .whitespaces)) }
        guard !numbers.isEmpty, numbers.allSatisfy({ $0 != nil }) else {
            throw ValidationError("--brokers is '\(brokers)', but must be brokers' ids, e.g. 1,2,4.")
        }
        return Set(numbers.compactMap { $0 })
    }

    func run() throws {
        let client = try server.client()
        let cluster = try ClusterGroups(client)
        let plan = try plan(cluster)
        show(plan)
        if plan.moves.isEmpty {
            let unsettled = cluster.groups.filter { !$0.isSettled }
            if dryRun || noWait || unsettled.isEmpty { return }
            for group in unsettled { try follow(group.number, group.target, client) }
            return
        }
        if dryRun { throw ExitCode(ClusterRebalance.somethingToDo) }
        for (number, move) in plan.moves.enumerated() {
            let partitions = cluster.groups.first { $0.number == move.group }?.partitions ?? []
            Output.say("partition group \(move.group), \(number + 1) of \(plan.moves.count): \(ClusterGroups.list(move.from)) to \(ClusterGroups.list(move.to))")
            try client.reassign(partitions, to: move.to)
            if !noWait { try follow(move.group, move.to, client) }
        }
        if !noWait { Output.say("done") }
    }

    private func plan(_ cluster: ClusterGroups) throws -> SpreadingPlan {
        let there = Set(cluster.brokers.map(\.nodeId))
        let having = cluster.groups.reduce(into: Set<Int32>()) { $0.formUnion($1.target) }
        let named = try named()
        if named == nil, let away = having.subtracting(there).min() {
            throw ClientError.protocolMismatch(
                "Broker \(away) is to have replicas, but is not there. Start it, or name the brokers that are to have them instead, with --brokers.")
        }
        let groups = cluster.groups.map { SpreadingPlan.Group(number: $0.number, brokers: $0.target) }
        return try SpreadingPlan(groups, brokers: named ?? there, there: there)
    }

    private func show(_ plan: SpreadingPlan) {
        guard !plan.moves.isEmpty else { return print("nothing to move: \(plan.groups.count) partition groups are spread evenly") }
        let rows = plan.moves.map { move in
            [
                "\(move.group)", ClusterGroups.list(move.from), ClusterGroups.list(move.to), ClusterGroups.list(move.adding),
                ClusterGroups.list(move.removing), "\(move.to[0])",
            ]
        }
        print(Output.table(["GROUP", "FROM", "TO", "ADDING", "REMOVING", "LEADER"], rows), terminator: "")
    }

    /// Waits until the group is with those who are to have it, and led by whom it is to be.
    private func follow(_ group: UInt16, _ target: [Int32], _ client: KafkaClient) throws {
        var seen: [Int32] = []
        var deadline = Date() + Double(patience)
        var lastElection = Date.distantPast
        while Date() < deadline {
            // A broker that was asked may be gone for a moment.
            if let now = try? ClusterGroups(client).groups.first(where: { $0.number == group }) {
                if Set(now.replicas) == Set(target) {
                    if now.leader == target[0] { return }
                    if Date() > lastElection + 1 {
                        lastElection = Date()
                        _ = try? client.electLeaders(Array(now.partitions.prefix(1)))
                        continue
                    }
                }
                let state = now.replicas + [now.leader]
                if state != seen {
                    seen = state
                    deadline = Date() + Double(patience)
                    Output.say("partition group \(group): replicas \(ClusterGroups.list(now.replicas)), leader \(now.leader)")
                }
            }
            usleep(100_000)
        }
        Output.say("partition group \(group) is not where it is to be after \(patience) seconds without progress; it goes on by itself")
        throw ExitCode(ClusterRebalance.unfinished)
    }
}
