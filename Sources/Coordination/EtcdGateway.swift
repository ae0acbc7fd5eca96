import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// Runs tasks on an event loop's thread, so that they don't depend on the pool of threads that all other tasks share: a lease must be kept
/// alive even where that is full.
final class LoopExecutor: TaskExecutor {
    /// One thread for all stores of a process, for as long as it lives.
    static let shared = LoopExecutor()

    let loop: any EventLoop

    private init() { loop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next() }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// What a task sleeps by: until it is rung, or a time has passed.
final class Bell: Sendable {
    private struct State {
        var rung = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// Ends the wait that is under way, or the next one.
    func ring() {
        let waiter = state.withLock { state in
            let waiter = state.waiter
            state.waiter = nil
            state.rung = waiter == nil
            return waiter
        }
        waiter?.resume()
    }

    /// It may end early. One task may wait at a time.
    func wait(milliseconds: Int64?) async {
        let timer = milliseconds.map { time in LoopExecutor.shared.loop.scheduleTask(in: .milliseconds(time)) { self.ring() } }
        await withCheckedContinuation { continuation in
            let isRung = state.withLock { state in
                if state.rung || state.waiter != nil {
                    state.rung = false
                    return true
                }
                state.waiter = continuation
                return false
            }
            if isRung { continuation.resume() }
        }
        timer?.cancel()
    }
}

/// etcd's v3 API, as its JSON gateway has it.
final class EtcdGateway: Sendable {
    private struct State {
        var current = 0
        var token: String?
        var login: Task<Result<String?, EtcdFailure>, Never>?
    }

    let options: EtcdOptions
    let endpoints: [String]
    private let client: HTTPClient
    private let state = Mutex(State())
    private let isShut = Atomic<Bool>(false)

    /// In bytes. What is larger is an error.
    static let largestAnswer = 256 << 20

    init(_ options: EtcdOptions) throws(EtcdOptionsError) {
        self.options = options
        endpoints = try options.checkedEndpoints()
        try options.checkTimes()
        var configuration = HTTPClient.Configuration(tlsConfiguration: try options.tls())
        // Over HTTP/1, with TLS or without, a request is alone on its connection: one that is stuck does not hold up others.
        configuration.httpVersion = .http1Only
        configuration.redirectConfiguration = .disallow
        configuration.timeout.connect = .milliseconds(Int64(max(5, options.requestMilliseconds / 2)))
        // A connection that is refused is an answer: the next endpoint is asked.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 16
        client = HTTPClient(eventLoopGroupProvider: .shared(LoopExecutor.shared.loop), configuration: configuration)
    }

    deinit {
        if !isShut.load(ordering: .acquiring) { client.shutdown { _ in } }
    }

    /// Ends all that is under way.
    func shutdown() async {
        guard !isShut.exchange(true, ordering: .acquiringAndReleasing) else { return }
        try? await client.shutdown().get()
    }

    // MARK: - Endpoints

    /// The number of the endpoint that is asked first.
    var current: Int { state.withLock { $0.current } }

    /// From now on the next one is asked first.
    func advance() {
        state.withLock { $0.current = ($0.current + 1) % endpoints.count }
    }

    // MARK: - Calls

    /// Asks, and decodes the answer. Another endpoint is asked only where the one before has not seen the request.
    /// - Parameter milliseconds: for all of it; nil: as the options say.
    func call<Answer: Decodable>(
        _ path: String, _ request: some Encodable, milliseconds: Int? = nil, as: Answer.Type = Answer.self
    ) async throws(EtcdFailure) -> Answer {
        let deadline = NIODeadline.now() + .milliseconds(Int64(milliseconds ?? options.requestMilliseconds))
        return try EtcdGateway.decode(try await asked(path, EtcdGateway.encode(request), deadline))
    }

    /// With a token, if there is a user; a second time where etcd did not take the token.
    private func asked(_ path: String, _ body: Data, _ deadline: NIODeadline) async throws(EtcdFailure) -> Data {
        let token = try await token(deadline)
        do { return try await askedInTurn(path, body, token, deadline) } catch {
            guard error.isOfToken, options.username != nil else { throw error }
            forget(token)
            return try await askedInTurn(path, body, try await self.token(deadline), deadline)
        }
    }

    private func askedInTurn(_ path: String, _ body: Data, _ token: String?, _ deadline: NIODeadline) async throws(EtcdFailure) -> Data {
        let first = current
        var failure = EtcdFailure(.notSent, "there is no endpoint")
        for offset in 0..<endpoints.count {
            do { return try await post(endpoints[(first + offset) % endpoints.count], path, body, token, deadline) } catch {
                guard error.kind == .notSent else { throw error }
                failure = error
            }
        }
        throw failure
    }

    private func post(
        _ endpoint: String, _ path: String, _ body: Data, _ token: String?, _ deadline: NIODeadline
    ) async throws(EtcdFailure) -> Data {
        let response: HTTPClient.Response
        do {
            let request = try HTTPClient.Request(
                url: endpoint + path, method: .POST, headers: EtcdGateway.headers(token), body: .byteBuffer(ByteBuffer(bytes: body)))
            let running = client.execute(
                request: request, delegate: ResponseAccumulator(request: request, maxBodySize: EtcdGateway.largestAnswer),
                eventLoop: .delegateAndChannel(on: LoopExecutor.shared.loop), deadline: deadline)
            response = try await withTaskCancellationHandler {
                try await running.futureResult.get()
            } onCancel: {
                running.cancel()
            }
        } catch { throw EtcdGateway.failure(error, endpoint) }
        let answer = response.body.map { Data($0.readableBytesView) } ?? Data()
        guard response.status == .ok else { throw EtcdFailure(status: Int(response.status.code), answer: answer) }
        return answer
    }

    private static func headers(_ token: String?) -> HTTPHeaders {
        var headers: HTTPHeaders = ["Content-Type": "application/json"]
        if let token { headers.add(name: "Authorization", value: token) }
        return headers
    }

    /// Of an error on the way: whether the request can have gone out.
    static func failure(_ error: any Error, _ endpoint: String) -> EtcdFailure {
        if let failure = error as? EtcdFailure { return failure }
        let kind: EtcdFailure.Kind =
            switch error {
            case let error as HTTPClientError: unsent.contains(error) ? .notSent : .unclear
            case is NIOConnectionError, ChannelError.connectTimeout, NIOSSLError.handshakeFailed, is NIOSSLExtraError: .notSent
            default: .unclear
            }
        return EtcdFailure(kind, "\(endpoint): \(error)")
    }

    /// A time-out of a request as a whole is not among them: it may have run out at any point.
    private static let unsent: [HTTPClientError] = [.connectTimeout, .tlsHandshakeTimeout, .getConnectionFromPoolTimeout, .alreadyShutdown]

    // MARK: - The token

    private func token(_ deadline: NIODeadline) async throws(EtcdFailure) -> String? {
        guard let name = options.username, let password = options.password else { return nil }
        // One login at a time, however many wait for it: etcd makes each an expensive one.
        let login = state.withLock { state in
            if let login = state.login { return login }
            let login = Task.detached(executorPreference: LoopExecutor.shared) { [self] in
                await logged(in: EtcdLogin(name: name, password: password), deadline)
            }
            state.login = login
            return login
        }
        return try await login.value.get()
    }

    /// Nil: etcd wants no token, as authentication is not enabled.
    private func logged(in login: EtcdLogin, _ deadline: NIODeadline) async -> Result<String?, EtcdFailure> {
        do {
            let answer: EtcdToken = try EtcdGateway.decode(
                try await askedInTurn("/v3/auth/authenticate", EtcdGateway.encode(login), nil, deadline))
            state.withLock { $0.token = answer.token }
            return .success(answer.token)
        } catch {
            if error.description.contains("authentication is not enabled") { return .success(nil) }
            state.withLock { $0.login = nil }
            return .failure(error)
        }
    }

    /// The next request logs in, unless another has done so since.
    private func forget(_ token: String?) {
        state.withLock { state in
            guard state.token == token else { return }
            state.token = nil
            state.login = nil
        }
    }

    // MARK: - Watching

    /// What changes under the prefix from that revision on, from the endpoint that is asked first. It ends with an `EtcdFailure`.
    func watch(from revision: Int64) async throws(EtcdFailure) -> AsyncThrowingStream<EtcdWatchAnswer, any Error> {
        let deadline = NIODeadline.now() + .milliseconds(Int64(options.requestMilliseconds))
        let token = try await token(deadline)
        let endpoint = endpoints[current]
        let range = options.range
        let create = EtcdWatchRequest(
            create: .init(key: range.first, rangeEnd: range.end, startRevision: EtcdInteger(revision)))
        let stream = EtcdWatchStream(endpoint: endpoint, create: create, silence: .milliseconds(Int64(options.requestMilliseconds)))
        var headers = EtcdGateway.headers(token)
        // etcd reads on in a request whose answer has begun only where nothing else will come over the connection.
        headers.add(name: "Connection", value: "close")
        // The watch of a member that has lost its cluster ends.
        headers.add(name: "Grpc-Metadata-hasleader", value: "true")
        do {
            let request = try HTTPClient.Request(url: endpoint + "/v3/watch", method: .POST, headers: headers, body: stream.body)
            return stream.begin(
                client.execute(request: request, delegate: stream, eventLoop: .delegateAndChannel(on: LoopExecutor.shared.loop)))
        } catch { throw EtcdGateway.failure(error, endpoint) }
    }

    /// For a watch that has ended because of its token.
    func forgetToken() {
        state.withLock { state in
            state.token = nil
            state.login = nil
        }
    }

    // MARK: - JSON

    static func encode(_ request: some Encodable) -> Data {
        guard let json = try? JSONEncoder().encode(request) else { preconditionFailure("requests are made of plain values") }
        return json
    }

    static func decode<Answer: Decodable>(_ answer: Data) throws(EtcdFailure) -> Answer {
        do { return try JSONDecoder().decode(Answer.self, from: answer) } catch {
            throw EtcdFailure(
                .unclear, "etcd's answer is not understood: \(String(decoding: answer.prefix(200), as: UTF8.self))")
        }
    }
}
