// Unsafe on purpose: it reads the bytes of a request in place, after their length has been checked.

import Wire

/// The checks that a record batch must pass before it gets an offset.
enum BatchValidator {
    /// Nil: the bytes are one whole, sound batch. Else what is wrong, as Kafka's clients know it.
    static func flaw(_ records: UnsafeRawBufferPointer, limit: Int) -> ErrorCode? {
        guard records.count >= RecordBatch.headerLength, let base = records.baseAddress else { return .corruptMessage }
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
            T(bigEndian: base.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        // First the magic: what follows has another form before v2.
        guard get(RecordBatch.Field.magic, Int8.self) == RecordBatch.magicV2 else { return .invalidRecord }
        let length = Int(get(RecordBatch.Field.batchLength, Int32.self))
        // Exactly one batch, as every client sends since Produce 3.
        guard length == records.count - RecordBatch.lengthOverhead else {
            return length > 0 && length < records.count - RecordBatch.lengthOverhead ? .invalidRecord : .corruptMessage
        }
        guard records.count <= limit else { return .messageTooLarge }
        guard get(RecordBatch.Field.crc, UInt32.self) == RecordBatch.crc(of: records) else { return .corruptMessage }
        let count = get(RecordBatch.Field.recordCount, Int32.self)
        let lastOffsetDelta = get(RecordBatch.Field.lastOffsetDelta, Int32.self)
        guard count > 0, lastOffsetDelta == count - 1 else { return .invalidRecord }
        let attributes = get(RecordBatch.Field.attributes, Int16.self)
        let forbidden = RecordBatch.Attributes.control | RecordBatch.Attributes.transactional
        guard attributes & forbidden == 0 else { return .invalidRecord }
        guard CompressionType(rawValue: attributes & RecordBatch.Attributes.compressionMask) != nil else {
            return .unsupportedCompressionType
        }
        if get(RecordBatch.Field.producerId, Int64.self) >= 0 {
            guard get(RecordBatch.Field.producerEpoch, Int16.self) >= 0,
                get(RecordBatch.Field.baseSequence, Int32.self) >= 0
            else { return .invalidRecord }
        }
        return nil
    }
}
