import Broker
import IO
import Journal
import Simulator
import Testing
import Wire

/// A whole broker on simulated disk and network.
@Suite struct BrokerTests {
    private func make(disk: SimulatedDisk = SimulatedDisk(), groups: Int = 1) throws -> (SimulatedBroker, TestClient) {
        let broker = try SimulatedBroker(
            disk: disk, network: SimulatedNetwork(), configuration: SimulatedBroker.configuration(partitionGroups: groups))
        broker.settle()
        return (broker, TestClient(broker))
    }

    @Test(arguments: [1, 2, 3], [1, 7, Int.max])
    func producesAndConsumes(groups: Int, pieces: Int) throws {
        let (broker, client) = try make(groups: groups)
        broker.network.pieceLimit = pieces
        try client.createTopic("t", partitions: 5)
        for partition in Int32(0)..<5 {
            for turn in 0..<4 { #expect(try client.produce("t", ["\(partition)-\(turn)", "b"], partition: partition) == Int64(2 * turn)) }
        }
        for partition in Int32(0)..<5 {
            let expected = (0..<4).flatMap { ["\(partition)-\($0)", "b"] }
            #expect(try client.consume("t", partition: partition).map(\.value) == expected)
        }
    }

    /// Far more than the journal's cache holds, through many segments: the old ones come from disk.
    @Test func readsColdData() throws {
        let (_, client) = try make()
        try client.createTopic("t", partitions: 3)
        let value = String(repeating: "v", count: 3000)
        for turn in 0..<300 { try client.produce("t", ["\(turn)" + value], partition: Int32(turn % 3)) }
        for partition in 0..<3 {
            let expected = stride(from: partition, to: 300, by: 3).map { "\($0)" + value }
            #expect(try client.consume("t", partition: Int32(partition)).map(\.value) == expected)
        }
    }

    /// A request for nothing is answered too: what comes behind it on the connection would wait for ever.
    @Test(arguments: [1, 2]) func anEmptyProduceIsAnswered(groups: Int) throws {
        let (_, client) = try make(groups: groups)
        try client.createTopic("t", partitions: 4)
        var request = ProduceRequest()
        request.acks = -1
        #expect(try client.ask(request, version: 8).topics.isEmpty)
        var topic = ProduceRequest.Topic()
        topic.name = "t"
        request.topics = [topic]
        #expect(try client.ask(request, version: 8).topics.isEmpty)
        #expect(try client.produce("t", ["after"]) == 0)
    }

    /// More fetches of old data at once than may read from disk at once: all are answered, though no time passes and nothing
    /// else happens.
    @Test func manyColdReadersAtOnce() throws {
        let (broker, client) = try make()
        try client.createTopic("t")
        let value = String(repeating: "v", count: 3000)
        for _ in 0..<300 { try client.produce("t", [value]) }
        let readers = (0..<12).map { _ in TestClient(broker) }
        for (number, reader) in readers.enumerated() {
            try reader.send(TestClient.fetch("t", offset: Int64(number), maxWait: 60_000, maxBytes: 100_000), version: 11)
        }
        broker.settle()
        for (number, reader) in readers.enumerated() {
            let answer = try #require(reader.answers().first, "reader \(number)")
            let response = try reader.decode(FetchRequest.self, answer.frame, version: 11)
            #expect(try TestClient.records(response).first?.offset == Int64(number))
        }
    }

    /// A client that asks for much and never reads is read from no further, and others go on.
    @Test func whoNeverReadsIsNotReadFrom() throws {
        let (broker, client) = try make()
        try client.createTopic("t")
        broker.network.stalls(reader: client.connection)
        for _ in 0..<3000 { try client.send(MetadataRequest(), version: 4) }
        broker.settle()
        #expect(broker.network.unread(client.connection) > 0, "the broker has stopped reading")
        let other = TestClient(broker)
        #expect(try other.produce("t", ["unharmed"]) == 0)
        broker.network.stalls(reader: nil)
        broker.settle()
        #expect(client.answers().count == 3000)
    }

    /// A client that sends without reading, while the disk stands still: the broker takes so much and no more, and afterwards
    /// answers everything in order.
    @Test func stopsReadingWhenItsQueuesAreFull() throws {
        let (broker, client) = try make()
        try client.createTopic("t")
        broker.disk.holdsSyncs = true
        let value = String(repeating: "v", count: 2000)
        var sent: [Int32] = []
        for turn in 0..<2000 { sent.append(try client.send(TestClient.produce("t", ["\(turn)" + value]), version: 8)) }
        broker.settle()
        #expect(client.correlations().isEmpty)
        #expect(broker.set.positions[0].appended.load() < UInt64(6 * (64 << 10)), "no more than the cache holds")
        broker.disk.holdsSyncs = false
        broker.settle(limit: 100_000)
        #expect(client.correlations() == sent)
        #expect(try client.consume("t").count == 2000)
    }

    /// At the end of the disk produce is refused and reading goes on; with room again, so does producing.
    @Test func aFullDiskRefusesProduce() throws {
        let (broker, client) = try make()
        try client.createTopic("t")
        broker.disk.freeBytes = 3 * (64 << 10)
        let value = String(repeating: "v", count: 3000)
        var taken = 0
        var answer = ErrorCode.none
        while answer == .none, taken < 1000 {
            let part = try client.ask(TestClient.produce("t", [value]), version: 8).topics[0].partitions[0]
            answer = part.errorCode
            if answer == .none { taken += 1 }
        }
        #expect(answer == .kafkaStorageError)
        #expect(taken > 60, "all that was made ahead is used")
        #expect(try client.consume("t").count == taken)
        broker.disk.freeBytes = .max
        broker.advance(milliseconds: 1100)
        broker.settle()
        #expect(try client.produce("t", [value]) == Int64(taken))
    }

    @Test func cleanStopAndStart() throws {
        let disk = SimulatedDisk()
        var (broker, client) = try make(disk: disk)
        try client.createTopic("t")
        for turn in 0..<50 { #expect(try client.produce("t", [String(repeating: "\(turn % 10)", count: 3000)]) == Int64(turn)) }
        for life in 1...3 {
            #expect(try broker.stop())
            (broker, client) = try make(disk: disk)
            #expect(try client.produce("t", ["life \(life)"]) == Int64(49 + life))
        }
        let values = try client.consume("t").map(\.value)
        #expect(values.count == 53)
        #expect(values.suffix(3) == ["life 1", "life 2", "life 3"])
    }

    @Test func leaderEpochsGrowWithEachLife() throws {
        let disk = SimulatedDisk()
        var epochs: [Int32] = []
        for life in 0..<4 {
            let (broker, client) = try make(disk: disk)
            if life == 0 { try client.createTopic("t") }
            var request = MetadataRequest()
            request.topics = nil
            let answer = try client.ask(request, version: 7)
            epochs.append(try #require(answer.topics.first?.partitions.first?.leaderEpoch))
            if life % 2 == 0 { _ = try broker.stop() } else { disk.crash() }
        }
        #expect(epochs == [1, 2, 3, 4])
    }

    /// What was acknowledged and is damaged is never cut off: whoever asks for it is refused, the rest is served, and no offset is
    /// given twice.
    @Test func rotIsRefusedAndTheRestServed() throws {
        let disk = SimulatedDisk()
        let (_, client) = try make(disk: disk)
        try client.createTopic("t", partitions: 2)
        for turn in 0..<10 { try client.produce("t", [String(repeating: "\(turn)", count: 300)]) }
        try client.produce("t", ["other"], partition: 1)
        try client.produce("t", ["last"])
        disk.crash()
        disk.flip("/data/group-0/00000000000000000000.segment", byte: 1000)
        let (_, after) = try make(disk: disk)
        #expect(try after.consume("t", until: 2).map(\.value) == ["0", "1"].map { String(repeating: $0, count: 300) })
        let answer = try after.ask(TestClient.fetch("t", offset: 2, maxWait: 0, maxBytes: 1000), version: 11)
        #expect(answer.topics.first?.partitions.first?.errorCode == .corruptMessage)
        let rest = try after.consume("t", from: 3).map(\.value)
        #expect(rest.count == 8 && rest.first?.first == "3" && rest.last == "last")
        #expect(try after.produce("t", ["new"]) == 11)
        #expect(try after.produce("t", ["new"], partition: 1) == 1)
    }

    @Test func aTornTailIsCutOff() throws {
        let disk = SimulatedDisk()
        let (broker, client) = try make(disk: disk)
        try client.createTopic("t")
        try client.produce("t", ["kept"])
        let flushed = broker.set.positions[0].flushed.load()
        disk.holdsSyncs = true
        for _ in 0..<8 { try client.send(TestClient.produce("t", [String(repeating: "x", count: 3000)]), version: 8) }
        broker.settle()
        // The last sectors made it, the first did not.
        disk.crash { path, sector in path.hasSuffix(".segment") && sector > Int(flushed) / 4096 + 2 }
        disk.holdsSyncs = false
        let (_, again) = try make(disk: disk)
        #expect(try again.consume("t").map(\.value) == ["kept"])
        #expect(try again.produce("t", ["new"]) == 1)
        disk.crash()
        let (_, third) = try make(disk: disk)
        #expect(try third.consume("t").map(\.value) == ["kept", "new"], "what was cut off can't return")
    }

    /// An idempotent producer that lost its answers asks again, also after a crash.
    @Test func duplicatesGetTheFirstAnswersOffset() throws {
        let disk = SimulatedDisk()
        var (broker, client) = try make(disk: disk)
        try client.createTopic("t")
        let id = try client.ask(InitProducerIdRequest(), version: 1).producerId
        func ask(_ sequence: Int32) throws -> ProduceResponse.Partition {
            try client.ask(
                TestClient.produce("t", ["\(sequence)"], producerId: id, epoch: 0, sequence: sequence), version: 8
            ).topics[0].partitions[0]
        }
        for sequence in Int32(0)..<7 { #expect(try ask(sequence).baseOffset == Int64(sequence)) }
        for life in 0..<3 {
            for sequence in Int32(2)..<7 {
                let again = try ask(sequence)
                #expect((again.errorCode, again.baseOffset) == (.none, Int64(sequence)))
            }
            // What comes before it may have been on its way when the life before ended.
            if life > 0 { #expect(try ask(9).errorCode == .notLeaderOrFollower) }
            broker.advance(milliseconds: 11_000)
            #expect(try ask(9).errorCode == .outOfOrderSequenceNumber)
            if life == 1 { _ = try broker.stop() } else { disk.crash() }
            (broker, client) = try make(disk: disk)
        }
        #expect(try client.consume("t").count == 7)
        #expect(try client.ask(InitProducerIdRequest(), version: 1).producerId > id, "no id is given twice")
    }

    /// A duplicate of what is not durable yet is answered when the original is.
    @Test func aDuplicateWaitsForTheOriginal() throws {
        let (broker, client) = try make()
        try client.createTopic("t")
        let id = try client.ask(InitProducerIdRequest(), version: 1).producerId
        broker.disk.holdsSyncs = true
        let request = try TestClient.produce("t", ["once"], producerId: id, epoch: 0, sequence: 0)
        try client.send(request, version: 8)
        let second = TestClient(broker)
        try second.send(request, version: 8)
        broker.settle()
        #expect(client.answers().isEmpty)
        #expect(second.answers().isEmpty)
        broker.disk.holdsSyncs = false
        broker.settle()
        #expect(client.answers().count == 1)
        let answer = try #require(second.answers().first)
        #expect(try second.decode(ProduceRequest.self, answer.frame, version: 8).topics[0].partitions[0].baseOffset == 0)
        #expect(try client.consume("t").count == 1)
    }
}
