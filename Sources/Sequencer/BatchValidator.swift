// Unsafe on purpose: it reads the bytes of a request in place, after their length has been checked.

import Codecs
import Wire

/// The checks that a record batch must pass before it gets an offset.
package enum BatchValidator {
    /// The most bytes that a compressed batch of a compacted topic may have.
    private static let decompressedBytes = 32 << 20

    /// Nil: the bytes are one whole, sound batch. Else what is wrong, as Kafka's clients know it.
    @inline(__always)
    package static func flaw(_ records: UnsafeRawBufferPointer, limit: Int) -> ErrorCode? {
        guard records.count > RecordBatch.Field.magic, let base = records.baseAddress else { return .corruptMessage }
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
            T(bigEndian: base.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        // First the magic: what follows has another form before v2.
        guard get(RecordBatch.Field.magic, Int8.self) == RecordBatch.magicV2 else { return .invalidRecord }
        guard records.count >= RecordBatch.headerLength else { return .corruptMessage }
        guard records.count <= limit else { return .messageTooLarge }
        let length = Int(get(RecordBatch.Field.batchLength, Int32.self))
        // Exactly one batch, as every client sends since Produce 3.
        guard length == records.count - RecordBatch.lengthOverhead else {
            return length > 0 && length < records.count - RecordBatch.lengthOverhead ? .invalidRecord : .corruptMessage
        }
        guard get(RecordBatch.Field.crc, UInt32.self) == RecordBatch.crc(of: records) else { return .corruptMessage }
        let count = get(RecordBatch.Field.recordCount, Int32.self)
        let lastOffsetDelta = get(RecordBatch.Field.lastOffsetDelta, Int32.self)
        guard count > 0, lastOffsetDelta == count - 1 else { return .invalidRecord }
        let attributes = get(RecordBatch.Field.attributes, Int16.self)
        let forbidden = RecordBatch.Attributes.control | RecordBatch.Attributes.transactional | RecordBatch.Attributes.logAppendTime
        guard attributes & forbidden == 0 else {
            // As in Kafka: whether times are the broker's is not the producer's to say.
            return attributes & RecordBatch.Attributes.logAppendTime != 0 ? .invalidTimestamp : .invalidRecord
        }
        guard let compression = CompressionType(rawValue: attributes & RecordBatch.Attributes.compressionMask) else {
            return .unsupportedCompressionType
        }
        // What is compressed passes untouched; what is not can be counted at little cost, it is in the processor's cache.
        if compression == .none && !holds(records, count: count) { return .invalidRecord }
        if get(RecordBatch.Field.producerId, Int64.self) >= 0 {
            guard get(RecordBatch.Field.producerEpoch, Int16.self) >= 0,
                get(RecordBatch.Field.baseSequence, Int32.self) >= 0
            else { return .invalidRecord }
        }
        return nil
    }

    /// Whether each record of a batch without a flaw has a key, as compacted topics need it; and whether it can be read, without which it could never be
    /// compacted. What is compressed is decompressed for it; what is more than `decompressedBytes` then is not taken.
    @inline(never)
    package static func hasKeys(_ records: UnsafeRawBufferPointer) -> Bool {
        var isComplete = true
        do { try RecordBatch.forEachRecord(of: records, limit: decompressedBytes) { if $0.key == nil { isComplete = false } } } catch { return false }
        return isComplete
    }

    /// Whether the uncompressed records are as many as the header says, and end where the batch does.
    @inline(__always)
    private static func holds(_ batch: UnsafeRawBufferPointer, count: Int32) -> Bool {
        var at = batch.baseAddress! + RecordBatch.headerLength
        let end = batch.baseAddress! + batch.count
        for _ in 0..<count {
            guard at < end else { return false }
            var length = Int(at.load(as: UInt8.self))
            at += 1
            var shift = 7
            while length >> (shift - 7) & 0x80 != 0 {
                guard at < end, shift < 35 else { return false }
                length ^= 0x80 << (shift - 7)
                length |= Int(at.load(as: UInt8.self)) << shift
                shift += 7
                at += 1
            }
            // Zig-zag: an odd number would be a negative length.
            guard length & 1 == 0, length >> 1 <= end - at else { return false }
            at += length >> 1
        }
        return at == end
    }
}
