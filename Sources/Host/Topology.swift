import CHost
import Foundation

/// A machine as far as placement cares: memory nodes, their physical cores, each core's processors.
public struct Topology: Codable, Equatable, Sendable {
    public struct Node: Codable, Equatable, Sendable {
        /// The kernel's number of the node.
        public var id: Int
        /// The physical cores; each is the list of its processors' numbers (more than one with SMT).
        public var cores: [[Int]]

        public init(id: Int, cores: [[Int]]) {
            self.id = id
            self.cores = cores
        }
    }

    /// At least one, each with at least one core.
    public var nodes: [Node]
    /// The node that the network card hangs on; nil where unknown.
    public var nicNode: Int?

    public init(nodes: [Node], nicNode: Int? = nil) {
        self.nodes = nodes
        self.nicNode = nicNode
    }

    public var coreCount: Int { nodes.reduce(0) { $0 + $1.cores.count } }

    /// Read from JSON: `{"nodes": [{"id": 0, "cores": [[0, 4], [1, 5]]}], "nicNode": 0}`.
    public init(file path: String) throws {
        let topology = try JSONDecoder().decode(Topology.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        guard !topology.nodes.isEmpty, topology.nodes.allSatisfy({ !$0.cores.isEmpty && $0.cores.allSatisfy { !$0.isEmpty } })
        else { throw TopologyError(reason: "\(path): a topology has at least one node, each with at least one core") }
        self = topology
    }

    /// This machine, of which only the processors that the process may use count (sysfs-devices-system-cpu, in the
    /// kernel's documentation). Where the kernel tells nothing, one node of single-processor cores.
    public static func discover() -> Topology {
        let allowed = Set(allowedProcessors())
        let root = "/sys/devices/system"
        let online = list(file: "\(root)/node/online") ?? [0]
        var nodes: [Node] = []
        for id in online {
            let processors = list(file: "\(root)/node/node\(id)/cpulist") ?? (online.count == 1 ? Array(allowed) : [])
            var seen: Set<Int> = []
            var cores: [[Int]] = []
            for processor in processors.sorted() where allowed.contains(processor) && !seen.contains(processor) {
                let siblings = (list(file: "\(root)/cpu/cpu\(processor)/topology/thread_siblings_list") ?? [processor])
                    .filter(allowed.contains)
                seen.formUnion(siblings)
                cores.append(siblings.isEmpty ? [processor] : siblings)
            }
            if !cores.isEmpty { nodes.append(Node(id: id, cores: cores)) }
        }
        if nodes.isEmpty { nodes = [Node(id: 0, cores: allowed.sorted().map { [$0] })] }
        return Topology(nodes: nodes, nicNode: networkNode())
    }

    private static func allowedProcessors() -> [Int] {
        var processors = [Int32](repeating: 0, count: 4096)
        let count = hutong_allowed_cpus(&processors, Int32(processors.count))
        guard count > 0 else { return [0] }
        return processors.prefix(min(Int(count), processors.count)).map(Int.init)
    }

    /// The node of the first network card that names one.
    private static func networkNode() -> Int? {
        let cards = (try? FileManager.default.contentsOfDirectory(atPath: "/sys/class/net")) ?? []
        for card in cards.sorted() where card != "lo" {
            let text = try? String(contentsOfFile: "/sys/class/net/\(card)/device/numa_node", encoding: .utf8)
            if let node = text.flatMap({ Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }), node >= 0 {
                return node
            }
        }
        return nil
    }

    /// The kernel's list format: "0-3,8".
    static func list(file: String) -> [Int]? {
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { return nil }
        return parse(list: text)
    }

    static func parse(list text: String) -> [Int]? {
        var numbers: [Int] = []
        for part in text.trimmingCharacters(in: .whitespacesAndNewlines).split(separator: ",") {
            let ends = part.split(separator: "-").map { Int($0) }
            guard let first = ends.first ?? nil, let last = ends.last ?? nil, first <= last else { return nil }
            numbers += first...last
        }
        return numbers.isEmpty ? nil : numbers
    }
}

public struct TopologyError: Error, CustomStringConvertible {
    public let reason: String
    public var description: String { reason }
}
