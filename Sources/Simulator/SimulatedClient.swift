import Codecs
import IO
import Wire

/// A client of a simulated broker: sends requests and takes answers, each when its caller says so.
public final class SimulatedClient {
    private let network: SimulatedNetwork
    public let connection: Int32
    private var received: [UInt8] = []
    private var nextCorrelation: Int32 = 0

    public init(_ network: SimulatedNetwork) {
        self.network = network
        connection = network.connect()
    }

    public var isClosed: Bool { network.isClosed(connection) }

    /// Returns the correlation id.
    @discardableResult
    public func send<R: Request>(_ request: R, version: Int16) throws -> Int32 {
        nextCorrelation += 1
        network.write(
            try RequestFrame.encode(request, version: version, correlationId: nextCorrelation, clientId: "simulated"),
            to: connection)
        return nextCorrelation
    }

    /// One request and its answer; nil: that does not come within so many rounds.
    func ask<R: Request>(_ request: R, version: Int16, rounds: Int, _ round: () throws -> Void) throws -> R.Response? {
        let correlation = try send(request, version: version)
        for _ in 0..<rounds {
            try round()
            if let answer = answers().first(where: { $0.correlation == correlation }) { return try decode(R.self, answer.frame, version: version) }
        }
        return nil
    }

    /// Bytes that need not be a request.
    public func send(raw bytes: [UInt8]) { network.write(bytes, to: connection) }

    /// The client goes away.
    public func end() { network.end(connection) }

    /// The client is gone: what it would have been answered is thrown away.
    public func leave() { network.reset(connection) }

    /// The answers that have come since the last call, in order, without their length.
    public func answers() -> [(correlation: Int32, frame: [UInt8])] {
        received += network.read(connection)
        var answers: [(Int32, [UInt8])] = []
        var start = 0
        while received.count - start >= 4 {
            let length = received[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
            guard received.count - start >= 4 + length else { break }
            let frame = Array(received[start + 4..<start + 4 + length])
            answers.append((frame[0..<4].reduce(Int32(0)) { $0 << 8 | Int32($1) }, frame))
            start += 4 + length
        }
        received.removeFirst(start)
        return answers
    }

    public func decode<R: Request>(_: R.Type, _ frame: [UInt8], version: Int16) throws -> R.Response {
        let header = APIs.spec(R.api)!.responseHeaderLength(version)
        return try R.Response.decode(frame[header...], version: version)
    }

    /// The records of all batches in a partition's answer.
    public static func records(_ part: FetchResponse.Partition) throws -> [Record] {
        try batches(part).flatMap { try RecordBatch.records(of: Array($0)) }
    }

    /// The offset behind the last batch in a partition's answer; nil: there is none.
    static func end(_ part: FetchResponse.Partition) throws -> Int64? {
        try batches(part).last?.withUnsafeBytes { try RecordBatchHeader(checking: $0).nextOffset() }
    }

    private static func batches(_ part: FetchResponse.Partition) throws -> [ArraySlice<UInt8>] {
        var rest = (part.records ?? [])[...]
        var batches: [ArraySlice<UInt8>] = []
        while !rest.isEmpty {
            let size = try rest.withUnsafeBytes { try RecordBatchHeader(checking: $0).size }
            batches.append(rest.prefix(size))
            rest = rest.dropFirst(size)
        }
        return batches
    }
}
