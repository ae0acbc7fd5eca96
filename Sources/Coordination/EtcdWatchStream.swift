import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization

/// A watch of etcd's under way: one request whose body and answer both go on. etcd is asked for a sign of life again and again over that
/// very connection, so that one that is dead is noticed, in either direction.
final class EtcdWatchStream: HTTPClientResponseDelegate {
    typealias Response = Void

    private struct State {
        /// What has come behind the last whole line.
        var buffer = Data()
        var status = 0
        /// How often in a row was asked for a sign of life, and none came.
        var unheard = 0
        var isCreated = false
        var hasEnded = false
        var writer: HTTPClient.Body.StreamWriter?
        /// Ends the request's body.
        var bodyEnd: EventLoopPromise<Void>?
        var task: HTTPClient.Task<Void>?
        var ticker: RepeatedTask?
    }

    private let endpoint: String
    private let create: Data
    private let silence: TimeAmount
    private let state = Mutex(State())
    private let answers: AsyncThrowingStream<EtcdWatchAnswer, any Error>
    private let continuation: AsyncThrowingStream<EtcdWatchAnswer, any Error>.Continuation

    /// - Parameter silence: how long nothing may come, before the watch ends.
    init(endpoint: String, create: EtcdWatchRequest, silence: TimeAmount) {
        self.endpoint = endpoint
        self.create = EtcdGateway.encode(create) + Data("\n".utf8)
        self.silence = silence
        (answers, continuation) = AsyncThrowingStream.makeStream()
    }

    private static let patience = 4
    private static let progress = EtcdGateway.encode(EtcdWatchRequest(progress: EtcdNothing())) + Data("\n".utf8)

    /// The request's body: the watch, and then the questions for a sign of life.
    var body: HTTPClient.Body {
        .stream(contentLength: nil) { [self] writer in
            let end = LoopExecutor.shared.loop.makePromise(of: Void.self)
            let hasEnded = state.withLock { state in
                state.writer = writer
                state.bodyEnd = state.hasEnded ? nil : end
                return state.hasEnded
            }
            if hasEnded { end.succeed() }
            writer.write(.byteBuffer(ByteBuffer(bytes: create))).whenFailure { [self] in finish($0) }
            return end.futureResult
        }
    }

    /// What the watch says. It ends when nobody reads it any more.
    func begin(_ task: HTTPClient.Task<Void>) -> AsyncThrowingStream<EtcdWatchAnswer, any Error> {
        let interval = TimeAmount.nanoseconds(silence.nanoseconds / Int64(EtcdWatchStream.patience))
        let ticker = LoopExecutor.shared.loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [self] _ in tick() }
        let hasEnded = state.withLock { state in
            if !state.hasEnded {
                state.task = task
                state.ticker = ticker
            }
            return state.hasEnded
        }
        if hasEnded {
            ticker.cancel()
            task.cancel()
        }
        continuation.onTermination = { [self] _ in finish(EtcdFailure(.unclear, "it is not read any more")) }
        task.futureResult.whenComplete { [self] result in
            if case .failure(let error) = result { return finish(error) }
            finish(EtcdFailure(.unclear, "\(endpoint): etcd has ended the watch"))
        }
        return answers
    }

    private func tick() {
        // Counted, not timed: where this thread is late, what has come is not looked at yet.
        let (writer, isSilent) = state.withLock { state in
            state.unheard += 1
            return (state.isCreated ? state.writer : nil, state.unheard > EtcdWatchStream.patience)
        }
        if isSilent { return finish(EtcdFailure(.unclear, "\(endpoint): nothing is heard of the watch")) }
        writer?.write(.byteBuffer(ByteBuffer(bytes: EtcdWatchStream.progress))).whenFailure { [self] in finish($0) }
    }

    private func finish(_ error: any Error) {
        let ended: State? = state.withLock { state in
            guard !state.hasEnded else { return nil }
            let ended = state
            state.hasEnded = true
            state.writer = nil
            state.bodyEnd = nil
            state.task = nil
            state.ticker = nil
            state.buffer = Data()
            return ended
        }
        guard let ended else { return }
        continuation.finish(throwing: EtcdGateway.failure(error, endpoint))
        ended.ticker?.cancel()
        ended.task?.cancel()
        ended.bodyEnd?.succeed()
    }

    // MARK: - The answer

    func didReceiveHead(task: HTTPClient.Task<Void>, _ head: HTTPResponseHead) -> EventLoopFuture<Void> {
        state.withLock { state in
            state.status = Int(head.status.code)
            state.unheard = 0
        }
        return task.eventLoop.makeSucceededVoidFuture()
    }

    func didReceiveBodyPart(task: HTTPClient.Task<Void>, _ buffer: ByteBuffer) -> EventLoopFuture<Void> {
        let (lines, status, rest) = state.withLock { state in
            state.unheard = 0
            guard !state.hasEnded else { return ([Data](), 200, Data()) }
            state.buffer.append(contentsOf: buffer.readableBytesView)
            return (state.status == 200 ? EtcdWatchStream.takeLines(&state.buffer) : [], state.status, state.buffer)
        }
        for line in lines { take(line) }
        if rest.count > EtcdGateway.largestAnswer {
            finish(EtcdFailure(.unclear, "\(endpoint): a message of the watch is too long"))
        } else if status != 200, (try? JSONDecoder().decode(EtcdErrorAnswer.self, from: rest)) != nil {
            // The answer may not end before the request does.
            finish(EtcdFailure(status: status, answer: rest))
        }
        return task.eventLoop.makeSucceededVoidFuture()
    }

    func didFinishRequest(task: HTTPClient.Task<Void>) throws {
        let (status, rest) = state.withLock { ($0.status, $0.buffer) }
        if status != 200 { finish(EtcdFailure(status: status, answer: rest)) }
    }

    func didReceiveError(task: HTTPClient.Task<Void>, _ error: any Error) { finish(error) }

    private static func takeLines(_ buffer: inout Data) -> [Data] {
        guard let last = buffer.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        let lines = buffer[..<last].split(separator: UInt8(ascii: "\n")).map { Data($0) }
        buffer = Data(buffer[(last + 1)...])
        return lines
    }

    private func take(_ line: Data) {
        do {
            let streamed: EtcdStreamed<EtcdWatchAnswer> = try EtcdGateway.decode(line)
            guard let answer = streamed.result else { throw EtcdFailure(status: nil, answer: line) }
            if answer.created == true && answer.canceled != true { state.withLock { $0.isCreated = true } }
            continuation.yield(answer)
        } catch { finish(error) }
    }
}
