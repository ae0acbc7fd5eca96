import Wire

extension RecordBatch {
    /// A whole batch of these records, as a producer sends it: from base offset 0, each record at its place.
    ///
    /// The records' own offsets do not matter; their timestamps do.
    ///
    /// - Parameters:
    ///   - baseSequence: of the first record, for an idempotent producer; else ``RecordBatch/noSequence``.
    ///   - attributes: those besides the compression, e.g. ``RecordBatch/Attributes/transactional``.
    public static func build(
        _ records: [Record], compression: CompressionType = .none, producerId: Int64 = noProducerId,
        producerEpoch: Int16 = noProducerEpoch, baseSequence: Int32 = noSequence, attributes: Int16 = 0
    ) throws -> [UInt8] {
        guard let count = Int32(exactly: records.count), count > 0 else {
            throw WireError("a record batch of \(records.count) records")
        }
        var header = RecordBatchHeader()
        header.attributes = attributes & ~Attributes.compressionMask | compression.rawValue
        header.lastOffsetDelta = count - 1
        header.baseTimestamp = records[0].timestamp
        header.maxTimestamp = records.map(\.timestamp).max() ?? noTimestamp
        header.producerId = producerId
        header.producerEpoch = producerEpoch
        header.baseSequence = baseSequence
        header.recordCount = count
        let placed = records.enumerated().map { place, record in
            var record = record
            record.offset = Int64(place)
            return record
        }
        let section = try Compression.compress(compression, try encodeRecords(placed, in: header))
        var bytes: [UInt8] = []
        try header.append(records: section, to: &bytes)
        return bytes
    }

    /// The records of the batch that `batch` begins with, decompressed. Its CRC is checked.
    ///
    /// - Parameter limit: the most bytes that the records may have when decompressed.
    /// - Throws: ``WireError`` or ``CompressionError``.
    public static func records(of batch: UnsafeRawBufferPointer, limit: Int = defaultLimit) throws -> [Record] {
        let header = try RecordBatchHeader(checking: batch)
        let whole = UnsafeRawBufferPointer(rebasing: batch[..<header.size])
        guard crc(of: whole) == header.crc else { throw WireError("a record batch whose CRC is wrong") }
        guard let compression = header.compression else {
            throw WireError("a record batch of compression type \(header.attributes & Attributes.compressionMask)")
        }
        let section = UnsafeRawBufferPointer(rebasing: whole[headerLength...])
        guard compression != .none else { return try decodeRecords(section, in: header) }
        let plain = try Compression.decompress(compression, section, limit: limit)
        return try plain.withUnsafeBytes { try decodeRecords($0, in: header) }
    }

    /// As ``records(of:limit:)-(UnsafeRawBufferPointer,_)``.
    public static func records(of batch: [UInt8], limit: Int = defaultLimit) throws -> [Record] {
        try batch.withUnsafeBytes { try records(of: $0, limit: limit) }
    }

    /// Takes the next whole batch off `rest`, the records of a Fetch's answer; nil if none is left, for the last one may be cut off.
    public static func takeNext(_ rest: inout ArraySlice<UInt8>) throws(WireError) -> ArraySlice<UInt8>? {
        guard rest.count >= headerLength else { return nil }
        let size = rest.withUnsafeBytes { RecordBatchHeader(at: $0.baseAddress!).size }
        guard size >= headerLength else { throw WireError("a record batch of \(size) bytes") }
        guard size <= rest.count else { return nil }
        defer { rest = rest.dropFirst(size) }
        return rest.prefix(size)
    }

    /// Bytes of one batch after decompression that a reader takes unless it says otherwise: the protocol's largest request.
    public static let defaultLimit = 100 << 20
}

extension RecordBatchHeader {
    /// The offset behind the batch's last record, also where compaction has taken that away.
    public func nextOffset() throws(WireError) -> Int64 {
        let (end, overflow) = baseOffset.addingReportingOverflow(Int64(lastOffsetDelta) + 1)
        guard !overflow else { throw WireError("a record batch at offset \(baseOffset)") }
        return end
    }
}
