import Broker
import IO
import Simulator
import Testing
import Wire

/// What clients that are slow, silent or greedy cost the others.
@Suite struct LimitsTests {
    private func make(
        _ change: (inout BrokerConfiguration) -> Void = { _ in }
    ) throws -> (SimulatedBroker, TestClient) {
        var configuration = SimulatedBroker.configuration()
        change(&configuration)
        let broker = try SimulatedBroker(
            disk: SimulatedDisk(), network: SimulatedNetwork(), configuration: configuration)
        broker.settle()
        return (broker, TestClient(broker))
    }

    /// Lets time pass in small steps, as it does.
    private func pass(_ broker: SimulatedBroker, milliseconds: Int) {
        for _ in 0..<(milliseconds + 99) / 100 {
            broker.advance(milliseconds: 100)
            broker.settle()
        }
    }

    // MARK: A slow disk

    /// While the disk stands still, producers are read from no further, and everyone else is answered.
    @Test func aDiskThatStandsStillStopsProducersOnly() throws {
        let (broker, client) = try make()
        try client.createTopic("t")
        for turn in 0..<20 { try client.produce("t", ["\(turn)"]) }
        broker.disk.holdsSyncs = true
        let value = String(repeating: "v", count: 2000)
        let producers = (0..<4).map { _ in TestClient(broker) }
        var sent: [[Int32]] = [[], [], [], []]
        for turn in 0..<600 {
            for (number, producer) in producers.enumerated() {
                sent[number].append(try producer.send(TestClient.produce("t", ["\(turn)" + value]), version: 8))
            }
        }
        broker.settle()
        for producer in producers { #expect(broker.network.unread(producer.connection) > 0, "it is not read from") }
        for round in 0..<5 {
            let other = round < 3 ? client : TestClient(broker)
            #expect(try other.ask(ApiVersionsRequest(), version: 3).errorCode == .none)
            #expect(try other.ask(MetadataRequest.ofAll, version: 7).topics.map(\.name) == ["t"])
            #expect(try other.consume("t").count == 20, "what was committed before is read")
            #expect(try other.ask(ListOffsetsRequest(latestOf: "t"), version: 5).topics[0].partitions[0].offset == 20)
            pass(broker, milliseconds: 1000)
        }
        for producer in producers { #expect(producer.answers().isEmpty) }
        broker.disk.holdsSyncs = false
        broker.settle(limit: 100_000)
        for (number, producer) in producers.enumerated() { #expect(producer.correlations() == sent[number]) }
        #expect(try client.consume("t").count == 2420)
    }

    // MARK: Clients that don't read

    /// A broker with a topic of which a fetch brings the 256 KiB that one may bring.
    private func makeFull() throws -> (SimulatedBroker, TestClient) {
        let (broker, client) = try make { $0.reading.answerBytes = 1 << 20 }
        try client.createTopic("t")
        let value = String(repeating: "v", count: 3000)
        for turn in 0..<200 { try client.produce("t", ["\(turn)" + value]) }
        return (broker, client)
    }

    /// Many that ask for all there is and never read: the others are answered at once, with what is left for them; and soon
    /// the memory is taken from those who make no use of it.
    @Test(arguments: [3, 10, 40]) func whoNeverReadsStarvesNobody(count: Int) throws {
        let (broker, _) = try makeFull()
        let greedy = (0..<count).map { _ in TestClient(broker) }
        for client in greedy {
            broker.network.stalls(reader: client.connection)
            for _ in 0..<400 { try client.send(TestClient.fetch("t", offset: 0), version: 11) }
        }
        broker.settle()
        for client in greedy { #expect(broker.network.unread(client.connection) > 0, "it is owed enough") }
        let other = TestClient(broker)
        try other.send(TestClient.fetch("t", offset: 0), version: 11)
        broker.settle()
        let answer = try #require(other.answers().first)
        let records = try TestClient.records(try other.decode(FetchRequest.self, answer.frame, version: 11))
        #expect(records.first?.offset == 0)
        #expect(try other.consume("t").count == 200)
        pass(broker, milliseconds: 2_700)
        #expect(greedy.contains { broker.network.isClosed($0.connection) })
    }

    /// Nobody is in its way, so a slow reader has its time; then it is given up, and what waited for it is gone.
    @Test func whoTakesNothingIsGivenUp() throws {
        let (broker, client) = try makeFull()
        let slow = TestClient(broker)
        broker.network.stalls(reader: slow.connection)
        try slow.send(TestClient.fetch("t", offset: 0), version: 11)
        broker.settle()
        pass(broker, milliseconds: 59_500)
        #expect(!broker.network.isClosed(slow.connection))
        pass(broker, milliseconds: 1_000)
        #expect(broker.network.isClosed(slow.connection))
        #expect(try client.consume("t").count == 200)
    }

    /// Slow is not dead: as long as it takes a piece now and then it keeps its connection.
    @Test func whoTakesLittleKeepsItsConnection() throws {
        let (broker, _) = try makeFull()
        let slow = TestClient(broker)
        broker.network.pieceLimit = 2000
        broker.network.stalls(reader: slow.connection)
        try slow.send(TestClient.fetch("t", offset: 0), version: 11)
        broker.settle()
        var count = 0
        while count < 20 {
            pass(broker, milliseconds: 50_000)
            broker.network.stalls(reader: nil)
            broker.step()
            broker.network.stalls(reader: slow.connection)
            broker.settle()
            count += 1
            try #require(!broker.network.isClosed(slow.connection), "after \(count) pieces")
        }
        broker.network.stalls(reader: nil)
        broker.settle()
        #expect(slow.answers().count == 1)
    }

    /// A request that can't be read, and nothing behind it: that the client has ended as well must not keep the connection.
    @Test(arguments: [0, 1, 3]) func aBadLastRequestEndsItsConnection(good: Int) throws {
        let (broker, client) = try make { $0.intake.connections = 3 }
        for _ in 0..<10 {
            let bad = TestClient(broker)
            for _ in 0..<good { try bad.send(MetadataRequest(), version: 7) }
            // Metadata 5 with a count of topics that can't be.
            broker.network.write([0, 0, 0, 14, 0, 3, 0, 5, 0, 0, 0, 9, 0xff, 0xff, 0x7f, 0, 0, 0], to: bad.connection)
            broker.network.end(bad.connection)
            broker.settle()
            #expect(bad.answers().count == good && broker.network.isClosed(bad.connection))
        }
        #expect(try client.ask(ApiVersionsRequest(), version: 3).errorCode == .none)
    }

    // MARK: Clients that don't write

    @Test func theSilentAndTheIdleAreClosed() throws {
        let (broker, client) = try make()
        try client.createTopic("t")
        let silent = TestClient(broker), half = TestClient(broker), waiting = TestClient(broker)
        broker.network.write([0, 0, 0], to: half.connection)
        try waiting.send(TestClient.fetch("t", offset: 0, maxWait: 60_000), version: 11)
        broker.settle()
        pass(broker, milliseconds: 29_500)
        for each in [silent, half, waiting, client] { #expect(!broker.network.isClosed(each.connection)) }
        pass(broker, milliseconds: 1_000)
        #expect(broker.network.isClosed(silent.connection) && broker.network.isClosed(half.connection))
        pass(broker, milliseconds: 29_000)
        #expect(!broker.network.isClosed(waiting.connection) && !broker.network.isClosed(client.connection))
        pass(broker, milliseconds: 1_000)
        #expect(waiting.answers().count == 1, "it was worth the wait")
        for _ in 0..<540 {
            broker.advance(milliseconds: 1000)
            broker.settle()
        }
        #expect(broker.network.isClosed(client.connection) && !broker.network.isClosed(waiting.connection))
    }
}

extension MetadataRequest {
    /// Asks for all topics.
    static var ofAll: MetadataRequest {
        var request = MetadataRequest()
        request.topics = nil
        return request
    }
}

extension ListOffsetsRequest {
    /// Where the topic's first partition ends.
    init(latestOf topic: String) {
        self.init()
        var part = Partition()
        part.timestamp = -1
        var data = Topic()
        data.name = topic
        data.partitions = [part]
        topics = [data]
    }
}
