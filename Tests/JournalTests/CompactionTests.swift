import Codecs
import Glibc
import Host
import IO
import Logging
import Testing
import Wire

@testable import Journal

/// An archive of one partition on a simulated disk, as archiving leaves it.
private final class Archive {
    struct Line: Equatable {
        var offset: Int64
        var key: String?
        var value: String?
    }

    static let partition: UInt32 = 4

    let disk = SimulatedDisk()
    let port: SimulatedFilePort
    let paths = JournalPaths(directory: "/j")
    let journal = JournalIdentity(group: 2, key: 99)
    var catalog: [ArchiveFile] = []
    private var nextOffset: Int64 = 100
    private var position: UInt64 = 0
    private var edition: UInt32 = 0

    init() throws {
        port = disk.makePort()
        try port.makeDirectory("/j")
        try port.makeDirectory("/j/archive")
    }

    /// One more file, with these batches. The names of records without a value begin with "-", those without a key are empty.
    func add(_ batches: [[String]], compression: CompressionType = .none, created: UInt32 = 10) throws {
        var made: [String] = []
        let file = ArchiveFile(base: nextOffset, endOffset: nextOffset, maxTimestamp: .min, dataBytes: 0, indexBlocks: 0, created: created)
        let writer = try ArchiveWriter(file, partition: Archive.partition, group: journal.group, files: port, paths: paths, made: &made)
        for batch in batches {
            let records = batch.enumerated().map { number, name in
                let key = name.isEmpty ? nil : Array(name.drop { $0 == "-" }.utf8)
                return Record(
                    timestamp: 1000 + nextOffset + Int64(number), key: key, value: name.hasPrefix("-") ? nil : Array("\(nextOffset + Int64(number))".utf8))
            }
            var bytes = try RecordBatch.build(records, compression: compression, producerId: 7, producerEpoch: 1, baseSequence: 3)
            bytes.withUnsafeMutableBytes { RecordBatch.place(at: $0.baseAddress!, baseOffset: nextOffset, epoch: 1) }
            let header = FrameHeader(
                length: UInt32(Frame.headerBytes + bytes.count), position: position, flushed: 0, epoch: 1, partition: Archive.partition, previous: 5, group: journal.group,
                kind: .batch, time: 1)
            position = header.end
            while !writer.hasRoom(bytes.count) { try run(writer) }
            bytes.withUnsafeBytes {
                writer.add(IndexEntry(header, batch: $0.baseAddress!), header: header, frame: UnsafeRawBufferPointer(start: nil, count: 0), payload: $0, key: journal.key)
            }
            nextOffset += Int64(batch.count)
        }
        writer.finish()
        try run(writer)
        catalog.append(writer.file)
    }

    private func run(_ writer: ArchiveWriter) throws {
        while writer.write(tag: 1) > 0 {
            repeat { _ = disk.poll() } while try writer.handle(try #require(port.next()).result, tag: 1)
        }
    }

    /// Compacts all that is there. Returns the error, if there is one.
    @discardableResult
    func compact(wall: Int64 = 1_000_000, deleteRetention: Int64 = 1000, limits: CompactionLimits = CompactionLimits()) throws -> IOError? {
        edition += 1
        let order = CompactionOrder(partition: Archive.partition, end: .max, wall: wall, deleteRetention: deleteRetention)
        let pass = CompactionPass(
            order, inputs: catalog, edition: edition, limits: limits, journal: journal, files: port, paths: paths, fileBytes: 64 << 10, tag: 9,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        var now: UInt64 = 1
        for _ in 0..<100_000 {
            let (_, result) = pass.step(now)
            switch result {
            case .failed(let error): return error
            case .done(let files):
                #expect(!pass.isBusy)
                let end = pass.inputs.last?.endOffset ?? 0
                catalog = files + catalog.filter { $0.endOffset > end }
                return nil
            case .underWay: break
            }
            _ = disk.poll()
            while let completion = port.next() { pass.handle(completion) }
            if pass.deadline < .max { now = pass.deadline }
        }
        Issue.record("it never ends")
        return nil
    }

    /// All that a reader finds, in order. What is damaged is left out.
    func lines() throws -> [Line] {
        var lines: [Line] = []
        for file in catalog {
            let reader = try ArchiveReader(file, partition: Archive.partition, group: journal.group, files: port, paths: paths)
            var end = file.base
            reading: while true {
                switch try reader.next() {
                case .end: break reading
                case .needs:
                    reader.read(tag: 2)
                    while disk.isBusy { _ = disk.poll() }
                    try reader.handle(try #require(port.next()).result)
                case .batch(let entry, let frame):
                    #expect(entry.baseOffset >= end)
                    end = entry.nextOffset
                    let position = UInt64(littleEndian: frame.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                    guard case .success = FrameHeader.read(at: frame.baseAddress!, available: frame.count, position: position, of: journal) else { continue }
                    for record in try RecordBatch.records(of: UnsafeRawBufferPointer(rebasing: frame[Frame.headerBytes...])) {
                        lines.append(
                            Line(
                                offset: record.offset, key: record.key.map { String(decoding: $0, as: UTF8.self) },
                                value: record.value.map { String(decoding: $0, as: UTF8.self) }))
                    }
                }
            }
            #expect(end == file.endOffset)
        }
        return lines
    }

    /// What has to be left: of each key the latest record, and the very last one.
    static func latest(_ lines: [Line]) -> [Line] {
        let last = Dictionary(lines.map { ($0.key, $0.offset) }, uniquingKeysWith: max)
        return lines.filter { ($0.key != nil && last[$0.key] == $0.offset) || $0.offset == lines.last?.offset }
    }
}

@Suite struct CompactionTests {
    @Test(arguments: CompressionType.allCases) func ofEachKeyTheLatestIsLeft(compression: CompressionType) throws {
        let archive = try Archive()
        try archive.add([["a", "b", "c"], ["a", "d"]], compression: compression)
        try archive.add([["b", "b", "e"], ["", "a"]], compression: compression)
        let before = try archive.lines()
        #expect(before.map(\.offset) == Array(100..<110))
        #expect(try archive.compact() == nil)
        let after = try archive.lines()
        #expect(after == Archive.latest(before))
        #expect(after.map(\.offset) == [102, 104, 106, 107, 109])
        #expect(archive.catalog.allSatisfy { $0.isClean && $0.edition == 1 } && archive.catalog.last?.endOffset == 110)
        // Once more, with what has come since.
        try archive.add([["c"], ["f"]], compression: compression)
        let more = try archive.lines()
        #expect(try archive.compact() == nil)
        #expect(try archive.lines() == Archive.latest(more))
        #expect(try archive.lines().map(\.offset) == [104, 106, 107, 109, 110, 111])
    }

    /// A batch of which something is left has its producer, its first and last offset, and the time of its newest record.
    @Test func whatIsLeftOfABatchIsABatch() throws {
        let records = (0..<5).map { Record(timestamp: 50 - Int64($0), key: [UInt8($0)], value: [1]) }
        for compression in CompressionType.allCases {
            let batch = try RecordBatch.build(records, compression: compression, producerId: 9, producerEpoch: 2, baseSequence: 40)
            let remains = try batch.withUnsafeBytes { bytes in try RecordBatch.remains(of: bytes) { $0.offsetDelta == 1 || $0.offsetDelta == 3 } }
            guard case .some(let left) = remains else {
                Issue.record("\(remains)")
                return
            }
            let header = try left.withUnsafeBytes { try RecordBatchHeader(checking: $0) }
            #expect(header.lastOffsetDelta == 4 && header.recordCount == 2 && header.producerId == 9 && header.baseSequence == 40)
            #expect(header.maxTimestamp == 49 && header.compression == compression)
            #expect(try RecordBatch.records(of: left) == [1, 3].map {
                var record = records[$0]
                record.offset = Int64($0)
                return record
            })
            #expect(try batch.withUnsafeBytes { bytes in try RecordBatch.remains(of: bytes) { _ in true } } == .all)
            #expect(try batch.withUnsafeBytes { bytes in try RecordBatch.remains(of: bytes) { _ in false } } == .nothing)
        }
    }

    /// They delete their keys when they are cleaned first, and go when readers have had the time to see them; but the log's last record stays.
    @Test func tombstonesGoAfterTheirTime() throws {
        let archive = try Archive()
        try archive.add([["a", "b"], ["-a", "c"]])
        try archive.compact(wall: 10_000)
        #expect(try archive.lines().map(\.offset) == [101, 102, 103])
        try archive.add([["d"]])
        try archive.compact(wall: 10_900)
        #expect(try archive.lines().map(\.offset) == [101, 102, 103, 104], "not before its time")
        try archive.add([["-e"]])
        try archive.compact(wall: 11_200)
        #expect(try archive.lines().map(\.offset) == [101, 103, 104, 105])
        try archive.add([["-f"]])
        try archive.compact(wall: 20_000)
        try archive.add([["-g"]])
        try archive.compact(wall: 30_000)
        #expect(try archive.lines().map(\.offset) == [101, 103, 104, 107])
    }

    /// Cleaned at different times, they are told apart, within bounds; once their tombstones may go it does not matter any more.
    @Test func filesOfOneTimeBecomeOne() throws {
        let archive = try Archive()
        for number in 0..<40 {
            try archive.add([["key \(number)"]])
            try archive.compact(wall: 100_000 + Int64(number) * 10, deleteRetention: 1000)
            #expect(archive.catalog.count <= 18)
        }
        try archive.add([["last"]])
        try archive.compact(wall: 200_000, deleteRetention: 1000)
        #expect(archive.catalog.count == 2)
        #expect(try archive.lines().count == 41)
    }

    /// Where there is no memory for all keys, it takes several passes, and nothing is lost in between.
    @Test func goesOnWhereTheMemoryForKeysWasFull() throws {
        let archive = try Archive()
        for file in 0..<3 {
            try archive.add((0..<40).map { batch in (0..<5).map { "key \((file * 77 + batch * 5 + $0) % 150)" } })
        }
        let before = try archive.lines()
        let limits = CompactionLimits(keyBytes: 1)
        var passes = 0
        while archive.catalog.contains(where: { !$0.isClean }) {
            try archive.compact(limits: limits)
            passes += 1
            let known = Dictionary(try archive.lines().map { ($0.key, $0.offset) }, uniquingKeysWith: max)
            #expect(known == Dictionary(before.map { ($0.key, $0.offset) }, uniquingKeysWith: max))
            guard passes < 100 else { break }
        }
        #expect(passes > 3 && passes < 100)
        #expect(archive.catalog.map(\.base) == archive.catalog.map(\.base).sorted())
    }

    /// Larger than its buffers, in files that stay bounded.
    @Test func manyFilesOfLargeBatches() throws {
        let archive = try Archive()
        let padding = String(repeating: "x", count: 900)
        for file in 0..<3 { try archive.add((0..<60).map { batch in (0..<30).map { "\(padding) \((file * 1000 + batch * 30 + $0) % 1999)" } }) }
        try archive.add([(0..<1500).map { "\(padding) large \($0)" }])
        let before = try archive.lines()
        try archive.compact()
        #expect(try archive.lines() == Archive.latest(before))
        #expect(archive.catalog.count >= 3)
    }

    /// What is damaged can't be told to be replaced, and stays as it is, for readers to be refused; with a damaged index nothing is touched.
    @Test func damageIsNotTakenForGone() throws {
        let archive = try Archive()
        try archive.add([["a"], ["b"], ["c"]])
        try archive.add([["a"], ["b"], ["c"]])
        let file = archive.catalog[0]
        // In the second batch.
        archive.disk.flip(archive.paths.archive(file.key(Archive.partition)), byte: Frame.stride(Frame.headerBytes + 61 + 11) + Frame.headerBytes + 65)
        let before = try archive.lines().map(\.offset)
        #expect(before.count == 5)
        #expect(try archive.compact() == nil)
        #expect(try archive.lines().map(\.offset) == [103, 104, 105])
        #expect(archive.catalog[0].base == 101, "the damaged one")
        archive.disk.flip(archive.paths.archiveIndex(archive.catalog[0].key(Archive.partition)), byte: 40)
        let known = archive.catalog
        #expect(try archive.compact()?.code == EBADMSG)
        #expect(archive.catalog == known)
    }

    @Test func errorsOfTheDriveChangeNothing() throws {
        var failures = 0
        for seed in 0..<60 as Range<UInt64> {
            let archive = try Archive()
            try archive.add([["a", "b"], ["c"]])
            try archive.add([["a"], ["b"]])
            let before = archive.catalog
            var faults = DiskFaults(random: SeededRandom(seed: seed))
            (faults.readError, faults.writeError, faults.syncError, faults.shortWrite) = (40, 40, 40, 100)
            archive.disk.faults = faults
            let error = try archive.compact()
            archive.disk.faults = nil
            if error != nil {
                failures += 1
                #expect(archive.catalog == before)
                #expect(try archive.compact() == nil)
            }
            #expect(try archive.lines().map(\.offset) == [102, 103, 104])
        }
        #expect(failures > 5 && failures < 60)
    }

    @Test func keepsToItsRate() throws {
        let archive = try Archive()
        try archive.add((0..<20).map { batch in (0..<40).map { "key \(batch * 40 + $0)" } })
        #expect(try archive.compact(limits: CompactionLimits(bytesASecond: 1000)) == nil)
        #expect(try archive.lines().count == 800)
    }

    @Test func theTableKnowsTheLatestOffsets() {
        let table = KeyTable(keys: 1000)
        var known: [String: Int64] = [:]
        for number in 0..<3000 as Range<Int64> {
            let key = "key \(number * 7919 % 997)"
            known[key] = number
            Array(key.utf8).withUnsafeBytes { table.note($0, offset: number) }
        }
        #expect(table.count == 997 && table.hasRoom(for: 3))
        for (key, offset) in known { Array(key.utf8).withUnsafeBytes { #expect(table.latest($0) == offset) } }
        [UInt8]().withUnsafeBytes { #expect(table.latest($0) == nil) }
    }
}
