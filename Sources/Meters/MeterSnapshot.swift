import CHost
import Host

/// All counters of a broker at one time.
public struct MeterSnapshot: Sendable {
    public struct Thread: Sendable {
        public var turnedAt: UInt64
        /// The stage that it was in, an index into the description's stages; nil: between two.
        public var stage: Int?
        public var sleeps: Bool
        public var turns: UInt64
    }

    public struct Stage: Sendable {
        public var rounds: UInt64
        public var work: UInt64
        /// 0: never.
        public var workedAt: UInt64
        public var depth: UInt64
        /// 0: no limit, or nothing that could be counted.
        public var capacity: UInt64
        /// Nanoseconds.
        public var oldest: UInt64
        public var sampledAt: UInt64
        public var counters: [UInt64]
        public var batches: Buckets
        public var latencies: Buckets
        public var latencySum: UInt64
    }

    public let description: BoardDescription
    public let processId: Int32
    /// By the monotonic clock.
    public var startedAt: UInt64
    public let takenAt: UInt64
    public var threads: [Thread]
    public var stages: [Stage]
    public var groups: [Group]
    public var requests: [UInt64]
    public var errors: [UInt64]

    /// A partition group's positions.
    public struct Group: Sendable {
        let words: [UInt64]

        public subscript(_ word: MeterBoard.GroupWord) -> UInt64 { words[word.rawValue] }

        /// The same with another value.
        public func with(_ word: MeterBoard.GroupWord, _ value: UInt64) -> Group {
            var words = words
            words[word.rawValue] = value
            return Group(words: words)
        }
    }

    init(
        _ description: BoardDescription, processId: Int32, startedAt: UInt64, takenAt: UInt64, _ layout: MeterBoard.Layout,
        _ base: UnsafeMutablePointer<UInt64>
    ) {
        func words(_ at: Int, _ count: Int) -> [UInt64] { (at..<at + count).map { hutong_load(base + $0) } }
        self.description = description
        self.processId = processId
        self.startedAt = startedAt
        self.takenAt = takenAt
        threads = description.threads.indices.map { number in
            let words = words(layout.threads + ThreadMeter.words * number, ThreadMeter.words)
            let stages = description.threads[number].stages
            let stage = Int(clamping: words[ThreadMeter.Word.stage.rawValue])
            return Thread(
                turnedAt: words[ThreadMeter.Word.turnedAt.rawValue], stage: (1...max(stages.count, 1)).contains(stage) ? stages[stage - 1] : nil,
                sleeps: words[ThreadMeter.Word.sleeps.rawValue] != 0, turns: words[ThreadMeter.Word.turns.rawValue])
        }
        stages = description.stages.indices.map { Stage(words(layout.stages + StageMeter.words * $0, StageMeter.words), takenAt: takenAt) }
        groups = (0..<description.partitionGroups).map {
            Group(words: words(layout.groups + MeterBoard.groupWords * $0, MeterBoard.groupWords))
        }
        requests = words(layout.apis, MeterBoard.apiCount)
        errors = words(layout.errors, MeterBoard.errorCount)
    }
}

extension MeterSnapshot.Stage {
    /// What waited when its thread looked last has waited since: it looks again before it sleeps for long.
    fileprivate init(_ words: [UInt64], takenAt: UInt64) {
        let sampledAt = words[StageMeter.Word.sampledAt.rawValue]
        let since = words[StageMeter.Word.depth.rawValue] > 0 && takenAt > sampledAt ? takenAt - sampledAt : 0
        func word(_ word: StageMeter.Word) -> UInt64 { words[word.rawValue] }
        self.init(
            rounds: word(.rounds), work: word(.work), workedAt: word(.workedAt), depth: word(.depth), capacity: word(.capacity),
            oldest: word(.oldest) &+ since, sampledAt: sampledAt, counters: StageMeter.Counter.allCases.map { words[$0.rawValue] },
            batches: Buckets(Array(words[StageMeter.batchRange])), latencies: Buckets(Array(words[StageMeter.latencyRange])),
            latencySum: words[StageMeter.latencySumWord])
    }
}

/// How many there were of each size.
public struct Buckets: Sendable, Equatable {
    public var counts: [UInt64]

    public init(_ counts: [UInt64]) { self.counts = counts }

    public var count: UInt64 { counts.reduce(0, &+) }

    /// Those that have come since.
    public func since(_ before: Buckets?) -> Buckets {
        guard let before else { return self }
        return Buckets(zip(counts, before.counts).map { $0 >= $1 ? $0 - $1 : 0 })
    }

    /// The bucket in which that share (0 to 1) of all is reached; nil: there are none.
    public func bucket(of share: Double) -> Int? {
        let count = count
        guard count > 0 else { return nil }
        var left = UInt64((Double(count) * share).rounded(.up))
        left = max(left, 1)
        for (bucket, each) in counts.enumerated() {
            if each >= left { return bucket }
            left -= each
        }
        return counts.indices.last
    }

    /// Of latencies: the nanoseconds within which that share was done.
    public func latency(of share: Double) -> UInt64? { bucket(of: share).map(LatencyBuckets.limit) }

    /// Of batches: the greatest size of the bucket in which that share is reached.
    public func batch(of share: Double) -> UInt64? { bucket(of: share).map { (1 << UInt64($0 + 1)) - 1 } }
}
