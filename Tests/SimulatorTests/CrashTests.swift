import Foundation
import IO
import Simulator
import Testing
import Wire

/// Random numbers that a seed determines (SplitMix64, S. Vigna).
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// Power cuts at random moments, with any subset of the unflushed sectors on the disk: whatever was acknowledged is there
/// afterwards, at its offset, once.
@Suite struct CrashTests {
    @Test(arguments: UInt64(1)...40)
    func acknowledgedRecordsSurvive(seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        let disk = SimulatedDisk()
        let groups = Int.random(in: 1...2, using: &random)
        var acknowledged: [Int32: [Int64: String]] = [:]
        var sentCount = 0
        for life in 0..<6 {
            let broker = try SimulatedBroker(
                disk: disk, network: SimulatedNetwork(),
                configuration: SimulatedBroker.configuration(
                    partitionGroups: groups, flushMethod: [.linked, .dsync, .fdatasync].randomElement(using: &random)!))
            broker.settle()
            let client = TestClient(broker)
            if life == 0 { try client.createTopic("t", partitions: 4) }
            try check(client, acknowledged, seed)
            var sent: [Int32: (partition: Int32, value: String)] = [:]
            for _ in 0..<Int.random(in: 1...120, using: &random) {
                let partition = Int32.random(in: 0..<4, using: &random)
                let value = "\(sentCount)-" + String(repeating: "v", count: Int.random(in: 0...4000, using: &random))
                sentCount += 1
                let acks: Int16 = Bool.random(using: &random) ? 1 : -1
                sent[try client.send(TestClient.produce("t", [value], partition: partition, acks: acks), version: 8)] = (partition, value)
                if Int.random(in: 0..<20, using: &random) == 0 { broker.disk.holdsSyncs.toggle() }
                for _ in 0..<Int.random(in: 0...3, using: &random) { broker.step() }
                try take(client, &sent, &acknowledged)
            }
            let percent = Int.random(in: 0...100, using: &random)
            let mask = random.next()
            disk.crash { path, sector in
                var hash = SeededGenerator(state: mask &+ UInt64(sector) &+ path.utf8.reduce(UInt64(0)) { $0 &* 31 &+ UInt64($1) })
                return Int(hash.next() % 100) < percent
            }
            disk.holdsSyncs = false
        }
        let broker = try SimulatedBroker(
            disk: disk, network: SimulatedNetwork(), configuration: SimulatedBroker.configuration(partitionGroups: groups))
        broker.settle()
        try check(TestClient(broker), acknowledged, seed)
        #expect(acknowledged.values.reduce(0) { $0 + $1.count } > 0)
    }

    /// A lost write brings back a frame that an earlier life had written at that place, and recovery had cut off: sound, of the same
    /// partition and the same offset, but of an epoch that was over there.
    @Test func aCutOffFrameThatIsThereAgainIsNotServed() throws {
        let disk = SimulatedDisk()
        let path = "/data/group-0/00000000000000000000.segment"
        func start() throws -> (SimulatedBroker, TestClient) {
            let broker = try SimulatedBroker(
                disk: disk, network: SimulatedNetwork(), configuration: SimulatedBroker.configuration(journalSegments: 40))
            broker.settle()
            return (broker, TestClient(broker))
        }
        func place(of text: String) throws -> Int {
            try #require(Data(disk.bytes(path)).range(of: Data(text.utf8))?.lowerBound)
        }
        // A frame of 192 bytes, as two of those with which epochs begin; and one of 288.
        func value(_ name: String, _ count: Int = 55) -> String { name + String(repeating: ".", count: count - name.utf8.count) }

        var (broker, client) = try start()
        try client.createTopic("t", partitions: 2)
        try client.produce("t", [value("first")])
        disk.holdsSyncs = true
        for (name, partition) in [("x0", 1), ("x1", 1), ("cut off", 0)] {
            try client.send(TestClient.produce("t", [value(name)], partition: Int32(partition)), version: 8)
        }
        for _ in 0..<20 { broker.step() }
        let old = disk.bytes(path)
        let oldPlace = try place(of: "cut off")
        disk.crash()
        disk.holdsSyncs = false

        (broker, client) = try start()
        try client.produce("t", [value("y0", 151)], partition: 1)
        #expect(try client.produce("t", [value("kept")]) == 1)
        #expect(try place(of: "kept") == oldPlace, "both lives wrote it at the same place")
        for turn in 0..<100 { try client.produce("t", [value("\(turn)", 2000)], partition: 1) }
        _ = try broker.stop()
        let frame = oldPlace / 8 * 8 - 192..<oldPlace / 8 * 8 + 192
        let at = try #require(frame.first { $0 % 8 == 0 && Array(old[$0..<$0 + 4]) == Array("HTJ1".utf8) && oldPlace - $0 < 192 })
        disk.overwrite(path, at: at, Array(old[at..<at + 192]))

        (broker, client) = try start()
        let part = try client.ask(TestClient.fetch("t", offset: 1), version: 11).topics[0].partitions[0]
        #expect(part.errorCode == .corruptMessage)
        #expect(try TestClient.records(client.ask(TestClient.fetch("t", offset: 0), version: 11)).map(\.value) == [Array(value("first").utf8)])
    }

    private func take(
        _ client: TestClient, _ sent: inout [Int32: (partition: Int32, value: String)],
        _ acknowledged: inout [Int32: [Int64: String]]
    ) throws {
        for answer in client.answers() {
            let part = try client.decode(ProduceRequest.self, answer.frame, version: 8).topics[0].partitions[0]
            let removed = sent.removeValue(forKey: answer.correlation)
            let original = try #require(removed, "an answer without its request")
            #expect(part.errorCode == .none)
            #expect(acknowledged[original.partition]?[part.baseOffset] == nil, "one offset, one record")
            acknowledged[original.partition, default: [:]][part.baseOffset] = original.value
        }
    }

    private func check(_ client: TestClient, _ acknowledged: [Int32: [Int64: String]], _ seed: UInt64) throws {
        for (partition, records) in acknowledged {
            let found = try client.consume("t", partition: partition)
            #expect(found.map(\.offset) == (0..<Int64(found.count)).map { $0 }, "seed \(seed): no gap")
            #expect(Set(found.map(\.value)).count == found.count, "seed \(seed): each once")
            let byOffset = Dictionary(uniqueKeysWithValues: found.map { ($0.offset, $0.value) })
            for (offset, value) in records { #expect(byOffset[offset] == value, "seed \(seed): offset \(offset) of partition \(partition)") }
        }
    }
}
