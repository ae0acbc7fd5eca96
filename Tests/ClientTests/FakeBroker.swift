import Foundation
import Wire

@testable import Client

/// A broker of one partition at the other end of a socket pair, on a thread of its own, whose answers the test gives.
enum FakeBroker {
    /// Answers a request's body in its version with a whole response frame; nil closes the connection.
    typealias Answer = @Sendable (RequestHeader, ArraySlice<UInt8>) throws -> [UInt8]?

    /// A connection to a fake that gives these answers, ApiVersions included.
    static func connect(timeoutMs: Int = 5_000, _ answer: @escaping Answer) throws -> Connection {
        var ends: [Int32] = [0, 0]
        precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        // The thread owns its end: when it stops, the socket closes.
        Thread { [end = ends[1]] in serve(Socket(descriptor: end, peer: "client", timeoutMs: 60_000), answer) }.start()
        return try Connection(
            socket: Socket(descriptor: ends[0], peer: "fake:9092", timeoutMs: timeoutMs), clientId: "test",
            timeoutMs: timeoutMs)
    }

    private static func serve(_ socket: Socket, _ answer: Answer) {
        while let prefix = try? socket.read(4), let frame = try? socket.read(prefix.reduce(0) { $0 << 8 | Int($1) }) {
            guard let header = try? frame.withUnsafeBytes({ try RequestHeader.decode($0) }) else { return }
            guard let response = try? answer(header, frame[header.bodyOffset...]) else { return }
            guard (try? socket.write(response)) != nil else { return }
        }
    }

    /// The answer to ApiVersions that says what this package serves.
    static func versions(_ header: RequestHeader) throws -> [UInt8] {
        var response = ApiVersionsResponse()
        response.apiKeys = APIs.all.map { .init($0) }
        return try ResponseFrame.encode(response, version: header.apiVersion, correlationId: header.correlationId)
    }
}
