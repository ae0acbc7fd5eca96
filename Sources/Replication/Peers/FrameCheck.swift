// Unsafe on purpose: it reads frames of the journal where they came from another broker, within the bytes that have come.

import Journal

/// Checks the journal's bytes as they come from another broker: each frame's checksums, that it stands at its own place, and that it continues
/// what was there before. Only whole frames count.
struct FrameCheck: Equatable {
    /// Where the next frame begins.
    private(set) var position: UInt64
    /// The checksum of the frame before.
    private(set) var previous: UInt32
    private(set) var epoch: UInt32

    init(position: UInt64, previous: UInt32, epoch: UInt32) {
        self.position = position
        self.previous = previous
        self.epoch = epoch
    }

    /// What came is not what was sent, or does not continue the journal.
    struct Failure: Error, Equatable, CustomStringConvertible {
        var position: UInt64
        var reason: String

        var description: String { "at position \(position), \(reason)" }
    }

    /// Goes on with the bytes that begin at `position`. Returns how many of them are whole frames.
    mutating func take(_ bytes: UnsafeRawBufferPointer, of journal: JournalIdentity, segmentBytes: Int) throws(Failure) -> Int {
        var taken = 0
        while true {
            let left = segmentBytes - Int(position % UInt64(segmentBytes))
            let available = bytes.count - taken
            if left < Frame.headerBytes {
                guard available >= left else { return taken }
                position += UInt64(left)
                taken += left
                continue
            }
            guard available >= Frame.headerBytes, let base = bytes.baseAddress else { return taken }
            let frame = base + taken
            let length = Int(UInt32(littleEndian: frame.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
            guard length >= Frame.headerBytes, Frame.stride(length) <= left else { throw Failure(position: position, reason: "no frame has \(length) bytes") }
            guard Frame.stride(length) <= available else { return taken }
            let header: FrameHeader
            switch FrameHeader.read(at: frame, available: available, position: position, of: journal) {
            case .success(let read): header = read
            case .failure(let flaw): throw Failure(position: position, reason: "the frame is damaged (\(flaw))")
            }
            guard header.previous == previous, header.epoch >= epoch else {
                throw Failure(
                    position: position,
                    reason: "a frame of epoch \(header.epoch) behind \(header.previous) does not continue epoch \(epoch), \(previous)")
            }
            guard header.kind != .batch || header.partition <= Frame.lastPartition else {
                throw Failure(position: position, reason: "no partition has number \(header.partition)")
            }
            previous = header.checksum
            epoch = header.epoch
            position = header.end
            taken += Frame.stride(length)
        }
    }
}
