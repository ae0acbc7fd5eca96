import Broker
import Host
import IO
import Journal
import Logging
import Metadata
import Simulator
import Testing

/// Snapshots of a journal in use: read piece by piece, and taken in elsewhere.
@Suite struct SnapshotTests {
    private static let segment = 64 << 10
    private let disk = SimulatedDisk()
    private var random = SeededRandom(seed: 5)

    private var blocking: BlockingFiles { BlockingFiles(files: disk.makePort(), source: SimulatedDiskSource(disk)) }

    private func begin() throws -> (SimulatedBroker, TestClient) {
        let broker = try SimulatedBroker(disk: disk, network: SimulatedNetwork(), configuration: SimulatedBroker.configuration(journalSegments: 4))
        broker.settle()
        let client = TestClient(broker)
        try client.createTopic("t", partitions: 3)
        return (broker, client)
    }

    private func produce(_ count: Int, _ client: TestClient) throws {
        for turn in 0..<count { try client.produce("t", ["\(turn)-" + String(repeating: "v", count: 3000)], partition: Int32(turn % 3)) }
    }

    /// A broker's journal, of which a part is archived.
    private func produce(_ count: Int) throws {
        let (broker, client) = try begin()
        try produce(count, client)
        _ = try broker.stop()
    }

    private func identity() throws -> (JournalIdentity, EpochHistory) {
        let state = try EmbeddedStore.open(directory: "/data", blocking: blocking).state
        let starts = (state.epochs[0] ?? []).map { EpochHistory.Start(epoch: $0.epoch, position: $0.position) }
        return (JournalIdentity(group: 0, key: state.journals[0]!.key), EpochHistory(starts))
    }

    private func source() -> SnapshotSource {
        SnapshotSource(blocking: blocking, paths: JournalPaths(directory: "/data/group-0"), group: 0, segmentBytes: Self.segment)
    }

    private func target(reserve: Int = 0) throws -> SnapshotTarget {
        let (journal, epochs) = try identity()
        return try SnapshotTarget(
            blocking: blocking, directory: "/copy", journal: journal, epochs: epochs, segmentBytes: Self.segment, reserveBytes: reserve,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func end() throws -> UInt64 {
        let (journal, epochs) = try identity()
        let findings = try JournalExaminer(journal, directory: "/data/group-0", epochs: epochs, blocking: blocking).explainRecovery()
        let line = try #require(findings.lines.first { $0.contains("frames would be taken, up to position") })
        return try #require(UInt64(line.split(separator: "position ")[1].prefix { $0.isNumber }))
    }

    /// Asks for what is wanted until all is there; `disturb` is called before each piece with how many there were.
    private func copy(
        _ source: inout SnapshotSource, _ target: SnapshotTarget, end: @autoclosure () -> UInt64,
        disturb: (Int, inout SnapshotTarget.Step) throws -> Void = { _, _ in }
    ) throws -> UInt64 {
        var step = target.restart()
        for piece in 0..<2000 {
            try disturb(piece, &step)
            switch step {
            case .wants(let stretch):
                guard let (bytes, size) = try source.read(stretch, end: end()) else {
                    step = target.restart()
                    continue
                }
                step = try target.take(stretch, bytes, size: size)
            case .complete(let end): return end
            case .spoilt: step = target.restart()
            }
        }
        Issue.record("it never ends")
        return 0
    }

    /// The journal up to `end`, and all archives, are the same.
    private func expectCopy(end: UInt64) throws {
        let (journal, epochs) = try identity()
        let findings = try JournalExaminer(journal, directory: "/copy", epochs: epochs, blocking: blocking).verify()
        // A start makes the indexes of segments.
        #expect(findings.lines.filter { $0.hasPrefix("PROBLEM") && !$0.contains("next start makes it again") } == [])
        for name in disk.list("/copy") where name.hasSuffix(".segment") {
            let number = try #require(JournalPaths.number(in: name, suffix: ".segment"))
            let count = Int(min(end - min(end, number * UInt64(Self.segment)), UInt64(Self.segment)))
            let (copied, original) = (disk.bytes("/copy/\(name)"), disk.bytes("/data/group-0/\(name)"))
            #expect(copied.count == Self.segment && copied.prefix(count) == original.prefix(count), "\(name)")
            #expect(copied.dropFirst(count).allSatisfy { $0 == 0 }, "\(name)")
        }
        let archives = disk.list("/data/group-0/archive")
        #expect(archives.contains { $0.hasSuffix(".frames") } && disk.list("/copy/archive") == archives)
    }

    @Test func aWholeCopy() throws {
        try produce(300)
        var source = source()
        let end = try end()
        #expect(try copy(&source, try target(), end: end) == end)
        try expectCopy(end: end)
        // All of it lasts.
        disk.crash()
        try expectCopy(end: end)
    }

    /// The journal goes on meanwhile, and what was asked for is freed: what is there already is not asked for again, as far as it is still right.
    @Test func theJournalGoesOn() throws {
        let (broker, client) = try begin()
        try produce(200, client)
        var source = source()
        let target = try target()
        var end = try end()
        var asked = 0
        let reached = try copy(&source, target, end: end) { piece, step in
            asked = piece
            guard piece == 6 else { return }
            try produce(250, client)
            _ = try broker.stop()
            end = try self.end()
            step = target.restart()
        }
        #expect(reached > 0 && asked > 6)
        // With the head that knows of all.
        #expect(try copy(&source, target, end: end) == end)
        try expectCopy(end: end)
    }

    @Test func whatComesSpoiltIsAskedForAgain() throws {
        try produce(300)
        var source = source()
        let target = try target()
        let end = try end()
        var spoilt = 0
        var step = target.restart()
        loop: for _ in 0..<2000 {
            switch step {
            case .wants(let stretch):
                guard var (bytes, size) = try source.read(stretch, end: end) else { throw SnapshotFailure.gone }
                if case .segment = stretch.file, spoilt < 3, stretch.offset == 0 { bytes[200] ^= 1 }
                step = try target.take(stretch, bytes, size: size)
            case .complete(let reached):
                #expect(reached == end)
                break loop
            case .spoilt:
                spoilt += 1
                step = target.restart()
            }
        }
        #expect(spoilt == 3)
        try expectCopy(end: end)
    }

    private enum SnapshotFailure: Error { case gone }

    @Test func damageInTheJournalIsNotTakenIn() throws {
        try produce(300)
        var source = source()
        let end = try end()
        let number = end / UInt64(Self.segment) - 1
        disk.flip(JournalPaths(directory: "/data/group-0").segment(number), byte: 5000)
        let target = try target()
        var step = target.restart()
        for _ in 0..<2000 {
            guard case .wants(let stretch) = step, let (bytes, size) = try source.read(stretch, end: end) else { break }
            step = try target.take(stretch, bytes, size: size)
        }
        guard case .spoilt(let position) = step else {
            Issue.record("it was taken in: \(step)")
            return
        }
        let start = number * UInt64(Self.segment)
        #expect((start...start + 5000).contains(position))
    }

    @Test func aDiskThatIsFullIsNotFilledFurther() throws {
        try produce(300)
        var source = source()
        let end = try end()
        let target = try target(reserve: 1 << 20)
        disk.freeBytes = 1 << 20
        let used = disk.usedBytes
        #expect(throws: IOError.self) { try copy(&source, target, end: end) }
        #expect(disk.usedBytes == used)
        // Later there is room.
        disk.freeBytes = .max
        #expect(try copy(&source, target, end: end) == end)
        try expectCopy(end: end)
    }

    @Test func whatIsNotThereIsNotGiven() throws {
        try produce(300)
        var source = source()
        let end = try end()
        func read(_ file: SnapshotFile, _ offset: UInt64, _ count: Int) throws -> Int? {
            try source.read(SnapshotStretch(file: file, offset: offset, count: count), end: end)?.bytes.count
        }
        #expect(try read(.segment(0), 0, 4096) == nil)
        #expect(try read(.segment(end / UInt64(Self.segment)), 0, 4096) == 4096)
        #expect(try read(.segment(end / UInt64(Self.segment)), 0, 100) == nil)
        #expect(try read(.segment(end / UInt64(Self.segment)), 5, 4096) == nil)
        #expect(try read(.segment(end / UInt64(Self.segment)), .max & ~4095, 4096) == nil)
        #expect(try read(.segment(.max), 0, 4096) == nil)
        #expect(try read(.archive(ArchiveKey(partition: 99, base: 0)), 0, 4096) == nil)
        #expect(try read(.archive(ArchiveKey(partition: 0, base: 0)), 0, 4096) == 4096)
        #expect(try read(.archive(ArchiveKey(partition: 0, base: 0)), 0, 0) == nil)
        #expect(try read(.head, 0, SnapshotStretch.mostBytes + 1) == nil)
        #expect(try read(.head, 1 << 40, 4096) == nil)
        // Before the checkpoint there is no end.
        #expect(try source.read(SnapshotStretch(file: .head, offset: 0, count: 4096), end: 0) == nil)
    }
}
