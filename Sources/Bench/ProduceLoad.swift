import CHost
import Glibc
import Host
import IO

/// What a load has done.
public struct LoadCounts: Sendable {
    /// Requests that were answered, or with acks 0 sent; and those of them in the window that counts.
    public var requests = 0
    public var counted = 0
    /// With acks 0: the records that were sent.
    public var sentRecords = 0

    mutating func note(_ requests: Int, _ isCounted: Bool) {
        self.requests += requests
        if isCounted { counted += requests }
    }

    mutating func add(_ other: LoadCounts) {
        requests += other.requests
        counted += other.counted
        sentRecords += other.sentRecords
    }
}

/// What a load has found.
public struct LoadResult: Sendable {
    public var counts = LoadCounts()
    public var latencies = LatencyLog()
    /// With a rate: how much later than they were due requests were sent.
    public var delays = LatencyLog()
    /// Seconds that were counted.
    public var seconds: Double
    /// CPU time of this process while it counted, and of the broker's, in nanoseconds.
    public var ownCPU = 0.0
    public var brokerCPU: Double?

    public var requestsPerSecond: Double { Double(counts.counted) / seconds }
}

/// Runs produce loads: connections on threads of their own, each answer checked.
public struct ProduceLoad {
    private let settings: LoadSettings
    /// Whose CPU time is read besides our own.
    private let broker: BrokerProcess?

    public init(_ settings: LoadSettings, broker: BrokerProcess?) {
        self.settings = settings
        self.broker = broker
    }

    /// - Parameters:
    ///   - ready: called when all is connected, right before time begins to count.
    ///   - tell: given, each second, the seconds passed and how many requests were answered in the last one.
    public func run(ready: () throws -> Void = {}, tell: (Int, Int) -> Void) throws -> LoadResult {
        let threads = max(1, min(settings.threads, settings.connections))
        let rings = try RingSet(.auto, count: threads).rings
        var sockets: [Int32] = []
        for _ in 0..<settings.connections { sockets.append(try connect(host: settings.host, port: settings.port)) }
        let progresses = (0..<threads).map { _ in LoadProgress() }
        var stages: [StageBox<LoadStage<ProduceConnection>>] = []
        for thread in 0..<threads {
            var share = OwnedArray<ProduceConnection>(minimumCapacity: settings.connections)
            for number in stride(from: thread, to: settings.connections, by: threads) {
                share.append(
                    try ProduceConnection(settings, number: number, socket: sockets[number], sockets: rings[thread].makePort()))
            }
            stages.append(StageBox("load", LoadStage(share, progress: progresses[thread])))
        }
        try ready()
        let window = LoadWindow(warmup: settings.warmup, duration: settings.duration)
        for stage in stages { stage.body.connections.forEach { $0.begin(window) } }
        let running = try LoadThreads("load", stages, rings)
        defer {
            running.stop()
            for socket in sockets { Glibc.close(socket) }
        }
        var result = LoadResult(seconds: settings.duration)
        try watch(progresses, window, &result, tell)
        running.stop()
        for stage in stages {
            stage.body.connections.forEach { connection in
                result.counts.add(connection.counts)
                result.latencies.add(connection.latencies)
                result.delays.add(connection.delays)
            }
        }
        return result
    }

    private func watch(
        _ progresses: [LoadProgress], _ window: LoadWindow, _ result: inout LoadResult, _ tell: (Int, Int) -> Void
    ) throws {
        var start: (own: Double, broker: Double?)?
        var end: (own: Double, broker: Double?)?
        var second = 1
        var answered = 0
        func cpu() -> (own: Double, broker: Double?) { (BrokerProcess.ownCPU(), broker?.cpu()) }
        while !progresses.allSatisfy(\.isOver) {
            if let error = progresses.lazy.compactMap(\.error).first { throw error }
            let now = hutong_monotonic_ns()
            if start == nil && now >= window.from { start = cpu() }
            if end == nil && now >= window.end { end = cpu() }
            if now >= window.begin + UInt64(second) * 1_000_000_000 && now < window.end {
                let total = progresses.reduce(0) { $0 + $1.answered.load(ordering: .relaxed) }
                tell(second, total - answered)
                answered = total
                second += 1
            }
            guard now < window.deadline else { throw LoadError("the last answers do not come") }
            usleep(5000)
        }
        if let error = progresses.lazy.compactMap(\.error).first { throw error }
        let last = end ?? cpu()
        guard let start else {
            if settings.requests != nil { return }
            throw LoadError("the load ended before it counted")
        }
        result.ownCPU = last.own - start.own
        if let before = start.broker, let after = last.broker { result.brokerCPU = after - before }
    }
}
