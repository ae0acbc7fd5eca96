import Foundation
import TestSupport
import Testing

@testable import Host

@Suite struct TopologyTests {
    @Test func readsTheKernelsLists() {
        #expect(Topology.parse(list: "0-3,8\n") == [0, 1, 2, 3, 8])
        #expect(Topology.parse(list: "5") == [5])
        #expect(Topology.parse(list: " 0,2-2,4-5 ") == [0, 2, 4, 5])
        for bad in ["", "\n", "a", "1-b", "3-1", "0,x", "-"] { #expect(Topology.parse(list: bad) == nil, "\(bad)") }
    }

    @Test func readsAFile() throws {
        let path = NSTemporaryDirectory() + "topology-\(UUID().uuidString).json"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try #"{"nodes": [{"id": 0, "cores": [[0, 4], [1, 5]]}, {"id": 2, "cores": [[2]]}], "nicNode": 2}"#
            .write(toFile: path, atomically: true, encoding: .utf8)
        let topology = try Topology(file: path)
        #expect(topology == Topology(nodes: [.init(id: 0, cores: [[0, 4], [1, 5]]), .init(id: 2, cores: [[2]])], nicNode: 2))
        #expect(topology.coreCount == 3)
        for bad in [#"{"nodes": []}"#, #"{"nodes": [{"id": 0, "cores": []}]}"#, #"{"nodes": [{"id": 0, "cores": [[]]}]}"#] {
            try bad.write(toFile: path, atomically: true, encoding: .utf8)
            #expect(throws: TopologyError.self, "\(bad)") { try Topology(file: path) }
        }
    }

    @Test func thisMachineHasCoresThatWeMayUse() {
        let topology = Topology.discover()
        #expect(!topology.nodes.isEmpty && topology.coreCount >= 1)
        let processors = topology.nodes.flatMap { $0.cores.flatMap { $0 } }
        #expect(Set(processors).count == processors.count && topology.nodes.allSatisfy { !$0.cores.isEmpty })
    }
}

/// Made-up machines.
private enum Machine {
    /// `nodes` nodes of `cores` cores of `threads` processors, numbered as Linux does: first each core's first one.
    static func even(nodes: Int = 1, cores: Int, threads: Int = 1, nic: Int? = nil) -> Topology {
        let all = nodes * cores
        return Topology(
            nodes: (0..<nodes).map { node in
                Topology.Node(
                    id: node,
                    cores: (0..<cores).map { core in (0..<threads).map { $0 * all + node * cores + core } })
            }, nicNode: nic)
    }

    /// Nodes of one-processor cores, as many as given for each.
    static func uneven(_ counts: [Int], nic: Int? = nil) -> Topology {
        var next = 0
        let nodes = counts.enumerated().map { id, count in
            defer { next += count }
            return Topology.Node(id: id, cores: (next..<next + count).map { [$0] })
        }
        return Topology(nodes: nodes, nicNode: nic)
    }

    static let all: [Topology] = [
        even(cores: 1), even(cores: 1, threads: 2), even(cores: 2), even(cores: 3), even(cores: 4), even(cores: 5),
        even(cores: 6), even(cores: 8, threads: 2), even(cores: 16), even(cores: 64), even(nodes: 2, cores: 4),
        even(nodes: 2, cores: 1), even(nodes: 2, cores: 64, threads: 2), even(nodes: 2, cores: 64, threads: 2, nic: 1),
        even(nodes: 4, cores: 16, nic: 3), even(nodes: 8, cores: 2), even(nodes: 16, cores: 64, threads: 2, nic: 9),
        uneven([1, 15]), uneven([15, 1]), uneven([1, 64], nic: 1), uneven([12, 2, 30]),
    ]
}

@Suite struct PlacementTests {
    private func plan(_ topology: Topology, _ wishes: PlacementWishes = PlacementWishes()) -> PlacementPlan {
        PlacementPlan.make(topology: topology, wishes: wishes)
    }

    /// What holds of every plan.
    private func check(_ plan: PlacementPlan, on topology: Topology, pinned: Bool = true) {
        let nodes = Dictionary(uniqueKeysWithValues: topology.nodes.map { ($0.id, $0) })
        var expected: Set<StageID> = [.read, .control, .groups]
        for group in 0..<plan.partitionGroups {
            expected.formUnion([.write(group), .flush(group), .replicate(group), .loader(group), .archive(group)])
        }
        for io in 0..<plan.ioThreads { expected.formUnion([.io(io), .respond(io)]) }
        let stages = plan.threads.flatMap(\.stages)
        #expect(stages.count == expected.count && Set(stages) == expected, "every stage exactly once")

        let names = plan.threads.map(\.name)
        #expect(names.allSatisfy { !$0.isEmpty && $0.utf8.count <= 15 } && Set(names).count == names.count)
        #expect(plan.threads.allSatisfy { !$0.stages.isEmpty })
        #expect((1...64).contains(plan.partitionGroups) && (1...64).contains(plan.ioThreads))

        #expect(plan.nodeOfGroup.count == plan.partitionGroups)
        for (group, node) in plan.nodeOfGroup.enumerated() {
            for stage in [StageID.write(group), .flush(group), .replicate(group), .loader(group), .archive(group)] {
                #expect(plan.threads[plan.thread(of: stage)].node == node, "\(stage)")
            }
        }
        for io in 0..<plan.ioThreads {
            #expect(plan.threads[plan.thread(of: .io(io))].node == plan.threads[plan.thread(of: .respond(io))].node)
        }

        for thread in plan.threads {
            guard let node = nodes[thread.node] else {
                Issue.record("\(thread.name) is on node \(thread.node), which isn't there")
                continue
            }
            #expect((thread.cpu != nil) == pinned)
            if let cpu = thread.cpu { #expect(node.cores.contains { $0.contains(cpu) }, "\(thread.name) near its memory") }
        }
        var shares = false
        for node in topology.nodes {
            let cpus = plan.threads.filter { $0.node == node.id }.compactMap(\.cpu)
            let cores = Set(cpus.map { cpu in node.cores.firstIndex { $0.contains(cpu) } })
            // No core twice while there are cores, no processor twice while there are processors.
            #expect(cores.count == min(cpus.count, node.cores.count), "node \(node.id)")
            #expect(Set(cpus).count == min(cpus.count, node.cores.flatMap { $0 }.count), "node \(node.id)")
            if cores.count < cpus.count { shares = true }
        }
        if shares { #expect(plan.spins == 0, "who shares a core must not spin on it") }
    }

    @Test func everyMachineGetsASoundPlan() {
        for topology in Machine.all { check(plan(topology), on: topology) }
    }

    @Test func everyWishOnEveryMachineGetsASoundPlan() {
        for topology in Machine.all {
            for layout in [nil] + Layout.allCases.map(Optional.some) {
                for groups in [nil, 1, 3, 64] as [Int?] {
                    for ios in [nil, 1, 2, 64] as [Int?] {
                        for pin in [true, false] {
                            let wishes = PlacementWishes(layout: layout, partitionGroups: groups, ioThreads: ios, pin: pin)
                            let plan = plan(topology, wishes)
                            check(plan, on: topology, pinned: pin)
                            if let layout { #expect(plan.layout == layout) }
                            if let groups { #expect(plan.partitionGroups == groups) }
                            if let ios { #expect(plan.ioThreads == ios) }
                        }
                    }
                }
            }
        }
    }

    @Test func smallMachinesShareThreads() {
        let one = plan(Machine.even(cores: 1))
        #expect(one.layout == .single && one.threads.map(\.name) == ["all"] && one.spins == 0)
        let two = plan(Machine.even(cores: 2))
        #expect(two.layout == .two && two.threads.map(\.name) == ["main", "flush"] && two.spins == 0)
        #expect(two.threads.map(\.cpu) == [0, 1] && two.threads[0].stages == [.io(0), .write(0), .respond(0)])
        let four = plan(Machine.even(cores: 4))
        #expect(four.layout == .group && four.threads.map(\.name) == ["io-0", "write-0", "flush-0", "loader-0"])
        #expect(four.spins == 0, "all cores are taken: the clients need some")
        #expect(four.threads[four.thread(of: .respond(0))].name == "io-0")
        let five = plan(Machine.even(cores: 5))
        #expect(five.threads.map(\.name) == ["io-0", "write-0", "flush-0", "respond-0", "loader-0"])
        #expect(five.threads[five.thread(of: .replicate(0))].name == "loader-0")
    }

    @Test func aThreadForEachGroupWhereTheCoresGoRound() {
        let names = ["io-0", "write-0", "flush-0", "replicate-0", "respond-0", "loader-0"]
        let six = plan(Machine.even(cores: 6))
        #expect(six.threads.map(\.name) == names && six.threads.map(\.cpu) == [0, 1, 2, 3, 4, 5] && six.spins == 0)
        let sixteen = plan(Machine.even(cores: 16))
        #expect(sixteen.threads.map(\.name) == names && sixteen.spins > 0 && sixteen.partitionGroups == 1)
    }

    @Test func everySocketHasItsGroups() {
        let topology = Machine.even(nodes: 2, cores: 64, threads: 2)
        let large = plan(topology)
        #expect(large.layout == .group && large.partitionGroups == 14 && large.spins > 0)
        #expect(large.nodeOfGroup == Array(repeating: 0, count: 7) + Array(repeating: 1, count: 7))
        // Whole cores suffice: nobody has the second processor of another's core.
        #expect(large.threads.allSatisfy { $0.cpu! < 128 })
        #expect(large.threads[large.thread(of: .control)].node == 0)
    }

    @Test func whatIsCentralIsNearTheNetwork() {
        let large = plan(Machine.even(nodes: 2, cores: 64, threads: 2, nic: 1))
        #expect(large.nodeOfGroup == Array(repeating: 1, count: 7) + Array(repeating: 0, count: 7))
        #expect(large.threads[large.thread(of: .control)].node == 1 && large.threads[large.thread(of: .read)].node == 1)
        let one = plan(Machine.even(nodes: 2, cores: 64, nic: 1), PlacementWishes(layout: .single))
        #expect(one.threads.map(\.node) == [1] && one.threads.map(\.cpu) == [64] && one.nodeOfGroup == [1])
    }

    @Test func anExplicitLayoutIsKept() {
        let crowded = plan(Machine.even(cores: 2), PlacementWishes(layout: .group))
        #expect(crowded.threads.count == 6 && crowded.spins == 0)
        #expect(crowded.threads.map(\.cpu) == [0, 1, 0, 1, 0, 1])
        let alone = plan(Machine.even(cores: 16), PlacementWishes(layout: .single, partitionGroups: 3, ioThreads: 2))
        #expect(alone.threads.count == 1 && alone.partitionGroups == 3 && alone.ioThreads == 2)
    }

    /// A node that is mostly someone else's gets no more of the work than it has cores for.
    @Test func anUnevenMachineCrowdsNoNode() {
        #expect(plan(Machine.uneven([2, 60])).nodeOfGroup == Array(repeating: 1, count: 7))
        #expect(plan(Machine.uneven([12, 40])).nodeOfGroup == [0, 0, 1, 1, 1])
        #expect(plan(Machine.uneven([1, 2])).threads.map(\.cpu) == [1, 2])
    }

    @Test func thePlanIsPrintedALineAThread() {
        let lines = plan(Machine.even(cores: 2), PlacementWishes(pin: false)).lines
        #expect(lines.last == "placement: thread=flush cpu=any node=0 stages=flush-0,replicate-0,read,loader-0,archive-0,control,groups")
        #expect(lines.count == 2 && lines[0].hasPrefix("placement: thread=main cpu=any node=0 stages=io-0,write-0"))
    }
}
