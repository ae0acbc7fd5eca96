import Codecs
import IO
import Simulator
import Testing
import Wire

/// A Kafka client over the simulated network.
final class TestClient {
    let broker: SimulatedBroker
    let connection: Int32
    private var received: [UInt8] = []
    private var nextCorrelation: Int32 = 1

    init(_ broker: SimulatedBroker) {
        self.broker = broker
        connection = broker.network.connect()
    }

    /// Sends a request; returns its correlation id.
    @discardableResult
    func send<R: Request>(_ request: R, version: Int16) throws -> Int32 {
        defer { nextCorrelation += 1 }
        let frame = try RequestFrame.encode(request, version: version, correlationId: nextCorrelation, clientId: "test")
        broker.network.write(frame, to: connection)
        return nextCorrelation
    }

    /// The whole answers that have come, in order: correlation id and frame.
    func answers() -> [(correlation: Int32, frame: [UInt8])] {
        received += broker.network.read(connection)
        var found: [(Int32, [UInt8])] = []
        while received.count >= 4 {
            let length = received[0..<4].reduce(0) { $0 << 8 | Int($1) }
            guard received.count >= 4 + length else { break }
            let frame = Array(received[4..<4 + length])
            received.removeFirst(4 + length)
            found.append((Int32(truncatingIfNeeded: frame[0..<4].reduce(0) { $0 << 8 | Int($1) }), frame))
        }
        return found
    }

    func correlations() -> [Int32] { answers().map(\.correlation) }

    /// Sends a request and lets the broker come to rest; the answer, decoded.
    func ask<R: Request>(_ request: R, version: Int16) throws -> R.Response {
        let correlation = try send(request, version: version)
        broker.settle()
        let all = answers()
        let answer = try #require(all.first { $0.correlation == correlation }, "no answer")
        return try decode(R.self, answer.frame, version: version)
    }

    func decode<R: Request>(_: R.Type, _ frame: [UInt8], version: Int16) throws -> R.Response {
        let header = APIs.spec(R.api)!.responseHeaderLength(version)
        return try R.Response.decode(frame[header...], version: version)
    }

    // MARK: Requests

    func createTopic(_ name: String, partitions: Int32 = 1, configs: [String: String] = [:]) throws {
        var topic = CreateTopicsRequest.Topic()
        topic.name = name
        topic.numPartitions = partitions
        topic.replicationFactor = 1
        topic.configs = configs.map { CreateTopicsRequest.Config(name: $0.key, value: $0.value) }
        var request = CreateTopicsRequest()
        request.topics = [topic]
        let answer = try ask(request, version: 5)
        #expect(answer.topics.map(\.errorCode) == [.none])
    }

    static func produce(
        _ topic: String, _ values: [String], partition: Int32 = 0, acks: Int16 = -1, timeout: Int32 = 30_000,
        producerId: Int64 = -1, epoch: Int16 = -1, sequence: Int32 = -1, timestamp: Int64 = 1_700_000_000_000
    ) throws -> ProduceRequest {
        var part = ProduceRequest.Partition()
        part.index = partition
        part.records = try RecordBatch.build(
            values.map { Record(timestamp: timestamp, value: Array($0.utf8)) }, producerId: producerId,
            producerEpoch: epoch, baseSequence: sequence)
        var data = ProduceRequest.Topic()
        data.name = topic
        data.partitions = [part]
        var request = ProduceRequest()
        request.acks = acks
        request.timeoutMs = timeout
        request.topics = [data]
        return request
    }

    /// Produces and expects it to be taken; the base offset.
    @discardableResult
    func produce(
        _ topic: String, _ values: [String], partition: Int32 = 0, acks: Int16 = -1, timestamp: Int64 = 1_700_000_000_000
    ) throws -> Int64 {
        let answer = try ask(
            TestClient.produce(topic, values, partition: partition, acks: acks, timestamp: timestamp), version: 8)
        let part = answer.topics[0].partitions[0]
        #expect(part.errorCode == .none)
        return part.baseOffset
    }

    static func fetch(
        _ topic: String, partition: Int32 = 0, offset: Int64, maxWait: Int32 = 0, minBytes: Int32 = 1,
        maxBytes: Int32 = 1 << 20
    ) -> FetchRequest {
        var part = FetchRequest.Partition()
        part.partition = partition
        part.fetchOffset = offset
        part.partitionMaxBytes = maxBytes
        var data = FetchRequest.Topic()
        data.topic = topic
        data.partitions = [part]
        var request = FetchRequest()
        request.maxWaitMs = maxWait
        request.minBytes = minBytes
        request.maxBytes = maxBytes
        request.topics = [data]
        return request
    }

    static func records(_ response: FetchResponse) throws -> [Record] {
        var bytes = (response.topics.first?.partitions.first?.records ?? [])[...]
        var records: [Record] = []
        while !bytes.isEmpty {
            let whole = Array(bytes)
            let header = try whole.withUnsafeBytes { try RecordBatchHeader(checking: $0) }
            records += try RecordBatch.records(of: whole)
            bytes = bytes.dropFirst(header.size)
        }
        return records
    }

    /// All records of a partition from `offset` on, by as many fetches as it takes.
    /// - Parameter end: not beyond this offset.
    func consume(
        _ topic: String, partition: Int32 = 0, from offset: Int64 = 0, until end: Int64 = .max
    ) throws -> [(offset: Int64, value: String)] {
        var all: [(Int64, String)] = []
        var next = offset
        while next < end {
            let response = try ask(TestClient.fetch(topic, partition: partition, offset: next), version: 11)
            let part = response.topics[0].partitions[0]
            #expect(part.errorCode == .none)
            let records = try TestClient.records(response).filter { $0.offset >= next }
            guard let last = records.last else { return all }
            all += records.map { ($0.offset, String(decoding: $0.value ?? [], as: UTF8.self)) }
            next = last.offset + 1
        }
        return all
    }

    /// The partition's first and next offset.
    func offsets(_ topic: String, partition: Int32 = 0) throws -> (start: Int64, end: Int64) {
        (try self.offset(topic, partition: partition, at: -2), try self.offset(topic, partition: partition, at: -1))
    }

    /// The offset of the first record with such a timestamp or a later one, or what the special timestamps mean.
    func offset(_ topic: String, partition: Int32 = 0, at timestamp: Int64) throws -> Int64 {
        var part = ListOffsetsRequest.Partition()
        part.partitionIndex = partition
        part.timestamp = timestamp
        var data = ListOffsetsRequest.Topic()
        data.name = topic
        data.partitions = [part]
        var request = ListOffsetsRequest()
        request.topics = [data]
        let answer = try self.ask(request, version: timestamp == -3 ? 7 : 5).topics[0].partitions[0]
        #expect(answer.errorCode == .none)
        return answer.offset
    }

    static func deleteRecords(_ topic: String, partition: Int32 = 0, before offset: Int64) -> DeleteRecordsRequest {
        var part = DeleteRecordsRequest.Partition()
        part.partitionIndex = partition
        part.offset = offset
        var data = DeleteRecordsRequest.Topic()
        data.name = topic
        data.partitions = [part]
        var request = DeleteRecordsRequest()
        request.timeoutMs = 30_000
        request.topics = [data]
        return request
    }
}

extension CreateTopicsRequest.Config {
    init(name: String, value: String) {
        self.init()
        self.name = name
        self.value = value
    }
}
