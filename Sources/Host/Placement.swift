/// How stages share threads.
public enum Layout: String, Sendable, CaseIterable {
    /// Everything on one thread.
    case single
    /// What reads, writes and answers requests on one thread; flush on another, with all that no request waits for.
    case two
    /// A thread for each group, as far as the cores go round.
    case group
}

/// One stage of the broker; the number tells which of its kind.
public enum StageID: Hashable, Sendable, CustomStringConvertible {
    case io(Int), write(Int), flush(Int), replicate(Int), respond(Int), loader(Int), archive(Int)
    /// Answers fetches, and advances the high watermarks; one for all partition groups.
    case read
    /// Metadata and administration.
    case control
    /// Coordinates consumer groups.
    case groups

    public var description: String {
        switch self {
        case .io(let n): "io-\(n)"
        case .write(let n): "write-\(n)"
        case .flush(let n): "flush-\(n)"
        case .replicate(let n): "replicate-\(n)"
        case .respond(let n): "respond-\(n)"
        case .loader(let n): "loader-\(n)"
        case .archive(let n): "archive-\(n)"
        case .read: "read"
        case .control: "control"
        case .groups: "groups"
        }
    }
}

/// What the operator asked for; nil: choose by the machine.
public struct PlacementWishes: Sendable {
    public var layout: Layout?
    public var partitionGroups: Int?
    public var ioThreads: Int?
    public var pin: Bool

    public init(layout: Layout? = nil, partitionGroups: Int? = nil, ioThreads: Int? = nil, pin: Bool = true) {
        self.layout = layout
        self.partitionGroups = partitionGroups
        self.ioThreads = ioThreads
        self.pin = pin
    }
}

/// One thread of the plan.
public struct PlannedThread: Equatable, Sendable {
    /// At most 15 characters: what the kernel keeps of a thread's name.
    public var name: String
    public var stages: [StageID]
    public var node: Int
    /// The processor to bind it to; nil: not bound.
    public var cpu: Int?
}

/// Which stages run on which thread, which thread on which core, near which memory. A pure function of the machine and
/// the wishes.
public struct PlacementPlan: Equatable, Sendable {
    public var layout: Layout
    public var partitionGroups: Int
    /// As many io stages as respond stages: a connection's two directions are a pair.
    public var ioThreads: Int
    public var threads: [PlannedThread]
    /// For each partition group the node of its threads and its cache.
    public var nodeOfGroup: [Int]
    /// How often a thread looks in vain before it sleeps: never where threads share cores.
    public var spins: Int

    public static func make(topology: Topology, wishes: PlacementWishes = PlacementWishes()) -> PlacementPlan {
        let cores = topology.coreCount
        let layout = wishes.layout ?? (cores <= 1 ? .single : cores <= 3 ? .two : .group)
        let nodes = hosts(topology, layout)
        // A request names its groups by the bits of one word.
        let groups = min(wishes.partitionGroups ?? (layout == .group ? nodes.reduce(0) { $0 + groupCount(on: $1) } : 1), 64)
        let ios = min(wishes.ioThreads ?? (layout == .group ? groups : 1), 64)
        var nodeOfGroup: [Int] = []
        for group in 0..<groups { nodeOfGroup.append(share(of: nodes, number: group, of: groups).id) }
        var threads: [PlannedThread] = []
        for node in nodes {
            var mine: [PlannedThread] = []
            let groupsHere = (0..<groups).filter { nodeOfGroup[$0] == node.id }
            let iosHere = (0..<ios).filter { share(of: nodes, number: $0, of: ios).id == node.id }
            switch layout {
            case .single, .two: break
            case .group:
                mine = threadPerGroup(
                    groups: groupsHere, ios: iosHere, node: node.id, central: node.id == nodes[0].id,
                    cores: wishes.layout == .group ? .max : node.cores.count)
            }
            if wishes.pin { bind(&mine, to: node) }
            threads += mine
        }
        if layout != .group {
            threads = fewThreads(layout, groups: groups, ios: ios, node: nodes[0].id)
            nodeOfGroup = nodeOfGroup.map { _ in nodes[0].id }
            if wishes.pin { bind(&threads, to: nodes[0]) }
        }
        let isCrowded = nodes.contains { node in threads.count(where: { $0.node == node.id }) > node.cores.count }
        let spins = threads.count < cores && !isCrowded ? 200 : 0
        return PlacementPlan(
            layout: layout, partitionGroups: groups, ioThreads: ios, threads: threads, nodeOfGroup: nodeOfGroup,
            spins: spins)
    }

    /// A partition group wants about eight cores: three of its own, a pair for io and respond, and rest for clients.
    private static func groupCount(on node: Topology.Node) -> Int { max(1, (node.cores.count - 1) / 8) }

    /// The nodes to place threads on, those near the network first: not where a group's threads would crowd, as on a node
    /// that is mostly someone else's, unless all are like that.
    private static func hosts(_ topology: Topology, _ layout: Layout) -> [Topology.Node] {
        let sorted = topology.nodes.sorted {
            ($0.id == topology.nicNode ? 0 : 1, $0.id) < ($1.id == topology.nicNode ? 0 : 1, $1.id)
        }
        let needed = switch layout {
        case .single: 1
        case .two: 2
        case .group: 4
        }
        let fit = sorted.filter { $0.cores.count >= needed }
        return fit.isEmpty ? sorted : fit
    }

    /// Spreads `count` things over the nodes in runs, by their cores.
    private static func share(of nodes: [Topology.Node], number: Int, of count: Int) -> Topology.Node {
        var core = number * nodes.reduce(0) { $0 + $1.cores.count } / max(count, 1)
        for node in nodes {
            if core < node.cores.count { return node }
            core -= node.cores.count
        }
        return nodes[nodes.count - 1]
    }

    private static func fewThreads(_ layout: Layout, groups: Int, ios: Int, node: Int) -> [PlannedThread] {
        let requests: [StageID] = (0..<ios).map { .io($0) } + (0..<groups).map { .write($0) }
        let responses: [StageID] = (0..<ios).map { .respond($0) }
        let flush: [StageID] = (0..<groups).map { .flush($0) } + (0..<groups).map { .replicate($0) }
        let rest: [StageID] = [.read] + (0..<groups).flatMap { [.loader($0), .archive($0)] } + [.control, .groups]
        guard layout == .two else {
            return [PlannedThread(name: "all", stages: requests + flush + responses + rest, node: node)]
        }
        return [
            PlannedThread(name: "main", stages: requests + responses, node: node),
            PlannedThread(name: "flush", stages: flush + rest, node: node),
        ]
    }

    /// A thread for each group; where there are fewer cores (and the layout was not wished for), first replicate moves in
    /// with the loader, then respond with io. What is central lives with the first node's loader.
    private static func threadPerGroup(
        groups: [Int], ios: [Int], node: Int, central: Bool, cores: Int
    ) -> [PlannedThread] {
        let common: [StageID] = central ? [.read, .control, .groups] : []
        let separate = 2 * ios.count + 3 * groups.count + 1
        let loadersReplicate = separate > cores
        let ioResponds = separate - groups.count > cores
        var threads: [PlannedThread] = []
        func add(_ name: String, _ stages: [StageID]) {
            if !stages.isEmpty { threads.append(PlannedThread(name: name, stages: stages, node: node)) }
        }
        for io in ios { add("io-\(io)", ioResponds ? [.io(io), .respond(io)] : [.io(io)]) }
        for group in groups {
            add("write-\(group)", [.write(group)])
            add("flush-\(group)", [.flush(group)])
            if !loadersReplicate { add("replicate-\(group)", [.replicate(group)]) }
        }
        if !ioResponds { for io in ios { add("respond-\(io)", [.respond(io)]) } }
        let replicates: [StageID] = loadersReplicate ? groups.map { .replicate($0) } : []
        add("loader-\(node)", replicates + common + groups.flatMap { [.loader($0), .archive($0)] })
        return threads
    }

    /// Whole cores first, in order; then their second processors; then around again.
    private static func bind(_ threads: inout [PlannedThread], to node: Topology.Node) {
        let width = node.cores.map(\.count).max() ?? 1
        var processors: [Int] = []
        for sibling in 0..<width {
            for core in node.cores where sibling < core.count { processors.append(core[sibling]) }
        }
        for index in threads.indices { threads[index].cpu = processors[index % processors.count] }
    }

    /// The plan in lines: one a thread, `placement: thread=NAME cpu=N node=N stages=a,b`.
    public var lines: [String] {
        threads.map { thread in
            let stages = thread.stages.map(\.description).joined(separator: ",")
            return "placement: thread=\(thread.name) cpu=\(thread.cpu.map(String.init) ?? "any") node=\(thread.node) stages=\(stages)"
        }
    }

    /// The thread that runs the stage, as an index into `threads`.
    public func thread(of stage: StageID) -> Int {
        guard let index = threads.firstIndex(where: { $0.stages.contains(stage) }) else {
            preconditionFailure("the plan has no thread for \(stage)")
        }
        return index
    }
}
