import CHost
import Codecs
import Foundation
import Host
import IO
import Journal
import Logging
import Testing
import Wire

/// Lets a simulated disk be waited for.
private final class DiskSource: EventSource {
    let disk: SimulatedDisk
    let waker = Waker {}

    init(_ disk: SimulatedDisk) { self.disk = disk }

    func attach() {}
    func poll() -> Int { disk.poll() }
    func wait(nanoseconds: UInt64) {}
}

/// Segments of frames that a test lays down by hand, and what recovery makes of them.
private final class HandMadeJournal {
    static let segmentBytes = 64 << 10
    static let identity = JournalIdentity(group: 0, key: 4711)
    let paths = JournalPaths(directory: "/j")
    let disk = SimulatedDisk()
    private let blocking: BlockingFiles
    private let image = AlignedBuffer(count: segmentBytes)
    private(set) var position: UInt64 = 0
    private var previous: UInt32 = 0
    private(set) var ends: [UInt64] = []

    init() { blocking = BlockingFiles(files: disk.makePort(), source: DiskSource(disk)) }

    /// Adds a frame behind the last; what is not said is as it should be.
    func add(
        epoch: UInt32 = 1, previous claimed: UInt32? = nil, at place: UInt64? = nil, flushed: UInt64 = 0,
        journal: JournalIdentity = identity, bytes: Int = 3
    ) throws {
        let batch = try RecordBatch.build([Record(timestamp: 1, value: [UInt8](repeating: 7, count: bytes))])
        let at = image.base + Int(position)
        (at + Frame.headerBytes).copyMemory(from: batch, byteCount: batch.count)
        let header = FrameHeader(
            length: UInt32(Frame.headerBytes + batch.count), position: place ?? position, flushed: flushed, epoch: epoch,
            partition: 0, previous: claimed ?? previous, group: journal.group, kind: .batch, time: 0)
        previous = header.write(at: at, key: journal.key)
        position += UInt64(Frame.stride(Frame.headerBytes + batch.count))
        ends.append(position)
    }

    /// Fills the segment up.
    func pad() {
        let header = FrameHeader(
            length: UInt32(Self.segmentBytes) - UInt32(position), position: position, flushed: 0, epoch: 1, partition: Frame.noPartition, previous: previous,
            group: Self.identity.group, kind: .padding, time: 0)
        previous = header.write(at: image.base + Int(position), key: Self.identity.key)
        position = UInt64(Self.segmentBytes)
        ends.append(position)
    }

    /// Destroys a byte.
    func damage(at position: UInt64) { (image.base + Int(position)).assumingMemoryBound(to: UInt8.self).pointee ^= 1 }

    /// Destroys a byte of the frame that ends there.
    func damage(before end: UInt64) { (image.base + Int(end) - 20).assumingMemoryBound(to: UInt8.self).pointee ^= 1 }

    /// Nothing was ever written there: the drive lost it.
    func lose(_ range: Range<UInt64>) {
        (image.base + Int(range.lowerBound)).initializeMemory(as: UInt8.self, repeating: 0, count: range.count)
    }

    /// A frame that only a later version knows takes the place of the one that begins there.
    func makeLater(at position: UInt64) {
        let at = image.base + Int(position)
        at.storeBytes(of: 99, toByteOffset: 38, as: UInt8.self)
        let sum = hutong_crc32c(hutong_crc32c(Self.identity.key, at, 60), at + Frame.headerBytes, 21)
        at.storeBytes(of: sum, toByteOffset: 60, as: UInt32.self)
    }

    /// Copies the frame that begins at one place to another.
    func copy(from: UInt64, to: UInt64, bytes: Int) {
        (image.base + Int(to)).copyMemory(from: image.base + Int(from), byteCount: bytes)
    }

    /// Leaves a gap where a frame could be.
    func skip(_ bytes: Int) { position += UInt64(bytes) }

    struct Counter: JournalVisitor {
        var frames: [UInt64] = []
        mutating func frame(_ header: FrameHeader, _ payload: UnsafeRawPointer) { frames.append(header.position) }
        mutating func damaged(_ range: Range<UInt64>) {}
    }

    private(set) var taken: [UInt64] = []

    func recover(
        epochs: [(UInt32, UInt64)] = [], checkpoint: Checkpoint? = nil, isReplica: Bool = false
    ) throws -> RecoveredJournal {
        try blocking.replace(paths.segment(0), by: paths.unfinishedSegment, in: paths.directory, with: image)
        let memory = AlignedBuffer(count: Self.segmentBytes)
        let reader = SegmentReader(
            blocking: blocking, paths: paths, journal: Self.identity, segmentBytes: Self.segmentBytes,
            epochs: EpochHistory(epochs.map { EpochHistory.Start(epoch: $0.0, position: $0.1) }), memory: memory.base)
        var recovery = try Recovery(reader: reader, paths: paths, segments: 0...0, checkpoint: checkpoint, isReplica: isReplica)
        var counter = Counter()
        defer { taken = counter.frames }
        return try recovery.run(&counter)
    }
}

@Suite struct RecoveryTests {
    @Test func nothingThere() throws {
        let found = try HandMadeJournal().recover()
        #expect(found.position == 0 && found.frames == 0 && found.cutOffEnd == nil)
    }

    @Test func allThere() throws {
        let journal = HandMadeJournal()
        for _ in 0..<10 { try journal.add() }
        try journal.add(epoch: 2)
        let found = try journal.recover()
        #expect(found.position == journal.position && found.frames == 11 && found.highestEpoch == 2)
        #expect(found.cutOffEnd == nil && found.damaged.isEmpty)
    }

    @Test func theHighestEpochCountsThoughItIsCutOff() throws {
        let journal = HandMadeJournal()
        try journal.add(epoch: 5)
        journal.skip(8)
        try journal.add(epoch: 9)
        #expect(try journal.recover().highestEpoch == 9)
    }

    /// What looks like a torn end may have been acknowledged by a replica: others may know. Alone, it was never promised.
    @Test func aReplicasSpoiltEndIsDamage() throws {
        let journal = HandMadeJournal()
        for _ in 0..<5 { try journal.add() }
        let last = journal.ends[3]
        journal.damage(before: journal.position)
        let alone = try journal.recover()
        #expect(alone.position == last && alone.damaged.isEmpty && !alone.isEndUnknown)
        let replica = try journal.recover(isReplica: true)
        #expect(replica.damaged == [last..<journal.ends[4]] && replica.isEndUnknown && replica.frames == 4)
    }

    /// Of its last frame some blocks were never written: so nobody was told that it is there.
    @Test func aReplicasUnfinishedFrameIsCutOff() throws {
        let journal = HandMadeJournal()
        for _ in 0..<3 { try journal.add() }
        let last = journal.position
        try journal.add(bytes: 3000)
        journal.lose((last / 512 + 2) * 512..<UInt64(HandMadeJournal.segmentBytes))
        let found = try journal.recover(isReplica: true)
        #expect(found.position == last && found.damaged.isEmpty && !found.isEndUnknown)
    }

    /// Wherever its header has rotted, but for its magic, length and position, by which it is known. All of padding behind its header is zeros.
    @Test(arguments: 16..<UInt64(Frame.headerBytes), [false, true])
    func aReplicasLastHeaderIsBroken(byte: UInt64, isPadding: Bool) throws {
        let journal = HandMadeJournal()
        for _ in 0..<3 { try journal.add() }
        let last = journal.position
        if isPadding { journal.pad() } else { try journal.add(bytes: 300) }
        journal.damage(at: last + byte)
        let found = try journal.recover(isReplica: true)
        #expect(found.isEndUnknown && found.damaged.first?.lowerBound == last && found.frames == 3)
    }

    /// Its header was not written to its end: zeros stand behind a block's end.
    @Test func aReplicasUnfinishedHeaderIsCutOff() throws {
        let journal = HandMadeJournal()
        while journal.position % 512 < 456 { try journal.add(bytes: 1) }
        let last = journal.position
        try journal.add(bytes: 3000)
        journal.lose((last / 512 + 1) * 512..<UInt64(HandMadeJournal.segmentBytes))
        let found = try journal.recover(isReplica: true)
        #expect(found.position == last && found.damaged.isEmpty && !found.isEndUnknown)
        #expect((last + 60) / 512 > last / 512, "the header lies in two blocks")
    }

    /// A block that can't be read looks like zeros, but does not tell that its frame was never written.
    @Test(arguments: [3, 5000]) func whatCannotBeReadIsNotUnfinished(bytes: Int) throws {
        let journal = HandMadeJournal()
        for _ in 0..<3 { try journal.add() }
        let last = journal.position
        try journal.add(bytes: bytes)
        if bytes < 4096 { journal.damage(before: journal.position) }
        journal.disk.badBlocks[journal.paths.segment(0)] = [1]
        let found = try journal.recover(isReplica: true)
        #expect(found.isEndUnknown && found.damaged.first?.lowerBound == last && found.frames == 3)
    }

    /// Later blocks were written and earlier ones were not: a replica says that it does not know what was there.
    @Test func aReplicasGapIsDamage() throws {
        let journal = HandMadeJournal()
        for _ in 0..<5 { try journal.add() }
        let (from, end) = (journal.ends[1], journal.ends[2])
        journal.lose(from..<end)
        let alone = try journal.recover()
        #expect(alone.position == from && alone.damaged.isEmpty)
        let replica = try journal.recover(isReplica: true)
        #expect(replica.damaged == [from..<end] && replica.position == journal.position && !replica.isEndUnknown)
    }

    /// An epoch's first frames were lost by the drive, and what an earlier life had cut off there stands in their place, in the
    /// chain: only the recorded start of the epoch gives it away.
    @Test func whatWasCutOffDoesNotComeBackInPlaceOfALostWrite() throws {
        let journal = HandMadeJournal()
        for _ in 0..<5 { try journal.add(epoch: 1) }
        let cut = journal.ends[2]
        try journal.add(epoch: 2, previous: 99, flushed: journal.ends[4])
        let believed = try journal.recover()
        #expect(believed.frames == 5, "without the record it passes")
        let found = try journal.recover(epochs: [(1, 0), (2, cut)])
        #expect(found.damaged == [cut..<journal.ends[4]])
        #expect(journal.taken == [0, journal.ends[0], journal.ends[1], journal.ends[4]])
    }

    /// Behind damage the walk goes on, several times; in the end a torn tail is cut off.
    @Test func theRestIsServed() throws {
        let journal = HandMadeJournal()
        for number in 0..<12 { try journal.add(flushed: number > 0 ? journal.ends[number - 1] : 0) }
        for number in [2, 3, 7] { journal.damage(before: journal.ends[number]) }
        try journal.add(flushed: journal.ends[11])
        journal.damage(before: journal.position)
        let ends = journal.ends
        let found = try journal.recover()
        #expect(found.damaged == [ends[1]..<ends[3], ends[6]..<ends[7]])
        #expect(found.frames == 9 && found.position == ends[11])
        #expect(found.ending == .broken)
    }

    /// After a clean stop the checkpoint knows how far everything was on disk.
    @Test func rotInTheVeryLastFrameIsNotATornTailAfterACleanStop() throws {
        let journal = HandMadeJournal()
        for _ in 0..<4 { try journal.add() }
        let end = journal.position
        journal.damage(before: end)
        #expect(try journal.recover().position == journal.ends[2], "alone it can't be told from a torn write")
        let checkpoint = Checkpoint(position: end, previous: 1234, epoch: 1, state: [])
        let found = try journal.recover(checkpoint: checkpoint)
        #expect(found.damaged == [journal.ends[2]..<end])
        #expect(found.position == end && found.previous == 1234)
    }

    /// A block that can't be read is damage, and costs no more than its frames.
    @Test func whatCannotBeReadIsDamage() throws {
        let journal = HandMadeJournal()
        for number in 0..<120 { try journal.add(flushed: number > 0 ? journal.ends[number - 1] : 0) }
        journal.disk.badBlocks["/j/00000000000000000000.segment"] = [2]
        let found = try journal.recover()
        let range = try #require(found.damaged.first)
        #expect(found.damaged.count == 1 && range.lowerBound <= 8192 && range.upperBound >= 12288)
        #expect(range.count < 4096 + 2 * 256)
        #expect(found.position == journal.position)
    }

    // MARK: The table

    /// Lays the finding down behind three sound frames, below or above the flushed position, and looks what recovery does.
    @Test(arguments: Finding.allCases, [true, false]) func everyCaseOfTheTable(finding: Finding, isDurable: Bool) throws {
        let journal = HandMadeJournal()
        for _ in 0..<3 { try journal.add(epoch: 3) }
        let at = journal.position
        switch finding {
        case .frame, .broken, .unreadable, .nothing, .laterVersion: try journal.add(epoch: 3)
        case .foreign: try journal.add(epoch: 3, previous: 99)
        case .otherPlace: try journal.add(epoch: 3, at: 7 * 65536)
        }
        let end = journal.position
        switch finding {
        case .broken: journal.damage(before: end)
        case .nothing: journal.lose(at..<end)
        case .laterVersion: journal.makeLater(at: at)
        case .unreadable:
            journal.disk.badBlocks["/j/00000000000000000000.segment"] = [Int(at) / 4096]
        case .frame, .foreign, .otherPlace: break
        }
        // What follows is out of the bad block's way.
        if finding == .unreadable { journal.skip(4096 - Int(journal.position % 4096)) }
        let next = journal.position
        try journal.add(epoch: 3, previous: finding == .frame ? nil : 1, flushed: isDurable ? next : 0)
        let verdict = RecoveryRule.verdict(finding, isDurable: isDurable)
        if verdict == .refuse {
            #expect(throws: JournalError.self) { try journal.recover() }
            return
        }
        let found = try journal.recover()
        switch verdict {
        case .take: #expect(found.frames == 5 && found.position == journal.position && found.damaged.isEmpty)
        case .damaged:
            let from = finding == .unreadable ? 0 : at
            #expect(found.damaged == [from..<next])
            #expect(found.position == journal.position && journal.taken.last == next)
        case .end, .cutOff:
            let from = finding == .unreadable ? 0 : at
            #expect(found.position == from && found.damaged.isEmpty && found.ending == finding)
        case .refuse: break
        }
    }

    /// The table as the documentation prints it.
    @Test func theTableIsDocumented() throws {
        let page = try String(contentsOfFile: #filePath.replacing("Tests/JournalTests/RecoveryTests.swift", with: "docs/JOURNAL.md"), encoding: .utf8)
        for finding in Finding.allCases {
            let row = "| `\(finding.rawValue)` | \(RecoveryRule.verdict(finding, isDurable: true).rawValue) | \(RecoveryRule.verdict(finding, isDurable: false).rawValue) |"
            #expect(page.contains(row), "\(row)")
        }
    }
}
