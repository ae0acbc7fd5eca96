import Host
import IO
import Journal
import Simulator
import Testing
import Wire

/// Where epochs end (OffsetForLeaderEpoch): each start of a broker that is alone begins one.
@Suite struct EpochEndTests {
    private func make(_ disk: SimulatedDisk, journalSegments: Int) throws -> (SimulatedBroker, TestClient) {
        let broker = try SimulatedBroker(
            disk: disk, network: SimulatedNetwork(), configuration: SimulatedBroker.configuration(journalSegments: journalSegments))
        broker.settle()
        return (broker, TestClient(broker))
    }

    private func ask(
        _ client: TestClient, epoch: Int32, partition: Int32 = 0, topic: String = "t", current: Int32 = -1, version: Int16 = 4
    ) throws -> OffsetForLeaderEpochResponse.Partition {
        var part = OffsetForLeaderEpochRequest.Partition()
        part.partition = partition
        part.currentLeaderEpoch = current
        part.leaderEpoch = epoch
        var data = OffsetForLeaderEpochRequest.Topic()
        data.topic = topic
        data.partitions = [part]
        var request = OffsetForLeaderEpochRequest()
        request.topics = [data]
        let answer = try client.ask(request, version: version)
        #expect(answer.topics.map(\.topic) == [topic] && answer.topics[0].partitions.map(\.partition) == [partition])
        return answer.topics[0].partitions[0]
    }

    /// Lives that write much, little and nothing: in memory, in files of the index, and in archives, wherever an epoch's end has come to lie.
    @Test(arguments: [100, 6]) func endsAreFoundWhereverTheyAre(journalSegments: Int) throws {
        let disk = SimulatedDisk()
        var random = SeededRandom(seed: UInt64(journalSegments))
        /// By epoch less one, for each partition the offset behind its last record.
        var ends: [[Int64]] = []
        var next: [Int64] = [0, 0, 0]
        let lives = [40, 3, 0, 250, 1, 80, 0, 0, 120, 2]
        for (life, count) in lives.enumerated() {
            let (broker, client) = try make(disk, journalSegments: journalSegments)
            if life == 0 { try client.createTopic("t", partitions: 3) }
            for _ in 0..<count {
                // The last partition gets something now and then.
                let partition = Int.random(in: 0..<20, using: &random) == 0 ? 2 : Int.random(in: 0..<2, using: &random)
                let values = (0..<Int.random(in: 1...3, using: &random)).map { "\($0)" + String(repeating: "v", count: 1500) }
                #expect(try client.produce("t", values, partition: Int32(partition)) == next[partition])
                next[partition] += Int64(values.count)
            }
            ends.append(next)
            for (epoch, expected) in ends.enumerated() {
                for partition in 0..<3 {
                    let answer = try ask(client, epoch: Int32(epoch) + 1, partition: Int32(partition))
                    #expect(answer.errorCode == .none && answer.endOffset == expected[partition], "life \(life), epoch \(epoch + 1)")
                    // A life that wrote nothing may be forgotten; what is said then is the one before.
                    #expect(answer.leaderEpoch <= Int32(epoch) + 1 && answer.leaderEpoch > 0)
                    #expect(lives[epoch] == 0 || answer.leaderEpoch == Int32(epoch) + 1)
                }
            }
            if life % 3 == 0 { disk.crash() } else { _ = try broker.stop() }
        }
        let archived = disk.list("/data/group-0/archive").contains { $0.hasSuffix(".frames") }
        #expect(archived == (journalSegments == 6))
    }

    @Test func whatIsNotKnownOrNotFitting() throws {
        let disk = SimulatedDisk()
        var (broker, client) = try make(disk, journalSegments: 6)
        try client.createTopic("t")
        try client.produce("t", ["a", "b"])
        _ = try broker.stop()
        (broker, client) = try make(disk, journalSegments: 6)
        try client.produce("t", ["c"])
        for version in Int16(2)...4 {
            let one = try ask(client, epoch: 1, current: 2, version: version)
            #expect((one.errorCode, one.leaderEpoch, one.endOffset) == (.none, 1, 2))
            let newest = try ask(client, epoch: 2, version: version)
            #expect((newest.errorCode, newest.leaderEpoch, newest.endOffset) == (.none, 2, 3))
        }
        // Below all there are: where the first one begins.
        let zero = try ask(client, epoch: 0)
        #expect((zero.errorCode, zero.leaderEpoch, zero.endOffset) == (.none, 0, 0))
        for unknown in [Int32(3), .max, -1, .min] {
            let answer = try ask(client, epoch: unknown)
            #expect((answer.errorCode, answer.leaderEpoch, answer.endOffset) == (.none, -1, -1), "epoch \(unknown)")
        }
        for (current, error) in [(Int32(1), ErrorCode.fencedLeaderEpoch), (3, .unknownLeaderEpoch)] {
            let answer = try ask(client, epoch: 1, current: current)
            #expect((answer.errorCode, answer.leaderEpoch, answer.endOffset) == (error, -1, -1))
        }
        #expect(try ask(client, epoch: 1, partition: 1).errorCode == .unknownTopicOrPartition)
        #expect(try ask(client, epoch: 1, topic: "other").errorCode == .unknownTopicOrPartition)
    }

    /// Nothing ends before the log begins.
    @Test func anEpochWhoseRecordsAreDeletedEndsWhereTheLogBegins() throws {
        let disk = SimulatedDisk()
        var (broker, client) = try make(disk, journalSegments: 6)
        try client.createTopic("t")
        try client.produce("t", ["a", "b"])
        _ = try broker.stop()
        (broker, client) = try make(disk, journalSegments: 6)
        try client.produce("t", ["c", "d", "e"])
        _ = try client.ask(TestClient.deleteRecords("t", before: 4), version: 1)
        #expect(try ask(client, epoch: 1).endOffset == 4)
        #expect(try ask(client, epoch: 2).endOffset == 5)
    }
}
