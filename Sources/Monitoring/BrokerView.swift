import Host
import Meters

/// A broker's counters as the status page, `hutong top` and scripts are given them: names instead of numbers, and what came to pass since an earlier look.
public struct BrokerView: Codable, Sendable {
    public struct Thread: Codable, Sendable {
        public var name: String
        public var cpu: Int?
        public var stages: [String]
        /// The one that it is in; nil: none.
        public var stage: String?
        public var sleeps: Bool
        /// Since it came round last.
        public var silentSeconds: Double
    }

    public struct Stage: Codable, Sendable {
        public var name: String
        public var kind: StageKind
        public var number: Int
        public var thread: String
        /// What `depth` and `capacity` count.
        public var unit: String
        public var depth: UInt64
        /// 0: there is no limit, or nothing that could be counted.
        public var capacity: UInt64
        public var oldestSeconds: Double
        /// How much was done in a second, as the stage counts it, and in how many rounds.
        public var workPerSecond: Double
        public var roundsPerSecond: Double
        /// How much was done at once; nil: nothing was.
        public var batchMedian: UInt64?
        public var batch99: UInt64?
        /// Of what the kind's `latency` says; nil: nothing was measured.
        public var medianSeconds: Double?
        public var p99Seconds: Double?
        public var counters: [String: UInt64]
        /// Since something was done last; nil: never.
        public var idleSeconds: Double?
    }

    public struct PartitionGroup: Codable, Sendable {
        public var number: Int
        /// The epoch in which this broker leads it; 0: it does not.
        public var epoch: UInt64
        public var start: UInt64
        /// Produce requests that were received and are not journaled yet.
        public var receivedRequests: UInt64
        public var journaled: UInt64
        public var flushed: UInt64
        public var replicated: UInt64
        public var committed: UInt64
        public var answered: UInt64
        public var inSyncReplicas: UInt64
        public var majority: UInt64
        /// The errno with which storage failed; nil: it did not.
        public var failure: UInt64?
        public var hasSpace: Bool
        public var bytesPerSecond: Double
    }

    public struct Bottleneck: Codable, Sendable {
        public var stage: String
        /// `hangs`: its thread does not come back from it; `stands`: it does nothing though something waits; `slowest`: what waits for it waits longest.
        public var finding: String
        public var seconds: Double
        /// It does not go on by itself.
        public var isStuck: Bool
        public var sentence: String
    }

    public var version: String
    public var brokerId: Int
    public var processId: Int32
    public var listen: String
    public var advertised: String
    public var dataDirectory: String
    public var backend: String
    public var flushMethod: String
    public var layout: String
    public var isCluster: Bool
    public var uptimeSeconds: Double
    /// Over which rates and latencies are.
    public var intervalSeconds: Double
    public var threads: [Thread]
    public var stages: [Stage]
    public var partitionGroups: [PartitionGroup]
    /// Since the start, by API.
    public var requests: [String: UInt64]
    /// Since the start, by error.
    public var produceErrors: [String: UInt64]
    public var connections: UInt64
    public var requestsPerSecond: Double
    public var producesPerSecond: Double
    public var receivedBytesPerSecond: Double
    public var sentBytesPerSecond: Double
    public var bottleneck: Bottleneck?
}

extension BrokerView {
    /// - Parameter before: an earlier look at the same broker; nil: all since its start.
    public init(_ now: MeterSnapshot, since before: MeterSnapshot?) {
        let description = now.description
        let seconds = max(BrokerView.seconds(now.takenAt, since: before?.takenAt ?? now.startedAt), 1e-3)
        func rate(_ count: (MeterSnapshot) -> UInt64) -> Double {
            let (later, earlier) = (count(now), before.map(count) ?? 0)
            return later > earlier ? Double(later - earlier) / seconds : 0
        }
        func total(_ kind: StageKind, _ counter: String) -> (MeterSnapshot) -> UInt64 { { $0.total(kind, counter) } }

        version = description.version
        brokerId = description.brokerId
        processId = now.processId
        listen = description.listen
        advertised = description.advertised
        dataDirectory = description.dataDirectory
        backend = description.backend
        flushMethod = description.flushMethod
        layout = description.layout
        isCluster = description.isCluster
        uptimeSeconds = BrokerView.seconds(now.takenAt, since: now.startedAt)
        intervalSeconds = seconds
        threads = zip(description.threads, now.threads).map { thread, reading in
            Thread(
                name: thread.name, cpu: thread.cpu, stages: thread.stages.map { description.stages[$0].name },
                stage: reading.stage.map { description.stages[$0].name }, sleeps: reading.sleeps,
                silentSeconds: BrokerView.seconds(now.takenAt, since: reading.turnedAt))
        }
        stages = description.stages.indices.map { index in
            Stage(description.stages[index], description.threads, now.stages[index], before?.stages[index], now, seconds: seconds)
        }
        partitionGroups = now.groups.enumerated().map { number, group in
            PartitionGroup(
                number: number, epoch: group[.servingEpoch], start: group[.start], receivedRequests: now.depth(of: .write, number), journaled: group[.appended], flushed: group[.flushed],
                replicated: group[.replicated], committed: group[.committed], answered: group[.answered], inSyncReplicas: group[.inSyncReplicas],
                majority: group[.majority], failure: group[.failure] == 0 ? nil : group[.failure], hasSpace: group[.hasSpace] != 0,
                bytesPerSecond: rate { $0.groups[number][.appended] })
        }
        requests = now.requestsByName
        produceErrors = now.errorsByName
        connections = now.total(.io, "connections")
        requestsPerSecond = rate { $0.requests.reduce(0, +) }
        producesPerSecond = rate { $0.requestsByName["Produce"] ?? 0 }
        receivedBytesPerSecond = rate(total(.io, "received_bytes"))
        sentBytesPerSecond = rate(total(.respond, "sent_bytes"))
        bottleneck = Diagnosis(now).map { Bottleneck($0, description) }
    }

    static func seconds(_ time: UInt64, since before: UInt64) -> Double { time > before ? Double(time - before) / 1e9 : 0 }
}

extension BrokerView.Stage {
    fileprivate init(
        _ stage: BoardDescription.Stage, _ threads: [BoardDescription.Thread], _ reading: MeterSnapshot.Stage, _ before: MeterSnapshot.Stage?,
        _ now: MeterSnapshot, seconds: Double
    ) {
        let batches = reading.batches.since(before?.batches)
        let latencies = reading.latencies.since(before?.latencies)
        func rate(_ later: UInt64, _ earlier: UInt64) -> Double { later > earlier ? Double(later - earlier) / seconds : 0 }
        self.init(
            name: stage.name, kind: stage.kind, number: stage.number, thread: threads[stage.thread].name, unit: stage.kind.unit, depth: reading.depth,
            capacity: reading.capacity, oldestSeconds: Double(reading.oldest) / 1e9, workPerSecond: rate(reading.work, before?.work ?? 0),
            roundsPerSecond: rate(reading.rounds, before?.rounds ?? 0), batchMedian: batches.batch(of: 0.5), batch99: batches.batch(of: 0.99),
            medianSeconds: latencies.latency(of: 0.5).map { Double($0) / 1e9 }, p99Seconds: latencies.latency(of: 0.99).map { Double($0) / 1e9 },
            counters: Dictionary(uniqueKeysWithValues: zip(stage.kind.counters, reading.counters)),
            idleSeconds: reading.workedAt == 0 ? nil : BrokerView.seconds(now.takenAt, since: reading.workedAt))
    }
}

extension BrokerView.Bottleneck {
    init(_ diagnosis: Diagnosis, _ description: BoardDescription) {
        stage = description.stages[diagnosis.stage].name
        isStuck = diagnosis.isStuck
        let thread = description.threads[description.stages[diagnosis.stage].thread].name
        switch diagnosis.finding {
        case .hangs(let time):
            finding = "hangs"
            seconds = Double(time) / 1e9
            sentence = "The thread \(thread) has not come back from \(stage) for \(Int(seconds)) s."
        case .stands(let time):
            finding = "stands"
            seconds = Double(time) / 1e9
            sentence = "\(stage) has done nothing for \(Int(seconds)) s, though something waits for it."
        case .slowest(let time):
            finding = "slowest"
            seconds = Double(time) / 1e9
            sentence = "What waits for \(stage) waits longest."
        }
    }
}
