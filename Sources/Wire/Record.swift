/// One record of a batch.
public struct Record: Sendable, Equatable {
    public struct Header: WireStruct {
        public var key = ""
        public var value: [UInt8]?

        public init() {}

        public init(key: String, value: [UInt8]?) {
            self.key = key
            self.value = value
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.varString(&key)
            try wire.varBytes(&value)
        }
    }

    public var offset: Int64
    /// Milliseconds since 1970; ``RecordBatch/noTimestamp`` if there is none.
    public var timestamp: Int64
    public var key: [UInt8]?
    public var value: [UInt8]?
    public var headers: [Header]

    public init(
        offset: Int64 = 0, timestamp: Int64 = RecordBatch.noTimestamp, key: [UInt8]? = nil, value: [UInt8]?,
        headers: [Header] = []
    ) {
        self.offset = offset
        self.timestamp = timestamp
        self.key = key
        self.value = value
        self.headers = headers
    }
}

/// A record as the batch has it: relative to the batch's base offset and timestamp.
private struct RecordBody: WireStruct {
    /// None are defined.
    var attributes: Int8 = 0
    var timestampDelta: Int64 = 0
    var offsetDelta: Int32 = 0
    var key: [UInt8]?
    var value: [UInt8]?
    var headers: [Record.Header] = []

    init() {}

    init(_ record: Record, in header: RecordBatchHeader) throws(WireError) {
        let (offset, offsetOverflow) = record.offset.subtractingReportingOverflow(header.baseOffset)
        let (timestamp, timestampOverflow) = record.timestamp.subtractingReportingOverflow(header.baseTimestamp)
        guard !offsetOverflow, !timestampOverflow, let offsetDelta = Int32(exactly: offset) else {
            throw WireError("a record of offset \(record.offset) is too far from its batch's base \(header.baseOffset)")
        }
        self.offsetDelta = offsetDelta
        timestampDelta = timestamp
        key = record.key
        value = record.value
        headers = record.headers
    }

    mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.sized(
            { wire, size throws(WireError) in
                guard var length = Int32(exactly: size) else { throw WireError("a record of \(size) bytes") }
                try wire.varint(&length)
                size = Int(length)
            },
            { wire throws(WireError) in
                try wire.int8(&attributes)
                try wire.varlong(&timestampDelta)
                try wire.varint(&offsetDelta)
                try wire.varBytes(&key)
                try wire.varBytes(&value)
                try wire.varArray(&headers)
            })
    }

    func record(in header: RecordBatchHeader) throws(WireError) -> Record {
        let (offset, offsetOverflow) = header.baseOffset.addingReportingOverflow(Int64(offsetDelta))
        let (timestamp, timestampOverflow) = header.baseTimestamp.addingReportingOverflow(timestampDelta)
        guard !offsetOverflow, !timestampOverflow else { throw WireError("a record's offset or timestamp overflows") }
        let batchTime = header.isLogAppendTime ? header.maxTimestamp : timestamp
        return Record(offset: offset, timestamp: batchTime, key: key, value: value, headers: headers)
    }
}

extension RecordBatch {
    /// The records section of a batch, before compression. The header's base offset and timestamp are the records' base.
    public static func encodeRecords(_ records: [Record], in header: RecordBatchHeader) throws(WireError) -> [UInt8] {
        var wire = Wire(writing: 0, isFlexible: false)
        for record in records {
            var body = try RecordBody(record, in: header)
            try body.fields(&wire)
        }
        return wire.output
    }

    /// Reads a records section after decompression: as many records as the header says, and nothing else.
    public static func decodeRecords(
        _ bytes: UnsafeRawBufferPointer, in header: RecordBatchHeader
    ) throws(WireError) -> [Record] {
        var wire = Wire(reading: bytes, version: 0, isFlexible: false)
        var records: [Record] = []
        try wire.checkRemaining(Int64(header.recordCount), unit: RecordBody.leastLength)
        for _ in 0..<max(0, header.recordCount) {
            var body = RecordBody()
            try body.fields(&wire)
            records.append(try body.record(in: header))
        }
        try wire.finish()
        return records
    }
}

extension RecordBody {
    /// Length, attributes, two deltas, key, value and header count take at least a byte each.
    fileprivate static var leastLength: Int { 7 }
}
