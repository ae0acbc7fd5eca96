import Glibc
import Host
import IO

/// Reads from a broker over several connections, on a thread of its own, every batch checked.
public final class ConsumeLoad {
    private let connections: [ConsumeConnection]
    private let sockets: [Int32]
    private let progress = LoadProgress()
    private let settings: ConsumeSettings
    private let rings: [Ring]
    private var threads: LoadThreads?
    private var window = LoadWindow.never

    public init(_ settings: ConsumeSettings) throws {
        self.settings = settings
        rings = try RingSet(.auto, count: 1).rings
        var sockets: [Int32] = []
        var connections: [ConsumeConnection] = []
        for number in 0..<settings.connections {
            let socket = try connect(host: settings.host, port: settings.port)
            sockets.append(socket)
            connections.append(try ConsumeConnection(settings, number: number, socket: socket, sockets: rings[0].makePort()))
        }
        self.sockets = sockets
        self.connections = connections
    }

    deinit { for socket in sockets { Glibc.close(socket) } }

    public func start() throws {
        var times = LoadSettings()
        times.warmup = settings.warmup
        times.duration = settings.duration
        window = LoadWindow(times, now: hutongNow())
        for connection in connections { connection.begin(window) }
        threads = try LoadThreads("consume", [StageBox("consume", ConsumeLoadStage(connections, progress: progress))], rings)
    }

    /// Waits until the time is over. Returns what was read in the window that counts, and how long each fetch took.
    public func finish() throws -> (counts: ConsumeCounts, latencies: LatencyLog) {
        while !progress.isOver, hutongNow() < window.end + 30_000_000_000 { usleep(5000) }
        threads?.stop()
        if let error = progress.error { throw error }
        guard progress.isOver else { throw LoadError("the last answers do not come") }
        var counts = ConsumeCounts()
        var latencies = LatencyLog()
        for connection in connections {
            counts.add(connection.counts)
            latencies.add(connection.latencies)
        }
        return (counts, latencies)
    }
}

private struct ConsumeLoadStage: Stage, ~Copyable {
    private let connections: [ConsumeConnection]
    private let progress: LoadProgress

    init(_ connections: [ConsumeConnection], progress: LoadProgress) {
        self.connections = connections
        self.progress = progress
    }

    mutating func step(_ now: Moment) -> Int {
        guard !progress.isOver else { return 0 }
        var done = 0
        do {
            for connection in connections { done += try connection.step(now.monotonic) }
        } catch {
            progress.end(error)
            return 0
        }
        if connections.allSatisfy(\.isDone) { progress.end(nil) }
        return done
    }
}
