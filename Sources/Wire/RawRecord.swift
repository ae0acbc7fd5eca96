// Unsafe on purpose: records are looked at where they lie; every read is checked against the section's end, and each record's against its own.

/// A record of a batch, looked at where it stands, as far as a broker has to know of it. Good as long as its section's memory is.
public struct RawRecord {
    /// All of it, its length before it.
    public let bytes: UnsafeRawBufferPointer
    /// Its timestamp less the batch's base timestamp, in milliseconds.
    public let timestampDelta: Int64
    /// Its offset less the batch's base offset.
    public let offsetDelta: Int64
    /// Nil: it has none.
    public let key: UnsafeRawBufferPointer?
    /// Its value is null: its key is to be forgotten.
    public let isTombstone: Bool
}

/// Goes through the records of a batch's section, which is not compressed (any more), one after the other.
public struct RawRecords {
    private var cursor: RawCursor
    private var left: Int32
    /// What was read so far are records.
    public private(set) var isSound = true

    /// - Parameter count: how many records there have to be, and nothing behind them.
    public init(_ section: UnsafeRawBufferPointer, count: Int32) {
        left = count
        // A pointer to nothing is never read from: the count of bytes is zero.
        cursor = RawCursor(section.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!, count: section.count)
        if count < 0 { spoil() }
    }

    /// The next record; nil: there is none any more, or it is none (`isSound`).
    public mutating func next() -> RawRecord? {
        guard left > 0 else {
            if cursor.remaining > 0 { spoil() }
            return nil
        }
        left -= 1
        let start = cursor.offset
        let length = cursor.varlong()
        guard !cursor.failed, length >= 0, length <= Int64(cursor.remaining) else { return spoil() }
        var record = RawCursor(cursor.base, count: cursor.offset + Int(length), offset: cursor.offset)
        _ = record.integer(Int8.self)
        let timestampDelta = record.varlong()
        let offsetDelta = record.varlong()
        let keyBytes = record.varlong()
        let key = record.bytes(Int(keyBytes), nullable: true)
        let valueBytes = record.varlong()
        _ = record.bytes(Int(valueBytes), nullable: true)
        guard !record.failed else { return spoil() }
        cursor.offset += Int(length)
        return RawRecord(
            bytes: UnsafeRawBufferPointer(start: cursor.base + start, count: cursor.offset - start), timestampDelta: timestampDelta,
            offsetDelta: offsetDelta, key: keyBytes == -1 ? nil : key, isTombstone: valueBytes == -1)
    }

    @discardableResult
    private mutating func spoil() -> RawRecord? {
        isSound = false
        left = 0
        cursor.fail()
        return nil
    }
}
