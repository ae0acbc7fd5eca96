import CHost
import Glibc
import Host
import IO

/// Reads from a broker over several connections, on a thread of its own, every batch checked.
public final class ConsumeLoad {
    private let stage: StageBox<LoadStage<ConsumeConnection>>
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
        var connections = OwnedArray<ConsumeConnection>(minimumCapacity: settings.connections)
        for number in 0..<settings.connections {
            let socket = try connect(host: settings.host, port: settings.port)
            sockets.append(socket)
            connections.append(try ConsumeConnection(settings, number: number, socket: socket, sockets: rings[0].makePort()))
        }
        self.sockets = sockets
        stage = StageBox("consume", LoadStage(connections, progress: progress))
    }

    deinit { for socket in sockets { Glibc.close(socket) } }

    public func start() throws {
        window = LoadWindow(warmup: settings.warmup, duration: settings.duration)
        stage.body.connections.forEach { $0.begin(window) }
        threads = try LoadThreads("consume", [stage], rings)
    }

    /// Waits until the time is over. Returns what was read in the window that counts, and how long each fetch took.
    public func finish() throws -> (counts: ConsumeCounts, latencies: LatencyLog) {
        while !progress.isOver, hutong_monotonic_ns() < window.deadline { usleep(5000) }
        threads?.stop()
        if let error = progress.error { throw error }
        guard progress.isOver else { throw LoadError("the last answers do not come") }
        var counts = ConsumeCounts()
        var latencies = LatencyLog()
        stage.body.connections.forEach { connection in
            counts.add(connection.counts)
            latencies.add(connection.latencies)
        }
        return (counts, latencies)
    }
}
