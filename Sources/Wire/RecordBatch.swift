import CHost

/// The record batch of format v2 (KIP-98): one header, then records that may be compressed together.
///
/// The CRC-32C covers what follows it. Base offset, length, leader epoch and magic are outside, so a broker fills in offset
/// and epoch without touching it.
public enum RecordBatch {
    /// Where each field of the header begins, in bytes from the batch's start. All are big-endian.
    public enum Field {
        public static let baseOffset = 0
        public static let batchLength = 8
        public static let partitionLeaderEpoch = 12
        public static let magic = 16
        public static let crc = 17
        public static let attributes = 21
        public static let lastOffsetDelta = 23
        public static let baseTimestamp = 27
        public static let maxTimestamp = 35
        public static let producerId = 43
        public static let producerEpoch = 51
        public static let baseSequence = 53
        public static let recordCount = 57
        public static let records = 61
    }

    /// The parts of the attributes.
    public enum Attributes {
        /// A ``CompressionType``.
        public static let compressionMask: Int16 = 0x07
        /// The timestamps are the broker's (LogAppendTime), not the producer's.
        public static let logAppendTime: Int16 = 0x08
        public static let transactional: Int16 = 0x10
        /// The records are transaction markers.
        public static let control: Int16 = 0x20
        /// The base timestamp is the delete horizon (KIP-534).
        public static let deleteHorizon: Int16 = 0x40
    }

    /// The header's length in bytes.
    public static let headerLength = Field.records
    /// What `batchLength` does not count: base offset and itself, in bytes.
    public static let lengthOverhead = Field.partitionLeaderEpoch
    /// The only format that is served.
    public static let magicV2: Int8 = 2
    public static let noProducerId: Int64 = -1
    public static let noProducerEpoch: Int16 = -1
    public static let noSequence: Int32 = -1
    public static let noTimestamp: Int64 = -1

    /// The CRC-32C of a whole batch: of its bytes from the attributes on. The batch must have its whole header.
    public static func crc(of batch: UnsafeRawBufferPointer) -> UInt32 {
        precondition(batch.count >= headerLength)
        return hutong_crc32c(0, batch.baseAddress! + Field.attributes, batch.count - Field.attributes)
    }
}

extension RecordBatch {
    /// Gives all records of a whole batch the time at which the broker writes them (LogAppendTime): the one thing for which a batch is changed, and gets
    /// another CRC.
    /// - Parameter time: in milliseconds since 1970.
    public static func stamp(_ batch: UnsafeMutableRawBufferPointer, appendTime time: Int64) {
        precondition(batch.count >= headerLength)
        let attributes = Int16(bigEndian: batch.loadUnaligned(fromByteOffset: Field.attributes, as: Int16.self)) | Attributes.logAppendTime
        batch.storeBytes(of: attributes.bigEndian, toByteOffset: Field.attributes, as: Int16.self)
        batch.storeBytes(of: time.bigEndian, toByteOffset: Field.maxTimestamp, as: Int64.self)
        batch.storeBytes(of: crc(of: UnsafeRawBufferPointer(batch)).bigEndian, toByteOffset: Field.crc, as: UInt32.self)
    }

    /// Fills in what a broker does in a batch: two fields that its CRC does not cover.
    @inlinable
    public static func place(at batch: UnsafeMutableRawPointer, baseOffset: Int64, epoch: Int32) {
        batch.storeBytes(of: baseOffset.bigEndian, toByteOffset: Field.baseOffset, as: Int64.self)
        // Together with the length before it: a checksum that reads whole words next would wait for a half one.
        let length = batch.loadUnaligned(fromByteOffset: Field.batchLength, as: UInt32.self)
        let word = UInt64(UInt32(bitPattern: epoch).bigEndian) << 32 | UInt64(length)
        batch.storeBytes(of: word.littleEndian, toByteOffset: Field.batchLength, as: UInt64.self)
    }
}

/// How the records of a batch are compressed: the lowest bits of its attributes.
public enum CompressionType: Int16, Sendable, CaseIterable {
    case none = 0
    case gzip = 1
    case snappy = 2
    case lz4 = 3
    case zstd = 4

    /// The name in Kafka's `compression.type`.
    public var name: String { "\(self)" }
}

/// The header of a record batch, as read from its bytes.
public struct RecordBatchHeader: Sendable, Equatable {
    public var baseOffset: Int64 = 0
    /// Bytes that follow this field.
    public var batchLength: Int32 = 0
    public var partitionLeaderEpoch: Int32 = -1
    public var magic: Int8 = RecordBatch.magicV2
    public var crc: UInt32 = 0
    public var attributes: Int16 = 0
    public var lastOffsetDelta: Int32 = 0
    /// Milliseconds since 1970.
    public var baseTimestamp: Int64 = RecordBatch.noTimestamp
    /// Milliseconds since 1970.
    public var maxTimestamp: Int64 = RecordBatch.noTimestamp
    public var producerId: Int64 = RecordBatch.noProducerId
    public var producerEpoch: Int16 = RecordBatch.noProducerEpoch
    public var baseSequence: Int32 = RecordBatch.noSequence
    public var recordCount: Int32 = 0

    public init() {}

    /// Reads the ``RecordBatch/headerLength`` bytes at `bytes`, which need no alignment, as they are: nothing is checked.
    @inlinable
    public init(at bytes: UnsafeRawPointer) {
        typealias Field = RecordBatch.Field
        baseOffset = Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.baseOffset, as: Int64.self))
        batchLength = Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.batchLength, as: Int32.self))
        partitionLeaderEpoch = Int32(
            bigEndian: bytes.loadUnaligned(fromByteOffset: Field.partitionLeaderEpoch, as: Int32.self))
        magic = bytes.load(fromByteOffset: Field.magic, as: Int8.self)
        crc = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.crc, as: UInt32.self))
        attributes = Int16(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.attributes, as: Int16.self))
        lastOffsetDelta = Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.lastOffsetDelta, as: Int32.self))
        baseTimestamp = Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.baseTimestamp, as: Int64.self))
        maxTimestamp = Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.maxTimestamp, as: Int64.self))
        producerId = Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.producerId, as: Int64.self))
        producerEpoch = Int16(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.producerEpoch, as: Int16.self))
        baseSequence = Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.baseSequence, as: Int32.self))
        recordCount = Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: Field.recordCount, as: Int32.self))
    }

    /// Reads the header of the batch that `batch` begins with, and checks that the whole batch is there and of format v2.
    /// Its CRC is not checked.
    public init(checking batch: UnsafeRawBufferPointer) throws(WireError) {
        guard let base = batch.baseAddress, batch.count >= RecordBatch.headerLength else {
            throw WireError("\(batch.count) bytes are too few for a record batch's header")
        }
        self.init(at: base)
        guard magic == RecordBatch.magicV2 else {
            throw WireError("a record batch of format \(magic), only \(RecordBatch.magicV2) is served")
        }
        guard size >= RecordBatch.headerLength, size <= batch.count else {
            throw WireError("a record batch of \(size) bytes in \(batch.count) bytes")
        }
        guard recordCount >= 0, lastOffsetDelta >= 0 else {
            throw WireError("a record batch of \(recordCount) records whose last offset delta is \(lastOffsetDelta)")
        }
    }

    /// The whole batch's length in bytes. Negative if the length that was read is.
    @inlinable
    public var size: Int { Int(batchLength) + RecordBatch.lengthOverhead }

    /// Nil: a type that the protocol does not have.
    @inlinable
    public var compression: CompressionType? {
        CompressionType(rawValue: attributes & RecordBatch.Attributes.compressionMask)
    }

    @inlinable
    public var isTransactional: Bool { attributes & RecordBatch.Attributes.transactional != 0 }

    @inlinable
    public var isControl: Bool { attributes & RecordBatch.Attributes.control != 0 }

    @inlinable
    public var isLogAppendTime: Bool { attributes & RecordBatch.Attributes.logAppendTime != 0 }

    /// Appends a batch of this header and these records section, with its own length and CRC filled in.
    public func append(records: [UInt8], to bytes: inout [UInt8]) throws(WireError) {
        let size = RecordBatch.headerLength + records.count
        guard let length = Int32(exactly: size - RecordBatch.lengthOverhead) else {
            throw WireError("a record batch of \(size) bytes")
        }
        let start = bytes.count
        bytes.reserveCapacity(start + size)
        Frame.append(baseOffset, to: &bytes)
        Frame.append(length, to: &bytes)
        Frame.append(partitionLeaderEpoch, to: &bytes)
        Frame.append(magic, to: &bytes)
        Frame.append(UInt32(0), to: &bytes)
        Frame.append(attributes, to: &bytes)
        Frame.append(lastOffsetDelta, to: &bytes)
        Frame.append(baseTimestamp, to: &bytes)
        Frame.append(maxTimestamp, to: &bytes)
        Frame.append(producerId, to: &bytes)
        Frame.append(producerEpoch, to: &bytes)
        Frame.append(baseSequence, to: &bytes)
        Frame.append(recordCount, to: &bytes)
        bytes.append(contentsOf: records)
        bytes.withUnsafeMutableBytes { all in
            let batch = UnsafeMutableRawBufferPointer(rebasing: all[start...])
            let crc = RecordBatch.crc(of: UnsafeRawBufferPointer(batch))
            batch.storeBytes(of: crc.bigEndian, toByteOffset: RecordBatch.Field.crc, as: UInt32.self)
        }
    }
}
