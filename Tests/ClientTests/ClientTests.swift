import Codecs
import Synchronization
import Testing
import Wire

@testable import Client

@Suite struct ConnectionTests {
    @Test func negotiatesTheHighestVersionThatBothServe() throws {
        let connection = try FakeBroker.connect { header, _ in
            var response = ApiVersionsResponse()
            var produce = ApiVersionsResponse.API()
            produce.maxVersion = 7
            var fetch = ApiVersionsResponse.API()
            fetch.apiKey = 1
            fetch.minVersion = 18
            fetch.maxVersion = 19
            response.apiKeys = [produce, fetch]
            return try ResponseFrame.encode(response, version: header.apiVersion, correlationId: header.correlationId)
        }
        #expect(try connection.version(of: .produce) == 7)
        #expect(throws: ClientError.self) { try connection.version(of: .fetch) }
        #expect(throws: ClientError.self) { try connection.version(of: .metadata) }
    }

    @Test func asksAgainInTheVersionThatAnOlderBrokerNames() throws {
        let asked = Mutex<[Int16]>([])
        _ = try FakeBroker.connect { header, _ in
            asked.withLock { $0.append(header.apiVersion) }
            guard header.apiVersion > 2 else { return try FakeBroker.versions(header) }
            var refusal = ApiVersionsResponse()
            refusal.errorCode = .unsupportedVersion
            var own = ApiVersionsResponse.API()
            own.apiKey = APIKey.apiVersions.rawValue
            own.maxVersion = 2
            refusal.apiKeys = [own]
            return try ResponseFrame.encode(refusal, version: 0, correlationId: header.correlationId)
        }
        #expect(asked.withLock { $0 } == [4, 2])
    }

    @Test func saysWhatIsWrongWithTheOtherSide() throws {
        #expect(throws: ClientError.self) { try FakeBroker.connect { _, _ in nil } }
        // An HTTP server.
        #expect(throws: ClientError.self) { try FakeBroker.connect { _, _ in Array("HTTP/1.1 400 Bad Request".utf8) } }
        #expect(throws: WireError.self) { try FakeBroker.connect { _, _ in [0, 0, 0, 5, 0, 0, 0, 1, 9] } }
        let silent: ClientError? = #expect(throws: ClientError.self) {
            try FakeBroker.connect(timeoutMs: 50) { _, _ in [] }
        }
        #expect(silent?.description == "fake:9092 gave no answer in time.")
    }

    @Test func refusesTheAnswerToAnotherRequest() throws {
        let connection = try FakeBroker.connect { header, _ in
            guard header.apiKey != APIKey.apiVersions.rawValue else { return try FakeBroker.versions(header) }
            return try ResponseFrame.encode(
                InitProducerIdResponse(), version: header.apiVersion, correlationId: header.correlationId + 1)
        }
        #expect(throws: ClientError.self) { try connection.call(InitProducerIdRequest()) }
    }
}

/// A log of one partition behind the fake's answers.
private final class FakeLog: Sendable {
    struct State {
        var batches: [[UInt8]] = []
        var next: Int64 = 0
        /// Errors to answer Produce with before it succeeds.
        var produceErrors: [ErrorCode] = []
        var sequences: [Int32] = []
        var metadataCalls = 0
    }

    let state = Mutex(State())

    func answer(_ header: RequestHeader, _ body: ArraySlice<UInt8>) throws -> [UInt8]? {
        func frame(_ response: some Response) throws -> [UInt8] {
            try ResponseFrame.encode(response, version: header.apiVersion, correlationId: header.correlationId)
        }
        switch APIKey(rawValue: header.apiKey) {
        case .apiVersions: return try FakeBroker.versions(header)
        case .metadata: return try frame(metadata())
        case .produce: return try frame(produce(try ProduceRequest.decode(body, version: header.apiVersion)))
        case .fetch: return try frame(fetch(try FetchRequest.decode(body, version: header.apiVersion)))
        case .listOffsets: return try frame(listOffsets(try ListOffsetsRequest.decode(body, version: header.apiVersion)))
        case .initProducerId:
            var response = InitProducerIdResponse()
            response.producerId = 4
            return try frame(response)
        default: return nil
        }
    }

    private func metadata() -> MetadataResponse {
        state.withLock { $0.metadataCalls += 1 }
        var broker = MetadataResponse.Broker()
        broker.nodeId = 1
        broker.host = "fake"
        broker.port = 9092
        var partition = MetadataResponse.Partition()
        partition.leaderId = 1
        var topic = MetadataResponse.Topic()
        topic.name = "t"
        topic.partitions = [partition]
        var response = MetadataResponse()
        response.brokers = [broker]
        response.topics = [topic]
        return response
    }

    private func produce(_ request: ProduceRequest) -> ProduceResponse {
        var response = ProduceResponse()
        state.withLock { state in
            var batch = request.topics[0].partitions[0].records ?? []
            let header = batch.withUnsafeBytes { RecordBatchHeader(at: $0.baseAddress!) }
            state.sequences.append(header.baseSequence)
            var partition = ProduceResponse.Partition(index: 0)
            if state.produceErrors.isEmpty {
                partition.baseOffset = state.next
                batch.withUnsafeMutableBytes { $0.storeBytes(of: state.next.bigEndian, as: Int64.self) }
                state.batches.append(batch)
                state.next += Int64(header.recordCount)
            } else {
                partition.errorCode = state.produceErrors.removeFirst()
            }
            response.topics = [.init(name: "t", partitions: [partition])]
        }
        return response
    }

    private func fetch(_ request: FetchRequest) -> FetchResponse {
        var response = FetchResponse()
        state.withLock { state in
            let from = request.topics[0].partitions[0].fetchOffset
            var partition = FetchResponse.Partition()
            partition.highWatermark = state.next
            // From the batch that holds the offset on, and half a batch more: a broker may cut off the last one.
            let rest = state.batches.filter { batch in
                let header = batch.withUnsafeBytes { RecordBatchHeader(at: $0.baseAddress!) }
                return header.baseOffset + Int64(header.lastOffsetDelta) >= from
            }
            partition.records = rest.prefix(2).flatMap { $0 } + (rest.dropFirst(2).first ?? []).prefix(70)
            var topic = FetchResponse.Topic()
            topic.topic = "t"
            topic.partitions = [partition]
            response.topics = [topic]
        }
        return response
    }

    private func listOffsets(_ request: ListOffsetsRequest) -> ListOffsetsResponse {
        var partition = ListOffsetsResponse.Partition()
        let latest = request.topics[0].partitions[0].timestamp == ListOffsetsRequest.Timestamp.latest
        partition.offset = latest ? state.withLock { $0.next } : 0
        var topic = ListOffsetsResponse.Topic()
        topic.name = "t"
        topic.partitions = [partition]
        var response = ListOffsetsResponse()
        response.topics = [topic]
        return response
    }
}

@Suite struct KafkaClientTests {
    private let log = FakeLog()

    private func client() -> KafkaClient {
        let log = log
        return KafkaClient(bootstrap: [.init(host: "boot", port: 1)], timeoutMs: 5_000) { _ in
            try FakeBroker.connect { try log.answer($0, $1) }
        }
    }

    private func values(from start: LogPlace) throws -> [String] {
        let consumer = try Consumer(client(), topic: "t", partitions: nil, start: start)
        var values: [String] = []
        repeat {
            try consumer.poll { _, record in
                values.append(String(decoding: record.value ?? [], as: UTF8.self))
                return true
            }
        } while !consumer.isAtEnd
        return values
    }

    private func produce(_ options: Producer.Options, _ values: Range<Int>) throws {
        let producer = try Producer(client(), topic: "t", options: options)
        for value in values { try producer.add(Record(timestamp: 1, value: Array("\(value)".utf8))) }
        try producer.flush()
    }

    @Test(arguments: CompressionType.allCases) func whatIsProducedIsConsumed(compression: CompressionType) throws {
        var options = Producer.Options()
        options.compression = compression
        options.batchBytes = 10
        try produce(options, 0..<100)
        #expect(try values(from: .start) == (0..<100).map { "\($0)" })
        #expect(try values(from: .offset(42)) == (42..<100).map { "\($0)" })
        #expect(try values(from: .end) == [] && values(from: .offset(100)) == [])
        #expect(throws: ClientError.self) { try values(from: .offset(101)) }
        #expect(throws: ClientError.self) { try Consumer(client(), topic: "t", partitions: [7], start: .start) }
        #expect(log.state.withLock { $0.batches.count } > 10)
    }

    @Test func anIdempotentProducerNumbersItsRecordsAndTriesAgain() throws {
        var options = Producer.Options()
        options.idempotent = true
        options.batchBytes = 3
        log.state.withLock { $0.produceErrors = [.notLeaderOrFollower, .duplicateSequenceNumber] }
        try produce(options, 0..<9)
        // The first batch is sent again after the first error; the second error says that it had arrived.
        #expect(log.state.withLock { $0.sequences } == [0, 0, 3, 6])
        #expect(log.state.withLock { $0.batches.count } == 2)
    }

    @Test func asksWhoLeadsAfterAnError() throws {
        log.state.withLock { $0.produceErrors = [.notLeaderOrFollower] }
        try produce(.init(), 0..<1)
        // For the partitions and their leaders at first, and for the new leader.
        #expect(log.state.withLock { $0.metadataCalls } == 2)
        #expect(try values(from: .start) == ["0"])
    }

    @Test func saysWhatTheBrokerRefused() throws {
        log.state.withLock { $0.produceErrors = [.messageTooLarge] }
        let error: ClientError? = #expect(throws: ClientError.self) { try produce(.init(), 0..<1) }
        #expect(error?.description == "t [0]: MESSAGE_TOO_LARGE")
        var options = Producer.Options()
        options.partition = 7
        #expect(throws: ClientError.self) { try produce(options, 0..<1) }
    }

    @Test func hashesAsTheJavaClientDoes() {
        // The values of Kafka's own test of its hash.
        #expect(murmur2(Array("21".utf8)) == -973_932_308)
        #expect(murmur2(Array("foobar".utf8)) == -790_332_482)
        #expect(murmur2(Array("a-little-bit-long-string".utf8)) == -985_981_536)
        #expect(murmur2(Array("a-little-bit-longer-string".utf8)) == -1_486_304_829)
        #expect(murmur2(Array("abc".utf8)) == 479_470_107)
    }
}
