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

/// When a load begins, counts and ends: nanoseconds of the monotonic clock.
struct LoadWindow: Sendable {
    let begin: UInt64
    let from: UInt64
    let end: UInt64

    static let never = LoadWindow(LoadSettings(), now: .max / 2)

    init(_ settings: LoadSettings, now: UInt64) {
        begin = now
        from = begin + UInt64(settings.warmup * 1e9)
        end = from + UInt64(settings.duration * 1e9)
    }

    func counts(_ now: UInt64) -> Bool { now >= from && now < end }
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

/// A thread's share of a load, as a stage.
struct ProduceLoadStage: Stage, ~Copyable {
    private let connections: [ProduceConnection]
    private let progress: LoadProgress

    init(_ connections: [ProduceConnection], progress: LoadProgress) {
        self.connections = connections
        self.progress = progress
    }

    mutating func step(_ now: Moment) -> Int {
        guard !progress.isOver else { return 0 }
        var done = 0
        var answered = 0
        do {
            for connection in connections {
                done += try connection.step(now.monotonic)
                answered += connection.counts.requests
            }
        } catch {
            progress.end(error)
            return 0
        }
        progress.answered.store(answered, ordering: .relaxed)
        if connections.allSatisfy(\.isDone) { progress.end(nil) }
        return done
    }

    var deadline: UInt64 { connections.map(\.deadline).min() ?? .max }
}

/// Runs produce loads: connections on threads of their own, each answer checked.
public struct ProduceLoad {
    /// How long the last answers may take once nothing more is sent, in nanoseconds.
    private static let patience: UInt64 = 30_000_000_000

    private let settings: LoadSettings
    /// Whose CPU time is read besides our own.
    private let broker: BrokerProcess?

    public init(_ settings: LoadSettings, broker: BrokerProcess?) {
        self.settings = settings
        self.broker = broker
    }

    /// - Parameter tell: given, each second, the seconds passed and how many requests were answered in the last one.
    public func run(tell: (Int, Int) -> Void) throws -> LoadResult {
        let threads = max(1, min(settings.threads, settings.connections))
        let rings = try RingSet(.auto, count: threads).rings
        var sockets: [Int32] = []
        for _ in 0..<settings.connections { sockets.append(try connect(host: settings.host, port: settings.port)) }
        var shares: [[ProduceConnection]] = Array(repeating: [], count: threads)
        for number in 0..<settings.connections {
            shares[number % threads].append(
                try ProduceConnection(
                    settings, number: number, socket: sockets[number], sockets: rings[number % threads].makePort()))
        }
        let window = LoadWindow(settings, now: hutongNow())
        for connection in shares.joined() { connection.begin(window) }
        let progresses = shares.map { _ in LoadProgress() }
        let stages = zip(shares, progresses).map { StageBox("load", ProduceLoadStage($0, progress: $1)) as AnyStage }
        let running = try LoadThreads("load", stages, rings)
        defer {
            running.stop()
            for socket in sockets { Glibc.close(socket) }
        }
        var result = LoadResult(seconds: settings.duration)
        try watch(progresses, window, &result, tell)
        running.stop()
        for connection in shares.joined() {
            result.counts.add(connection.counts)
            result.latencies.add(connection.latencies)
            result.delays.add(connection.delays)
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
            let now = hutongNow()
            if start == nil && now >= window.from { start = cpu() }
            if end == nil && now >= window.end { end = cpu() }
            if now >= window.begin + UInt64(second) * 1_000_000_000 && now < window.end {
                let total = progresses.reduce(0) { $0 + $1.answered.load(ordering: .relaxed) }
                tell(second, total - answered)
                answered = total
                second += 1
            }
            guard now < window.end + ProduceLoad.patience else { throw LoadError("the last answers do not come") }
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
