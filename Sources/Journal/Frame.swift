// Unsafe on purpose: the format is read and written in place, in the journal's memory; every access is within the bounds
// that the callers state.

import CHost
import Wire

/// What a frame holds.
public enum FrameKind: UInt8, Sendable, BitwiseCopyable {
    /// A Kafka record batch (v2), as it came but for base offset and leader epoch.
    case batch = 1
    /// The beginning of an epoch.
    case epoch = 2
    /// The rest of a segment into which the next frame did not fit.
    case padding = 3
    /// A partition's log begins later from here on (`LogStartFrame`).
    case logStart = 4
}

/// Which journal a frame belongs to. The key is random, made with the journal, and known to no client: frames' checksums begin
/// with it, so that bytes which a producer sends are never taken for a frame, nor a frame of another journal for one of this.
public struct JournalIdentity: BitwiseCopyable, Hashable, Sendable {
    /// The partition group.
    public var group: UInt16
    public var key: UInt32

    public init(group: UInt16, key: UInt32) {
        self.group = group
        self.key = key
    }
}

/// The journal's frame: a header of 64 bytes, little endian, before each payload. Frames begin at multiples of 8 and
/// don't cross a segment's end; where less than a header is left of a segment, zeros fill it.
///
/// | at | bytes | field |
/// |---|---|---|
/// | 0 | 4 | magic, "HTJ1" |
/// | 4 | 4 | length of header and payload, in bytes |
/// | 8 | 8 | its own position in the journal |
/// | 16 | 8 | the flushed position known when it was written |
/// | 24 | 4 | epoch |
/// | 28 | 4 | partition's number within the group; 0xffffffff where it belongs to none |
/// | 32 | 4 | the predecessor's checksum; 0 for a journal's first frame |
/// | 36 | 2 | partition group |
/// | 38 | 1 | kind |
/// | 39 | 1 | zero |
/// | 40 | 8 | milliseconds since 1970 when it was written |
/// | 48 | 4 | how much of the payload the checksum covers, in bytes |
/// | 52 | 8 | zeros |
/// | 60 | 4 | checksum: CRC-32C, begun with the journal's key, over the 60 bytes before it and the covered part of the payload |
///
/// The covered part of a batch is its first 21 bytes, up to and with the batch's own CRC, and that covers the rest; of padding
/// it is nothing; of everything else the whole payload. So every byte is under one of the two checksums, and none is read twice
/// for them (docs/decisions/frame-checksum.md). A frame of a kind that a later version has added can still be told from
/// damage: its checksum fits.
public enum Frame {
    public static let magic: UInt32 = 0x314A_5448
    public static let headerBytes = 64
    public static let noPartition: UInt32 = .max
    /// The greatest partition number that a frame can bear.
    public static let lastPartition: UInt32 = (1 << 26) - 1
    @usableFromInline static let checksumAt = 60
    /// Base offset, length, leader epoch, magic and CRC of a batch: what the batch's CRC does not cover, and itself.
    static let coveredBatchBytes = 21

    /// How far the frame after one of `length` bytes is.
    @inlinable
    public static func stride(_ length: Int) -> Int { (length + 7) & ~7 }

    /// How many payload bytes the frame's own checksum covers.
    @inlinable
    static func covered(_ kind: FrameKind, payload: Int) -> Int {
        switch kind {
        case .batch: min(payload, 21)
        case .epoch, .logStart: payload
        case .padding: 0
        }
    }
}

/// A frame's header, read.
public struct FrameHeader: BitwiseCopyable, Equatable, Sendable {
    public var length: UInt32
    public var position: UInt64
    public var flushed: UInt64
    public var epoch: UInt32
    public var partition: UInt32
    public var previous: UInt32
    public var group: UInt16
    public var kind: FrameKind
    public var time: Int64
    public var checksum: UInt32

    @inlinable
    public init(
        length: UInt32, position: UInt64, flushed: UInt64, epoch: UInt32, partition: UInt32, previous: UInt32,
        group: UInt16, kind: FrameKind, time: Int64
    ) {
        self.length = length
        self.position = position
        self.flushed = flushed
        self.epoch = epoch
        self.partition = partition
        self.previous = previous
        self.group = group
        self.kind = kind
        self.time = time
        checksum = 0
    }

    /// The payload's length in bytes.
    public var payloadBytes: Int { Int(length) - Frame.headerBytes }

    /// The position behind the frame, where the next one begins.
    public var end: UInt64 { position + UInt64(Frame.stride(Int(length))) }

    /// Writes the header before the payload that already stands at `base + 64`; returns the checksum.
    /// - Parameter key: the journal's.
    @inlinable
    public func write(at base: UnsafeMutableRawPointer, key: UInt32) -> UInt32 {
        // By whole words, as the checksum reads them: a load of what two smaller stores have just left would wait for both.
        func put(_ at: Int, _ low: UInt64, _ high: UInt64 = 0) {
            base.storeBytes(of: (low | high << 32).littleEndian, toByteOffset: at, as: UInt64.self)
        }
        let covered = Frame.covered(kind, payload: Int(length) - Frame.headerBytes)
        put(0, UInt64(Frame.magic), UInt64(length))
        put(8, position)
        put(16, flushed)
        put(24, UInt64(epoch), UInt64(partition))
        put(32, UInt64(previous), UInt64(group) | UInt64(kind.rawValue) << 16)
        put(40, UInt64(bitPattern: time))
        put(48, UInt64(covered))
        put(56, 0)
        var sum = hutong_crc32c(key, base, Frame.checksumAt)
        sum = hutong_crc32c(sum, base + Frame.headerBytes, covered)
        base.storeBytes(of: sum.littleEndian, toByteOffset: Frame.checksumAt, as: UInt32.self)
        return sum
    }

    /// Why bytes are not a frame.
    public enum Flaw: Error, Equatable, Sendable {
        /// No magic: nothing was written here, or something else.
        case noMagic
        /// A length that is too small, or reaches beyond what there is.
        case badLength
        /// What stands here says that it belongs elsewhere: a recycled segment, or a misdirected write.
        case otherPlace
        /// A sound frame of a kind that only a later version knows.
        case laterVersion
        /// The frame's checksum does not fit.
        case badChecksum
        /// The batch's own CRC does not fit.
        case badBatch
    }

    /// Reads and checks the frame that should stand at `position`.
    /// - Parameter available: how many bytes there are from `base` on.
    public static func read(
        at base: UnsafeRawPointer, available: Int, position: UInt64, of journal: JournalIdentity
    ) -> Result<FrameHeader, Flaw> {
        guard available >= Frame.headerBytes else { return .failure(.badLength) }
        return read(
            header: base, payload: base + Frame.headerBytes, available: available, position: position, of: journal)
    }

    /// As `read(at:available:position:of:)`, where header and payload need not lie together.
    public static func read(
        header base: UnsafeRawPointer, payload body: UnsafeRawPointer, available: Int, position: UInt64,
        of journal: JournalIdentity
    ) -> Result<FrameHeader, Flaw> {
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
            T(littleEndian: base.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        guard get(0, UInt32.self) == Frame.magic else { return .failure(.noMagic) }
        guard get(8, UInt64.self) == position, get(36, UInt16.self) == journal.group else { return .failure(.otherPlace) }
        let length = get(4, UInt32.self)
        guard length >= Frame.headerBytes, Int(length) <= available else { return .failure(.badLength) }
        let payload = Int(length) - Frame.headerBytes
        let covered = Int(get(48, UInt32.self))
        guard covered <= payload else { return .failure(.badChecksum) }
        var sum = hutong_crc32c(journal.key, base, Frame.checksumAt)
        sum = hutong_crc32c(sum, body, covered)
        guard sum == get(Frame.checksumAt, UInt32.self) else { return .failure(.badChecksum) }
        guard let kind = FrameKind(rawValue: get(38)), covered == Frame.covered(kind, payload: payload),
            get(39, UInt8.self) == 0, get(52, UInt64.self) == 0
        else { return .failure(.laterVersion) }
        var header = FrameHeader(
            length: length, position: position, flushed: get(16), epoch: get(24), partition: get(28),
            previous: get(32), group: journal.group, kind: kind, time: get(40))
        header.checksum = sum
        if kind == .batch && !batchIsSound(body, payload: payload) { return .failure(.badBatch) }
        return .success(header)
    }

    /// Reads the header of a frame that has been checked; nil where it is none.
    public init?(checked base: UnsafeRawPointer) {
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
            T(littleEndian: base.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        guard get(0, UInt32.self) == Frame.magic, let kind = FrameKind(rawValue: get(38)) else { return nil }
        self.init(
            length: get(4), position: get(8), flushed: get(16), epoch: get(24), partition: get(28), previous: get(32), group: get(36),
            kind: kind, time: get(40))
        checksum = get(Frame.checksumAt)
    }

    /// Whether the batch's CRC, which the frame's checksum covers, covers the rest rightly.
    private static func batchIsSound(_ batch: UnsafeRawPointer, payload: Int) -> Bool {
        guard payload >= RecordBatch.headerLength else { return false }
        let stored = UInt32(bigEndian: batch.loadUnaligned(fromByteOffset: RecordBatch.Field.crc, as: UInt32.self))
        let from = RecordBatch.Field.attributes
        return hutong_crc32c(0, batch + from, payload - from) == stored
    }
}
