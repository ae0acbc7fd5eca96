import IO
import Journal
import Simulator
import Testing
import Wire

/// What is kept, where, and what gives its space back.
@Suite struct RetentionTests {
    private static let segment = 64 << 10

    private func make(_ disk: SimulatedDisk, journalSegments: Int = 6) throws -> (SimulatedBroker, TestClient) {
        let broker = try SimulatedBroker(
            disk: disk, network: SimulatedNetwork(),
            configuration: SimulatedBroker.configuration(journalSegments: journalSegments))
        broker.settle()
        return (broker, TestClient(broker))
    }

    private func value(_ number: Int) -> String { "\(number)-" + String(repeating: "v", count: 3000) }

    private func files(_ disk: SimulatedDisk, _ suffix: String) -> [String] {
        disk.list("/data/group-0").filter { $0.hasSuffix(suffix) }
    }

    /// A journal much shorter than what is kept: old batches come from the archives, also in later lives, and the journal's segments
    /// are used again.
    @Test func whatTheJournalNoLongerHoldsIsArchived() throws {
        let disk = SimulatedDisk()
        var (broker, client) = try make(disk)
        try client.createTopic("t", partitions: 3)
        try client.createTopic("idle")
        try client.produce("idle", ["alone"])
        for turn in 0..<600 { try client.produce("t", [value(turn)], partition: Int32(turn % 3)) }
        for life in 0..<3 {
            #expect(files(disk, ".segment").count <= 6 + 4, "\(files(disk, ".segment"))")
            #expect(disk.list("/data/group-0/archive").filter { $0.hasSuffix(".frames") }.count >= 4)
            for partition in 0..<3 {
                let records = try client.consume("t", partition: Int32(partition))
                #expect(records.map(\.value) == stride(from: partition, to: 600, by: 3).map(value), "life \(life)")
                #expect(records.map(\.offset) == Array(0..<200))
            }
            #expect(try client.consume("idle").map(\.value) == ["alone"])
            if life == 0 { disk.crash() } else { _ = try broker.stop() }
            (broker, client) = try make(disk)
        }
    }

    @Test func timestampsAreFoundInArchives() throws {
        let disk = SimulatedDisk()
        let (_, client) = try make(disk)
        try client.createTopic("t")
        for turn in 0..<300 { try client.produce("t", [value(turn)], timestamp: 1_000_000 + Int64(turn) * 10) }
        for turn in stride(from: 0, to: 300, by: 7) {
            #expect(try client.offset("t", at: 1_000_000 + Int64(turn) * 10 - 5) == Int64(turn))
        }
        #expect(try client.offset("t", at: 2_000_000) == -1)
        #expect(try client.offset("t", at: -3) == 299)
    }

    @Test func retentionBytesBoundsTheDisk() throws {
        let disk = SimulatedDisk()
        let (broker, client) = try make(disk, journalSegments: 100)
        try client.createTopic("t", configs: ["retention.bytes": "\(10 * Self.segment)"])
        for turn in 0..<1000 { try client.produce("t", [value(turn)]) }
        broker.settle()
        #expect(files(disk, ".segment").count <= 11, "\(files(disk, ".segment"))")
        #expect(disk.list("/data/group-0/archive").isEmpty, "what is deleted is not archived first")
        let (start, end) = try client.offsets("t")
        #expect(end == 1000 && start > 700 && start < 900)
        #expect(try client.consume("t", from: start).map(\.value) == (Int(start)..<1000).map(value))
        let answer = try client.ask(TestClient.fetch("t", offset: start - 1), version: 11)
        #expect(answer.topics[0].partitions[0].errorCode == .offsetOutOfRange)
        #expect(try client.ask(TestClient.fetch("t", offset: start), version: 11).topics[0].partitions[0].logStartOffset == start)
    }

    @Test func retentionMsDeletesWhatIsOld() throws {
        let disk = SimulatedDisk()
        let (broker, client) = try make(disk)
        try client.createTopic("t", configs: ["retention.ms": "60000"])
        try client.createTopic("kept", configs: ["retention.ms": "-1"])
        for turn in 0..<100 {
            try client.produce("t", [value(turn)], timestamp: broker.now.wall)
            try client.produce("kept", [value(turn)], timestamp: broker.now.wall)
        }
        for _ in 0..<50 { broker.advance(milliseconds: 1000); broker.settle() }
        #expect(try client.offsets("t").start == 0)
        for _ in 0..<20 { broker.advance(milliseconds: 1000); broker.settle() }
        #expect(try client.offsets("t") == (100, 100))
        #expect(try client.consume("kept").count == 100)
        #expect(try client.produce("t", ["new"]) == 100)
    }

    /// The wall clock jumps a day ahead, and back: nothing is deleted for that.
    @Test func aClockThatJumpsDeletesNothing() throws {
        let disk = SimulatedDisk()
        let (broker, client) = try make(disk)
        try client.createTopic("t", configs: ["retention.ms": "3600000"])
        for turn in 0..<100 { try client.produce("t", [value(turn)], timestamp: broker.now.wall) }
        for jump in [86_400_000, -86_400_000, 3_600_000, -3_600_000] {
            broker.jump(wallMilliseconds: Int64(jump))
            for _ in 0..<60 { broker.advance(milliseconds: 1000); broker.settle() }
            #expect(try client.offsets("t").start == 0)
        }
        // Steady for long enough, it is believed again.
        for _ in 0..<80 { broker.advance(milliseconds: 60_000); broker.settle() }
        // The first client's connection has been idle for too long.
        #expect(try TestClient(broker).offsets("t").start == 100)
    }

    @Test func deletedRecordsAreGoneInEveryLife() throws {
        let disk = SimulatedDisk()
        var (broker, client) = try make(disk)
        try client.createTopic("t")
        for turn in 0..<300 { try client.produce("t", [value(turn)]) }
        func delete(_ offset: Int64) throws -> DeleteRecordsResponse.Partition {
            try client.ask(TestClient.deleteRecords("t", before: offset), version: 1).topics[0].partitions[0]
        }
        #expect(try delete(301).errorCode == .offsetOutOfRange)
        #expect(try delete(-2).errorCode == .offsetOutOfRange)
        #expect(try delete(120).lowWatermark == 120)
        #expect(try delete(50).lowWatermark == 120, "it never goes back")
        for life in 0..<3 {
            #expect(try client.offsets("t") == (120, 300), "life \(life)")
            #expect(try client.consume("t", from: 120).count == 180)
            if life == 0 { disk.crash() } else { _ = try broker.stop() }
            (broker, client) = try make(disk)
        }
        #expect(try delete(-1).lowWatermark == 300)
        #expect(try client.produce("t", ["next"]) == 300)
        broker.settle()
        #expect(disk.list("/data/group-0/archive").isEmpty, "its archives gave their space back")
    }

    @Test func deletedTopicsGiveTheirSpaceBack() throws {
        let disk = SimulatedDisk()
        let (broker, client) = try make(disk)
        try client.createTopic("gone", partitions: 2)
        try client.createTopic("kept")
        for turn in 0..<300 {
            try client.produce("gone", [value(turn)], partition: Int32(turn % 2))
            try client.produce("kept", ["\(turn)"])
        }
        broker.settle()
        let before = disk.list("/data/group-0/archive").count
        #expect(before >= 6)
        var request = DeleteTopicsRequest()
        request.topicNames = ["gone"]
        #expect(try client.ask(request, version: 3).topics.map(\.errorCode) == [.none])
        broker.settle()
        #expect(disk.list("/data/group-0/archive").count == 2)
        #expect(try client.consume("kept").map(\.value) == (0..<300).map { "\($0)" })
    }

    /// The power goes at every stage of many passes.
    @Test(arguments: UInt64(1)...20) func crashesDuringPasses(seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        let disk = SimulatedDisk()
        var produced = [0, 0]
        for life in 0..<12 {
            let (broker, client) = try make(disk, journalSegments: 4)
            if life == 0 { try client.createTopic("t", partitions: 2) }
            for partition in 0..<2 {
                let records = try client.consume("t", partition: Int32(partition))
                #expect(records.count >= produced[partition], "seed \(seed) life \(life)")
                #expect(records.map(\.value) == records.indices.map { value($0) }, "seed \(seed) life \(life)")
                produced[partition] = records.count
            }
            for _ in 0..<Int.random(in: 0...150, using: &random) {
                let partition = Int.random(in: 0..<2, using: &random)
                try client.produce("t", [value(produced[partition])], partition: Int32(partition))
                produced[partition] += 1
            }
            for _ in 0..<Int.random(in: 0...60, using: &random) { broker.step() }
            let mask = random.next()
            disk.crash { path, sector in
                var hash = SeededGenerator(state: mask &+ UInt64(sector) &+ path.utf8.reduce(UInt64(0)) { $0 &* 31 &+ UInt64($1) })
                return hash.next() % 2 == 0
            }
        }
    }

    /// Found when it is read: refused for the moment, then served again.
    @Test func aDamagedIndexIsMadeAgain() throws {
        let disk = SimulatedDisk()
        let (broker, client) = try make(disk, journalSegments: 40)
        try client.createTopic("t")
        for turn in 0..<300 { try client.produce("t", [value(turn)]) }
        broker.settle()
        let path = "/data/group-0/00000000000000000001.index"
        // The header and the rows take two blocks.
        for byte in [2 * 4096 + 100, 2 * 4096 + 4094] { disk.flip(path, byte: byte) }
        let owner = IndexOwner(segment: 1, group: 0)
        func isSound() -> Bool {
            let image = disk.bytes(path)
            return image.withUnsafeBytes { IndexFile.isSound($0.baseAddress!, count: $0.count, owner: owner) }
        }
        #expect(!isSound())
        let first = try client.ask(TestClient.fetch("t", offset: 25), version: 11).topics[0].partitions[0]
        #expect(first.errorCode == .kafkaStorageError)
        broker.settle()
        #expect(isSound())
        #expect(try client.consume("t").map(\.value) == (0..<300).map(value))
    }

    /// At the reserve producers are refused; fetching and deleting go on, and what is deleted makes room again.
    @Test func atTheReserveDeletingGoesOn() throws {
        let disk = SimulatedDisk()
        let (broker, client) = try make(disk, journalSegments: 100)
        try client.createTopic("t")
        try client.createTopic("u")
        var taken = 0
        disk.freeBytes = 12 * Self.segment
        var answer = ErrorCode.none
        while answer == .none, taken < 1000 {
            answer = try client.ask(TestClient.produce("t", [value(taken)]), version: 8).topics[0].partitions[0].errorCode
            if answer == .none { taken += 1 }
        }
        #expect(answer == .kafkaStorageError && taken > 200)
        #expect(try client.consume("t").count == taken)
        let deleted = try client.ask(TestClient.deleteRecords("t", before: -1), version: 1).topics[0].partitions[0]
        #expect(deleted.errorCode == .none && deleted.lowWatermark == Int64(taken))
        broker.settle()
        broker.advance(milliseconds: 1100)
        broker.settle()
        #expect(try client.produce("t", ["again"]) == Int64(taken))
        #expect(try client.produce("u", ["too"]) == 0)
    }
}
