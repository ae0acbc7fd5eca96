import Codecs
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
    let paths = JournalPaths(directory: "/j")
    private let disk = SimulatedDisk()
    private let blocking: BlockingFiles
    private let image = AlignedBuffer(count: segmentBytes)
    private(set) var position: UInt64 = 0
    private var previous: UInt32 = 0

    init() { blocking = BlockingFiles(files: disk.makePort(), source: DiskSource(disk)) }

    /// Adds a frame behind the last; what is not said is as it should be.
    func add(epoch: UInt32 = 1, previous claimed: UInt32? = nil, at place: UInt64? = nil, flushed: UInt64 = 0, group: UInt16 = 0) throws {
        let batch = try RecordBatch.build([Record(timestamp: 1, value: [1, 2, 3])])
        let at = image.base + Int(position)
        (at + Frame.headerBytes).copyMemory(from: batch, byteCount: batch.count)
        let header = FrameHeader(
            length: UInt32(Frame.headerBytes + batch.count), position: place ?? position, flushed: flushed, epoch: epoch,
            partition: 0, previous: claimed ?? previous, group: group, kind: .batch, time: 0)
        previous = header.write(at: at)
        position += UInt64(Frame.stride(Frame.headerBytes + batch.count))
    }

    /// Destroys a byte of the last `distance` before the end.
    func damage(before end: UInt64) { (image.base + Int(end) - 20).assumingMemoryBound(to: UInt8.self).pointee ^= 1 }

    /// Leaves a gap where a frame could be.
    func skip(_ bytes: Int) { position += UInt64(bytes) }

    func recover() throws -> RecoveredJournal {
        try blocking.replace(paths.segment(0), by: paths.unfinishedSegment, in: paths.directory, with: image)
        let cache = try #require(JournalCache(segmentBytes: Self.segmentBytes, slots: 3, node: nil))
        let recovery = Recovery(
            blocking: blocking, cache: cache, paths: paths, group: 0,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        return try recovery.run(from: nil) { _, _ in }
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
        #expect(found.cutOffEnd == nil)
    }

    /// A tail that an earlier life had cut off: sound frames at their own places, but not in the chain.
    @Test func aFrameOutsideTheChainIsCutOff() throws {
        let journal = HandMadeJournal()
        for _ in 0..<3 { try journal.add() }
        let end = journal.position
        try journal.add(previous: 12345)
        try journal.add()
        let found = try journal.recover()
        #expect(found.position == end && found.frames == 3 && found.cutOffEnd == journal.position)
    }

    @Test func anEpochThatGoesBackIsCutOff() throws {
        let journal = HandMadeJournal()
        try journal.add(epoch: 5)
        let end = journal.position
        try journal.add(epoch: 4)
        let found = try journal.recover()
        #expect(found.position == end && found.highestEpoch == 5)
    }

    @Test func theHighestEpochCountsThoughItIsCutOff() throws {
        let journal = HandMadeJournal()
        try journal.add(epoch: 5)
        journal.skip(8)
        try journal.add(epoch: 9)
        #expect(try journal.recover().highestEpoch == 9)
    }

    /// A segment that was used before, or a write that went astray.
    @Test func aFrameOfAnotherPlaceIsCutOff() throws {
        for (place, group) in [(UInt64(65536 * 7), UInt16(0)), (nil, UInt16(3))] {
            let journal = HandMadeJournal()
            try journal.add()
            let end = journal.position
            try journal.add(at: place, group: group)
            #expect(try journal.recover().position == end)
        }
    }

    @Test func aTornFrameIsCutOff() throws {
        let journal = HandMadeJournal()
        for _ in 0..<3 { try journal.add() }
        let end = journal.position
        try journal.add(flushed: end)
        journal.damage(before: journal.position)
        let found = try journal.recover()
        #expect(found.position == end && found.cutOffEnd != nil)
    }

    /// The same damage, but a later frame knew that what is damaged had been flushed.
    @Test func damageBelowTheFlushedPositionIsNotATornTail() throws {
        let journal = HandMadeJournal()
        for _ in 0..<3 { try journal.add() }
        journal.damage(before: journal.position)
        let flushed = journal.position
        for _ in 0..<3 { try journal.add(flushed: flushed) }
        #expect(throws: JournalError.self) { try journal.recover() }
    }
}
