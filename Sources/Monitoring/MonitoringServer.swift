import Foundation
import Host
import Hummingbird
import HummingbirdCore
import Logging
import Meters
import NIOCore
import NIOPosix
import Synchronization

/// What a broker shows by HTTP: metrics, whether it is well, and the status page with what that asks for. It changes nothing.
public final class MonitoringServer: Sendable {
    private let board: MeterBoard
    private let client: OwnClient
    private let lags: LagWatch
    private let logger: Logger
    private let patience: UInt64
    private let state = Mutex(State())
    private let task = Mutex<Task<Void, Never>?>(nil)

    private struct State {
        var isServing = false
        /// Earlier looks, the newest last, so that rates are of the last seconds.
        var looks: [MeterSnapshot] = []
    }

    /// Over so many nanoseconds rates are shown.
    private static let interval: UInt64 = 2_000_000_000
    /// So many connections there may be at once; one on which nothing happens is closed after a while. They take of the descriptors that are kept back for the journal.
    private static let connections = 32
    private static let idleTimeout = TimeAmount.seconds(15)

    /// - Parameters:
    ///   - port: of the broker, on `host`, to ask it what clients may ask.
    ///   - patience: for so many nanoseconds a stage may stand, or a thread hang, before the process had better be started again.
    public init(board: MeterBoard, host: String, port: UInt16, patience: UInt64, logger: Logger) {
        self.board = board
        self.patience = patience
        client = OwnClient(host: host, port: Int32(port))
        // Of its own, so that many groups don't keep the page waiting.
        lags = LagWatch(OwnClient(host: host, port: Int32(port)))
        self.logger = logger
    }

    /// Clients are served from now on, or not any more.
    public func setServing(_ isServing: Bool) { state.withLock { $0.isServing = isServing } }

    /// For what the process had better be started again, in a sentence; nil: it had not.
    public var fault: String? { faults.first }

    private var faults: [String] { Health(board.snapshot(), patience: patience).faults }

    /// Listens on the address, and serves on a thread of its own. Throws where it can't be listened on.
    /// - Parameter names: of this host, under which browsers may ask for the page; besides its addresses.
    /// - Returns: the port.
    public func start(host: String, port: UInt16, names: [String]) throws -> UInt16 {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let router = Router(options: [.autoGenerateHeadEndpoints])
        addRoutes(router, names: names + [host])
        let started = Mutex<Result<Int, any Error>?>(nil)
        let isUp = DispatchSemaphore(value: 0)
        let note: @Sendable (Result<Int, any Error>) -> Void = { result in
            let isFirst = started.withLock { found in
                defer { if found == nil { found = result } }
                return found == nil
            }
            if isFirst { isUp.signal() }
        }
        var quiet = logger
        quiet.logLevel = .error
        let app = Application(
            responder: router.buildResponder(), server: .http1(configuration: .init(idleTimeout: Self.idleTimeout)),
            configuration: .init(
                address: .hostname(host, port: Int(port)), serverName: "hutong",
                availableConnectionsDelegate: MaximumAvailableConnections(Self.connections)),
            onServerRunning: { channel in note(.success(channel.localAddress?.port ?? Int(port))) }, eventLoopGroupProvider: .shared(group), logger: quiet)
        task.withLock { task in
            task = Task(priority: .medium) {
                do { try await app.runService(gracefulShutdownSignals: []) } catch { note(.failure(error)) }
            }
        }
        isUp.wait()
        return UInt16(clamping: try started.withLock { $0 }!.get())
    }

    // MARK: Routes

    private func addRoutes(_ all: Router<BasicRequestContext>, names: [String]) {
        all.get("/metrics") { [self] _, _ in
            let lags = state.withLock { $0.isServing } ? lags.current() : nil
            return Self.respond(BrokerMetrics.text(board.snapshot(), lags: lags), type: "text/plain; version=0.0.4; charset=utf-8")
        }
        all.get("/healthz") { [self] _, _ in Self.health(faults) }
        all.get("/readyz") { [self] _, _ in
            let health = Health(board.snapshot())
            let state = state.withLock { $0.isServing } ? [] : ["clients are not served: the broker is starting or stopping"]
            return Self.health(state + health.problems)
        }
        let router = all.group().add(middleware: OwnHosts(names: Set(names.map { $0.lowercased() })))
        router.get("/") { _, _ in MonitoringServer.page }
        router.get("/api/broker") { [self] _, _ in try Self.json(view()) }
        router.get("/api/brokers") { [self] _, _ in try await asked { try ClusterView.brokers($0) } }
        router.get("/api/topics") { [self] _, _ in try await asked { try ClusterView.topics($0) } }
        router.get("/api/topics/{topic}") { [self] _, context in
            let topic = try Self.name("topic", context)
            return try await asked { try ClusterView.topic(topic, $0) }
        }
        router.get("/api/topics/{topic}/messages") { [self] request, context in
            let topic = try Self.name("topic", context)
            let query = request.uri.queryParameters
            let partition = query["partition"].flatMap { Int32($0) } ?? 0
            let offset = query["offset"].flatMap { Int64($0) }
            let limit = query["limit"].flatMap { Int($0) } ?? 20
            return try await asked { try ClusterView.messages(topic, partition, from: offset, limit: limit, $0) }
        }
        router.get("/api/groups") { [self] _, _ in try await asked { try ClusterView.groups($0) } }
        router.get("/api/groups/{group}") { [self] _, context in
            let group = try Self.name("group", context)
            return try await asked { try ClusterView.group(group, $0) }
        }
    }

    /// A part of the path, which may have any characters in it.
    private static func name(_ part: String, _ context: BasicRequestContext) throws -> String {
        let text = try context.parameters.require(part)
        guard let name = text.removingPercentEncoding else { throw HTTPError(.badRequest, message: "\(text) is not UTF-8 with percent signs") }
        return name
    }

    /// What the broker's own client finds; 404 where there is nothing, 503 where it does not answer.
    private func asked<Answer: Encodable & Sendable>(_ body: @escaping @Sendable (OwnClient.Client) throws -> Answer?) async throws -> Response {
        do {
            guard let answer = try await client.ask(body) else { return Self.respond("there is no such thing here\n", type: "text/plain", status: .notFound) }
            return try Self.json(answer)
        } catch {
            return Self.respond("the broker does not answer: \(error)\n", type: "text/plain", status: .serviceUnavailable)
        }
    }

    private func view() -> BrokerView {
        let now = board.snapshot()
        let before = state.withLock { state -> MeterSnapshot? in
            let before = state.looks.last { now.takenAt - $0.takenAt >= Self.interval } ?? state.looks.first
            state.looks.removeAll { now.takenAt - $0.takenAt > 10 * Self.interval }
            if state.looks.last.map({ now.takenAt - $0.takenAt > Self.interval / 4 }) ?? true { state.looks.append(now) }
            return before
        }
        return BrokerView(now, since: before)
    }

    private static func health(_ problems: [String]) -> Response {
        respond(
            problems.isEmpty ? "ok\n" : problems.joined(separator: "\n") + "\n", type: "text/plain; charset=utf-8",
            status: problems.isEmpty ? .ok : .serviceUnavailable)
    }

    // MARK: Responses

    private static let page = respond(
        String(decoding: PackageResources.page_html, as: UTF8.self)
            .replacing("/*STYLE*/", with: String(decoding: PackageResources.page_css, as: UTF8.self))
            .replacing("/*SCRIPT*/", with: String(decoding: PackageResources.page_js, as: UTF8.self)), type: "text/html; charset=utf-8")

    private static func json(_ value: some Encodable) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return respond(String(decoding: try encoder.encode(value), as: UTF8.self), type: "application/json")
    }

    private static func respond(_ text: String, type: String, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status,
            headers: [
                .contentType: type, .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
                .contentSecurityPolicy: "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:",
            ], body: .init(byteBuffer: ByteBuffer(string: text)))
    }
}
