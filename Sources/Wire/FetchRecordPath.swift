/// Encodes a Fetch response (v4 to v17) around records that stay where they are: everything but the records, in pieces
/// between which they belong.
public struct FetchResponseHeads: Sendable {
    /// All pieces, one behind the other: the first stands before the first partition's records, the last behind the last's.
    public private(set) var bytes: [UInt8] = []
    /// Where each piece ends in `bytes`.
    public private(set) var ends: [Int] = []
    private let version: Int16
    private var isFlexible: Bool { version >= 12 }

    public init(correlation: Int32, version: Int16, error: ErrorCode, topics: Int) {
        self.version = version
        put(Int32(0))
        put(correlation)
        putTags()
        put(Int32(0))  // throttle time
        if version >= 7 {
            put(error.rawValue)
            put(Int32(0))  // no session
        }
        putCount(topics)
    }

    private mutating func put(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    private mutating func putVarint(_ value: Int) {
        var rest = UInt32(value)
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f | 0x80))
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private mutating func putCount(_ count: Int) { if isFlexible { putVarint(count + 1) } else { put(Int32(count)) } }
    private mutating func putTags() { if isFlexible { bytes.append(0) } }

    /// - Parameter id: what it is called by from version 13 on.
    public mutating func beginTopic(_ name: String, id: Uuid, partitions: Int) {
        if version >= 13 {
            put(id.high)
            put(id.low)
        } else {
            if isFlexible { putVarint(name.utf8.count + 1) } else { put(Int16(name.utf8.count)) }
            bytes.append(contentsOf: name.utf8)
        }
        putCount(partitions)
    }

    /// A partition, up to its records, of which `recordBytes` follow.
    /// - Parameter committedOnly: the reader asks for committed data only, and is told of aborted transactions: none.
    public mutating func partition(
        _ index: Int32, error: ErrorCode, highWatermark: Int64, logStart: Int64, committedOnly: Bool, recordBytes: Int
    ) {
        put(index)
        put(error.rawValue)
        put(highWatermark)
        put(highWatermark)  // the last stable offset, as long as there are no transactions
        if version >= 5 { put(logStart) }
        if committedOnly { putCount(0) } else if isFlexible { putVarint(0) } else { put(Int32(-1)) }
        if version >= 11 { put(Int32(-1)) }  // no other replica is to be preferred
        if isFlexible { putVarint(recordBytes + 1) } else { put(Int32(recordBytes)) }
        ends.append(bytes.count)
        putTags()
    }

    public mutating func endTopic() { putTags() }

    /// Ends it, and fills in the frame's length. `recordBytes` are those of all partitions.
    public mutating func end(recordBytes: Int) {
        putTags()
        ends.append(bytes.count)
        withUnsafeBytes(of: Int32(bytes.count - 4 + recordBytes).bigEndian) { bytes.replaceSubrange(0..<4, with: $0) }
    }
}
