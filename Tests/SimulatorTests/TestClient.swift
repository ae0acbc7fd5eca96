import Codecs
import IO
import Simulator
import Testing
import Wire

/// A Kafka client over the simulated network.
final class TestClient {
    let broker: SimulatedBroker
    private let client: SimulatedClient

    init(_ broker: SimulatedBroker) {
        self.broker = broker
        client = SimulatedClient(broker.network)
    }

    var connection: Int32 { client.connection }

    /// Sends a request; returns its correlation id.
    @discardableResult
    func send<R: Request>(_ request: R, version: Int16) throws -> Int32 { try client.send(request, version: version) }

    /// The whole answers that have come, in order: correlation id and frame.
    func answers() -> [(correlation: Int32, frame: [UInt8])] { client.answers() }

    func correlations() -> [Int32] { answers().map(\.correlation) }

    /// Sends a request and lets the broker come to rest; the answer, decoded.
    func ask<R: Request>(_ request: R, version: Int16) throws -> R.Response {
        let correlation = try send(request, version: version)
        broker.settle()
        let all = answers()
        let answer = try #require(all.first { $0.correlation == correlation }, "no answer")
        return try decode(R.self, answer.frame, version: version)
    }

    func decode<R: Request>(_ type: R.Type, _ frame: [UInt8], version: Int16) throws -> R.Response {
        try client.decode(type, frame, version: version)
    }

    // MARK: Requests

    func createTopic(_ name: String, partitions: Int32 = 1, configs: [String: String] = [:]) throws {
        var topic = CreateTopicsRequest.Topic()
        topic.name = name
        topic.numPartitions = partitions
        topic.replicationFactor = 1
        topic.configs = configs.map { .init(name: $0, value: $1) }
        var request = CreateTopicsRequest()
        request.topics = [topic]
        let answer = try ask(request, version: 5)
        #expect(answer.topics.map(\.errorCode) == [.none])
    }

    static func produce(
        _ topic: String, _ values: [String], partition: Int32 = 0, acks: Int16 = -1, timeout: Int32 = 30_000,
        producerId: Int64 = -1, epoch: Int16 = -1, sequence: Int32 = -1, timestamp: Int64 = 1_700_000_000_000
    ) throws -> ProduceRequest {
        let batch = try RecordBatch.build(
            values.map { Record(timestamp: timestamp, value: Array($0.utf8)) }, producerId: producerId,
            producerEpoch: epoch, baseSequence: sequence)
        var request = ProduceRequest()
        request.acks = acks
        request.timeoutMs = timeout
        request.topics = [.init(name: topic, partitions: [.init(index: partition, records: batch)])]
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
        try response.topics.first?.partitions.first.map(SimulatedClient.records) ?? []
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
        var request = ListOffsetsRequest()
        request.topics = [.init(name: topic, partitions: [.init(partitionIndex: partition, timestamp: timestamp)])]
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
