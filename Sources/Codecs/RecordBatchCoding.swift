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

    /// Gives the records of a whole batch one after the other, decompressed, but not copied. Its CRC is not checked.
    ///
    /// - Parameter limit: the most bytes that the records may have when decompressed.
    /// - Throws: ``WireError`` or ``CompressionError`` where they can't be read; some may have been given before.
    public static func forEachRecord(
        of batch: UnsafeRawBufferPointer, limit: Int = defaultLimit, _ body: (RawRecord) throws -> Void
    ) throws {
        let header = try RecordBatchHeader(checking: batch)
        try withSection(of: batch, header, limit: limit) { try visit($0, header, body) }
    }

    /// What is left of a batch.
    public enum Remains: Equatable {
        case all
        /// Another batch, of the records that are left, at their offsets.
        case some([UInt8])
        case nothing
    }

    /// Takes records out of a whole batch. The others keep their offsets, and the batch its first and last one, its producer and its codec.
    ///
    /// - Parameter isKept: asked once for each record, in order.
    /// - Throws: as ``forEachRecord(of:limit:_:)``.
    public static func remains(
        of batch: UnsafeRawBufferPointer, limit: Int = defaultLimit, where isKept: (RawRecord) -> Bool
    ) throws -> Remains {
        let header = try RecordBatchHeader(checking: batch)
        return try withSection(of: batch, header, limit: limit) { section in
            var kept: [UnsafeRawBufferPointer] = []
            var newest = Int64.min
            try visit(section, header) { record in
                guard isKept(record) else { return }
                kept.append(record.bytes)
                newest = max(newest, record.timestampDelta)
            }
            if kept.count == Int(header.recordCount) { return .all }
            guard !kept.isEmpty, let compression = header.compression else { return .nothing }
            var left = header
            left.recordCount = Int32(kept.count)
            // A search by time goes by it.
            if !header.isLogAppendTime { left.maxTimestamp = header.baseTimestamp &+ newest }
            var plain: [UInt8] = []
            plain.reserveCapacity(kept.reduce(0) { $0 + $1.count })
            for record in kept { plain.append(contentsOf: record) }
            var bytes: [UInt8] = []
            try left.append(records: try Compression.compress(compression, plain), to: &bytes)
            return .some(bytes)
        }
    }

    /// The records of a section, all of them at offsets that the header allows, ascending.
    private static func visit(_ section: UnsafeRawBufferPointer, _ header: RecordBatchHeader, _ body: (RawRecord) throws -> Void) throws {
        var records = RawRecords(section, count: header.recordCount)
        var last: Int64 = -1
        while let record = records.next() {
            guard record.offsetDelta > last, record.offsetDelta <= Int64(header.lastOffsetDelta) else {
                throw WireError("a record of offset delta \(record.offsetDelta) behind one of \(last), of at most \(header.lastOffsetDelta)")
            }
            last = record.offsetDelta
            try body(record)
        }
        guard records.isSound else { throw WireError("the records of a batch are cut short, or more than it says") }
    }

    private static func withSection<Result>(
        of batch: UnsafeRawBufferPointer, _ header: RecordBatchHeader, limit: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        let section = UnsafeRawBufferPointer(rebasing: batch[headerLength..<header.size])
        guard let compression = header.compression else {
            throw WireError("a record batch of compression type \(header.attributes & Attributes.compressionMask)")
        }
        guard compression != .none else { return try body(section) }
        return try Compression.decompress(compression, section, limit: limit).withUnsafeBytes(body)
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
