import Foundation
import Glibc
import Host
import Meters
import Testing

@Suite struct BoardTests {
    private func board() throws -> MeterBoard {
        let machine = Topology(nodes: [.init(id: 0, cores: [[0], [1]])])
        return try MeterBoard(
            BoardDescription(
                version: "1", brokerId: 7, listen: "h:1", advertised: "h:2", dataDirectory: "/d", backend: "io_uring", flushMethod: "linked", isCluster: false,
                plan: PlacementPlan.make(topology: machine)))
    }

    @Test func anotherReaderSeesWhatIsCounted() throws {
        let board = try board()
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("meters-\(getpid())-\(UInt32.random(in: 0...UInt32.max))").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        #expect(throws: BoardError.self) { try MeterReader(dataDirectory: directory) }
        try board.address.write(toFile: "\(directory)/lock", atomically: false, encoding: .utf8)
        let reader = try MeterReader(dataDirectory: directory)
        #expect(reader.description == board.description && reader.processId == getpid() && reader.isAlive)
        let flush = board.meter(of: .flush(0))
        flush.add(.second, 4096)
        flush.set(.depth, 5)
        flush.record(latency: 3_000_000)
        board.requests.add(0, 9)
        board.requests.add(5000)
        board.set(group: 0, .committed, 77)
        let seen = reader.snapshot()
        let index = try #require(seen.description.stages.firstIndex { $0.name == "flush-0" })
        #expect(seen.stages[index].counters[1] == 4096 && seen.stages[index].depth == 5 && seen.stages[index].latencies.count == 1)
        #expect(seen.requests[0] == 9 && seen.requests.last == 1 && seen.groups[0][.committed] == 77)
        #expect(seen.stages.filter { $0.depth > 0 }.count == 1)
    }

    @Test(arguments: ["", "1", "x y", "999999999 3", "1 2 3"]) func whatNamesNoBoardIsRefused(text: String) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("meters-\(UInt32.random(in: 0...UInt32.max))").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try text.write(toFile: "\(directory)/lock", atomically: false, encoding: .utf8)
        #expect(throws: BoardError.self) { try MeterReader(dataDirectory: directory) }
    }

    @Test func anotherProgramsFileIsRefused() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("meters-\(UInt32.random(in: 0...UInt32.max))").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try Data(repeating: 1, count: 5000).write(to: URL(fileURLWithPath: "\(directory)/other"))
        let file = open("\(directory)/other", O_RDONLY)
        defer { close(file) }
        try "\(getpid()) \(file)".write(toFile: "\(directory)/lock", atomically: false, encoding: .utf8)
        #expect(throws: BoardError.self) { try MeterReader(dataDirectory: directory) }
    }

    @Test func bucketsHoldWhatTheySay() {
        for nanoseconds in [0, 1023, 1024, 1279, 1280, 5000, 999_999, 1 << 30, UInt64.max] as [UInt64] {
            let bucket = LatencyBuckets.bucket(of: nanoseconds)
            #expect((0..<LatencyBuckets.count).contains(bucket))
            if bucket < LatencyBuckets.count - 1 { #expect(nanoseconds < LatencyBuckets.limit(bucket), "\(nanoseconds)") }
            if bucket > 0 { #expect(nanoseconds >= LatencyBuckets.limit(bucket - 1), "\(nanoseconds)") }
        }
        #expect((1..<LatencyBuckets.count).allSatisfy { LatencyBuckets.limit($0) > LatencyBuckets.limit($0 - 1) })
        let buckets = Buckets([0, 90, 9, 1])
        #expect(buckets.bucket(of: 0.5) == 1 && buckets.bucket(of: 0.99) == 2 && buckets.bucket(of: 1) == 3 && Buckets([0, 0]).bucket(of: 0.5) == nil)
        #expect(Buckets([5, 7]).since(Buckets([2, 8])).counts == [3, 0])
    }
}
