import Host

/// What a board's counters belong to. It does not change while the broker runs.
public struct BoardDescription: Codable, Sendable, Equatable {
    public struct Thread: Codable, Sendable, Equatable {
        public var name: String
        /// Nil: any processor.
        public var cpu: Int?
        /// Indices into `stages`, in the order in which they are stepped.
        public var stages: [Int]
    }

    public struct Stage: Codable, Sendable, Equatable {
        public var name: String
        public var kind: StageKind
        /// Among those of its kind: of the partition group, or of the io thread.
        public var number: Int
        public var thread: Int
    }

    public var version: String
    public var brokerId: Int
    public var listen: String
    public var advertised: String
    public var dataDirectory: String
    public var backend: String
    public var flushMethod: String
    public var layout: String
    public var isCluster: Bool
    public var threads: [Thread]
    public var stages: [Stage]
    public var partitionGroups: Int

    /// - Parameter plan: whose threads and stages they are.
    public init(
        version: String, brokerId: Int, listen: String, advertised: String, dataDirectory: String, backend: String, flushMethod: String, isCluster: Bool,
        plan: PlacementPlan
    ) {
        self.version = version
        self.brokerId = brokerId
        self.listen = listen
        self.advertised = advertised
        self.dataDirectory = dataDirectory
        self.backend = backend
        self.flushMethod = flushMethod
        self.isCluster = isCluster
        layout = plan.layout.rawValue
        partitionGroups = plan.partitionGroups
        threads = []
        stages = []
        for (number, thread) in plan.threads.enumerated() {
            threads.append(
                Thread(name: thread.name, cpu: thread.cpu, stages: Array(stages.count..<stages.count + thread.stages.count)))
            for stage in thread.stages {
                let (kind, place) = StageKind.of(stage)
                stages.append(Stage(name: stage.description, kind: kind, number: place, thread: number))
            }
        }
    }
}

extension BoardDescription {
    /// Whether all that it names is there, within bounds: what another process has written is not to trap this one.
    var isSound: Bool {
        (0...64).contains(partitionGroups) && threads.count <= 4096 && stages.count <= 4096
            && threads.allSatisfy { $0.stages.allSatisfy(stages.indices.contains) }
            && stages.allSatisfy { threads.indices.contains($0.thread) && (0..<max(partitionGroups, 64)).contains($0.number) && ($0.kind != .loader || $0.number < partitionGroups) }
    }
}

/// The kinds of stages, in the order of the produce path, then the others.
public enum StageKind: String, Codable, Sendable, CaseIterable {
    case io, write, flush, replicate, respond, loader
    case archive, read, control, groups

    /// The stage's kind, and its number among those.
    public static func of(_ stage: StageID) -> (kind: StageKind, number: Int) {
        switch stage {
        case .io(let number): (.io, number)
        case .write(let number): (.write, number)
        case .flush(let number): (.flush, number)
        case .replicate(let number): (.replicate, number)
        case .respond(let number): (.respond, number)
        case .loader(let number): (.loader, number)
        case .archive(let number): (.archive, number)
        case .read: (.read, 0)
        case .control: (.control, 0)
        case .groups: (.groups, 0)
        }
    }

    /// What is counted as waiting for it.
    public var unit: String {
        switch self {
        case .io: "completions"
        case .write, .control, .groups: "requests"
        case .flush, .replicate: "bytes"
        case .respond: "cells"
        case .loader: "segments"
        case .archive: ""
        case .read: "requests"
        }
    }

    /// What its own counters count, in their order.
    public var counters: [String] {
        switch self {
        case .io: ["connections", "connections_accepted", "connections_refused", "received_bytes"]
        case .write: ["requests", "batches"]
        case .flush: ["writes", "written_bytes"]
        case .respond: ["produce_answers", "sent_bytes", "timed_out"]
        default: []
        }
    }

    /// What its latencies are of; nil: it keeps none.
    public var latency: String? {
        switch self {
        case .write: "from a request's arrival until it is sequenced, of the oldest of each batch"
        case .flush: "of a write and its sync"
        case .replicate: "from stable storage here until committed"
        case .respond: "from a produce request's arrival to its answer, of the oldest of each batch"
        default: nil
        }
    }
}
