import CHost
import Codecs
import Journal
import Testing
import Wire

/// Memory for one frame of a batch, and what reads it.
private final class FrameMemory {
    static let journal = JournalIdentity(group: 2, key: 77)
    let batch: [UInt8]
    let base: UnsafeMutableRawPointer
    let count: Int

    init(position: UInt64, previous: UInt32 = 7) throws {
        batch = try RecordBatch.build([Record(timestamp: 1, value: Array("a value of some length".utf8))])
        count = Frame.headerBytes + batch.count
        base = .allocate(byteCount: count, alignment: 64)
        (base + Frame.headerBytes).copyMemory(from: batch, byteCount: batch.count)
        let header = FrameHeader(
            length: UInt32(count), position: position, flushed: 40, epoch: 3, partition: 5, previous: previous, group: 2,
            kind: .batch, time: 1_700_000_000_000)
        _ = header.write(at: base, key: Self.journal.key)
    }

    deinit { base.deallocate() }

    /// Makes the checksum fit what stands there.
    func seal() {
        let covered = Int(base.loadUnaligned(fromByteOffset: 48, as: UInt32.self))
        let sum = hutong_crc32c(hutong_crc32c(Self.journal.key, base, 60), base + Frame.headerBytes, covered)
        base.storeBytes(of: sum, toByteOffset: 60, as: UInt32.self)
    }

    func read(at position: UInt64, available: Int? = nil) -> Result<FrameHeader, FrameHeader.Flaw> {
        FrameHeader.read(at: base, available: available ?? count, position: position, of: Self.journal)
    }
}

@Suite struct FrameTests {
    @Test func whatIsWrittenIsRead() throws {
        let memory = try FrameMemory(position: 4096)
        let header = try memory.read(at: 4096).get()
        #expect(header.position == 4096 && header.flushed == 40 && header.epoch == 3 && header.partition == 5)
        #expect(header.previous == 7 && header.group == 2 && header.kind == .batch && header.time == 1_700_000_000_000)
        #expect(header.payloadBytes == memory.batch.count)
        #expect(header.end == 4096 + UInt64(Frame.stride(memory.count)))
    }

    /// A recycled segment, or a write that went astray: valid, but of another place.
    @Test func aFrameOfAnotherPositionIsNone() throws {
        let memory = try FrameMemory(position: 4096)
        #expect(memory.read(at: 8192) == .failure(.otherPlace))
    }

    /// Another partition group's, or another journal's altogether.
    @Test func aFrameOfAnotherJournalIsNone() throws {
        let memory = try FrameMemory(position: 4096)
        func read(_ journal: JournalIdentity) -> Result<FrameHeader, FrameHeader.Flaw> {
            FrameHeader.read(at: memory.base, available: memory.count, position: 4096, of: journal)
        }
        #expect(read(JournalIdentity(group: 3, key: 77)) == .failure(.otherPlace))
        #expect(read(JournalIdentity(group: 2, key: 78)) == .failure(.badChecksum))
    }

    /// A kind that a later version may add: told from damage.
    @Test func aLaterVersionsFrameIsKnownAsSuch() throws {
        let memory = try FrameMemory(position: 4096)
        memory.base.storeBytes(of: 200, toByteOffset: 38, as: UInt8.self)
        #expect(memory.read(at: 4096) == .failure(.badChecksum))
        memory.seal()
        #expect(memory.read(at: 4096) == .failure(.laterVersion))
    }

    @Test func everyBitCounts() throws {
        let memory = try FrameMemory(position: 4096)
        let bytes = memory.base.assumingMemoryBound(to: UInt8.self)
        for bit in 0..<memory.count * 8 {
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            if case .success = memory.read(at: 4096) { Issue.record("bit \(bit) does not count") }
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        }
        #expect(throws: Never.self) { try memory.read(at: 4096).get() }
    }

    @Test func aFrameThatEndsEarlyIsNone() throws {
        let memory = try FrameMemory(position: 0)
        for available in 0..<memory.count {
            if case .success = memory.read(at: 0, available: available) { Issue.record("\(available) bytes are enough") }
        }
    }

    /// Noise, also behind a plausible beginning, is read without a trap and is never a frame.
    @Test func noise() {
        var random = SystemRandomNumberGenerator()
        let base = UnsafeMutableRawPointer.allocate(byteCount: 512, alignment: 64)
        defer { base.deallocate() }
        var plausible = 0
        for turn in 0..<200_000 {
            for offset in stride(from: 0, to: 512, by: 8) { base.storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self) }
            if turn % 2 == 0 {
                base.storeBytes(of: Frame.magic, as: UInt32.self)
                base.storeBytes(of: UInt32.random(in: 0...600, using: &random), toByteOffset: 4, as: UInt32.self)
                base.storeBytes(of: 64, toByteOffset: 8, as: UInt64.self)
                base.storeBytes(of: UInt8.random(in: 0...4, using: &random), toByteOffset: 38, as: UInt8.self)
                base.storeBytes(of: 0, toByteOffset: 39, as: UInt8.self)
                base.storeBytes(of: 2, toByteOffset: 36, as: UInt16.self)
                base.storeBytes(of: UInt32.random(in: 0...200, using: &random), toByteOffset: 48, as: UInt32.self)
                plausible += 1
            }
            if case .success = FrameHeader.read(at: base, available: 512, position: 64, of: FrameMemory.journal) { Issue.record("noise is a frame") }
        }
        #expect(plausible == 100_000)
    }
}
