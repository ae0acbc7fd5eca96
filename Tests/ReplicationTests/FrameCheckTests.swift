import Journal
import Testing

@testable import Replication

@Suite struct FrameCheckTests {
    private static let identity = JournalIdentity(group: 1, key: 5)
    private static let segmentBytes = 4096

    /// Frames of these payload lengths from position 0 on, and where each ends.
    private func journal(_ payloads: [Int], epoch: UInt32 = 3) -> (bytes: [UInt8], ends: [Int]) {
        var bytes: [UInt8] = []
        var ends: [Int] = []
        var previous: UInt32 = 0
        for payload in payloads {
            let stride = Frame.stride(Frame.headerBytes + payload)
            let room = UnsafeMutableRawPointer.allocate(byteCount: stride, alignment: 16)
            defer { room.deallocate() }
            room.initializeMemory(as: UInt8.self, repeating: 0, count: stride)
            let header = FrameHeader(
                length: UInt32(Frame.headerBytes + payload), position: UInt64(bytes.count), flushed: 0, epoch: epoch, partition: Frame.noPartition,
                previous: previous, group: FrameCheckTests.identity.group, kind: .epoch, time: 0)
            previous = header.write(at: room, key: FrameCheckTests.identity.key)
            bytes += UnsafeRawBufferPointer(start: room, count: stride)
            ends.append(bytes.count)
        }
        return (bytes, ends)
    }

    private func take(_ check: inout FrameCheck, _ bytes: ArraySlice<UInt8>) throws -> Int {
        let copy = Array(bytes)
        return try copy.withUnsafeBytes {
            try check.take($0, of: FrameCheckTests.identity, segmentBytes: FrameCheckTests.segmentBytes)
        }
    }

    @Test func onlyWholeFramesCount() throws {
        let (bytes, ends) = journal([32, 100, 8])
        for cut in 0...bytes.count {
            var check = FrameCheck(position: 0, previous: 0, epoch: 0)
            let taken = try take(&check, bytes[..<cut])
            #expect(taken == ends.last { $0 <= cut } ?? 0)
            #expect(check.position == UInt64(taken))
            #expect(try take(&check, bytes[taken...]) == bytes.count - taken, "and it goes on behind them")
        }
    }

    @Test func theUnusableEndOfASegmentIsZeros() throws {
        // Up to 40 bytes before the segment's end, where no header fits.
        let (bytes, _) = journal([FrameCheckTests.segmentBytes - 40 - Frame.headerBytes])
        var check = FrameCheck(position: 0, previous: 0, epoch: 0)
        #expect(try take(&check, bytes[...]) == bytes.count, "the zeros have not come yet")
        #expect(try take(&check, Array(repeating: 0, count: 39)[...]) == 0)
        #expect(try take(&check, Array(repeating: 0, count: 40)[...]) == 40)
        #expect(check.position == UInt64(FrameCheckTests.segmentBytes))
    }

    @Test func whatDoesNotContinueTheJournalIsRefused() {
        let (bytes, ends) = journal([32, 100])
        var elsewhere = FrameCheck(position: 64, previous: 0, epoch: 0)
        #expect(throws: FrameCheck.Failure.self) { try take(&elsewhere, bytes[...]) }
        var behindAnother = FrameCheck(position: 0, previous: 1, epoch: 0)
        #expect(throws: FrameCheck.Failure.self) { try take(&behindAnother, bytes[...]) }
        var later = FrameCheck(position: 0, previous: 0, epoch: 4)
        #expect(throws: FrameCheck.Failure.self) { try take(&later, bytes[...]) }
        // Each byte but those that fill the last word up.
        for byte in 0..<ends[0] {
            var damaged = bytes
            damaged[byte] ^= 0x04
            var check = FrameCheck(position: 0, previous: 0, epoch: 0)
            let taken = try? take(&check, damaged[...])
            // A length that is longer may be one of a frame whose rest is still to come.
            #expect(taken ?? 0 == 0, "byte \(byte)")
        }
    }
}
