// Unsafe on purpose: a file's image, read and written in raw memory within its checked length.

import CHost
import Glibc
import IO
import Wire

/// What the log of a partition of `__consumer_offsets` says up to an offset: a file beside the journal, so that who begins to coordinate its groups reads on from there.
///
/// Little endian: magic "HTO1" (4), CRC-32C of the records (4), the topic's id (16), the partition (4), the number of records (4), the offset (8), when it was made, in milliseconds
/// since 1970 (8), the records' bytes together (8), zeros (4), CRC-32C of these 60 bytes (4); from byte 64 on the records, each as its key's length (4), its value's (4), key and
/// value, in the formats of ``GroupRecord``.
public enum ShardSnapshot {
    /// Of which log it tells, and how far.
    public struct Header: Equatable, Sendable {
        public var topic: Uuid
        public var partition: Int32
        /// All records before it are in the snapshot.
        public var nextOffset: Int64
        /// In milliseconds since 1970.
        public var madeAt: Int64

        public init(topic: Uuid, partition: Int32, nextOffset: Int64, madeAt: Int64) {
            self.topic = topic
            self.partition = partition
            self.nextOffset = nextOffset
            self.madeAt = madeAt
        }
    }

    static let magic: UInt32 = 0x314f_5448
    static let headerBytes = 64
    static let recordHeaderBytes = 8
    /// What is larger is not written: a start reads the log instead.
    static let mostBytes = 1 << 30

    /// - Parameter directory: the journal's.
    static func path(_ directory: String, partition: Int32) -> String { "\(directory)/offsets-\(partition).snapshot" }
    static func unfinished(_ directory: String) -> String { "\(directory)/unfinished.offsets" }
}

/// Makes a snapshot's image, some records at a time.
public struct ShardSnapshotEncoder {
    private let header: ShardSnapshot.Header
    private var rest: Dictionary<String, GroupShard.Entry>.Iterator
    private var records: [UInt8] = []
    public private(set) var recordCount = 0

    /// - Parameter shard: its offset is the header's.
    public init(_ shard: GroupShard, topic: Uuid, partition: Int32, madeAt: Int64) {
        header = ShardSnapshot.Header(topic: topic, partition: partition, nextOffset: shard.nextOffset, madeAt: madeAt)
        rest = shard.entries.makeIterator()
    }

    /// Takes in whole groups, until there are so many records more. Returns the file's image once all are in it.
    public mutating func proceed(records count: Int) throws(WireError) -> AlignedBuffer? {
        let end = recordCount + count
        while recordCount < end {
            guard let (id, entry) = rest.next() else { return image() }
            for record in entry.records(id) {
                let encoded = try record.encode(timestamp: 0)
                append(encoded.key ?? [], encoded.value ?? [])
            }
        }
        return nil
    }

    private mutating func append(_ key: [UInt8], _ value: [UInt8]) {
        for length in [key.count, value.count] { withUnsafeBytes(of: UInt32(length).littleEndian) { records.append(contentsOf: $0) } }
        records += key
        records += value
        recordCount += 1
    }

    private func image() -> AlignedBuffer {
        let image = AlignedBuffer(count: ShardSnapshot.headerBytes + records.count)
        func put<T: FixedWidthInteger>(_ value: T, _ at: Int) { image.base.storeBytes(of: value.littleEndian, toByteOffset: at, as: T.self) }
        records.withUnsafeBytes { if let base = $0.baseAddress { memcpy(image.base + ShardSnapshot.headerBytes, base, $0.count) } }
        put(ShardSnapshot.magic, 0)
        put(hutong_crc32c(0, image.base + ShardSnapshot.headerBytes, records.count), 4)
        put(header.topic.high, 8)
        put(header.topic.low, 16)
        put(header.partition, 24)
        put(UInt32(recordCount), 28)
        put(header.nextOffset, 32)
        put(header.madeAt, 40)
        put(UInt64(records.count), 48)
        put(hutong_crc32c(0, image.base, 60), 60)
        return image
    }
}

/// Reads a snapshot's image, record by record.
public struct ShardSnapshotReader {
    public let header: ShardSnapshot.Header
    public let recordCount: Int
    private let image: AlignedBuffer
    private let end: Int
    private var position = ShardSnapshot.headerBytes
    private var read = 0

    /// Nil: it can't be believed.
    /// - Parameter count: how many bytes of it are the file's.
    public init?(_ image: AlignedBuffer, count: Int) {
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T { T(littleEndian: image.base.loadUnaligned(fromByteOffset: at, as: T.self)) }
        guard count >= ShardSnapshot.headerBytes, get(0, UInt32.self) == ShardSnapshot.magic, get(60, UInt32.self) == hutong_crc32c(0, image.base, 60) else { return nil }
        let bytes = get(48, UInt64.self)
        guard bytes <= UInt64(count - ShardSnapshot.headerBytes), get(4, UInt32.self) == hutong_crc32c(0, image.base + ShardSnapshot.headerBytes, Int(bytes)) else { return nil }
        header = ShardSnapshot.Header(topic: Uuid(high: get(8), low: get(16)), partition: get(24), nextOffset: get(32), madeAt: get(40))
        recordCount = Int(get(28, UInt32.self))
        guard (recordCount == 0) == (bytes == 0), header.nextOffset >= 0, header.madeAt >= 0 else { return nil }
        self.image = image
        end = ShardSnapshot.headerBytes + Int(bytes)
    }

    /// All records have been read.
    public var isAtEnd: Bool { position == end }

    /// The next record; nil: it is of a kind that a later version may know. An error: the image is none that was written so.
    public mutating func next() throws(WireError) -> GroupRecord? {
        let key = try take(lengthAt: position)
        let value = try take(lengthAt: position + 4, after: key.count)
        position += ShardSnapshot.recordHeaderBytes + key.count + value.count
        read += 1
        guard isAtEnd == (read == recordCount) else { throw WireError("a snapshot of \(recordCount) records that has others") }
        return try GroupRecord(Record(timestamp: header.madeAt, key: key, value: value))
    }

    private func take(lengthAt place: Int, after before: Int = 0) throws(WireError) -> [UInt8] {
        let from = position + ShardSnapshot.recordHeaderBytes + before
        guard from <= end else { throw WireError("a snapshot that is cut off") }
        let length = Int(UInt32(littleEndian: image.base.loadUnaligned(fromByteOffset: place, as: UInt32.self)))
        guard length <= end - from else { throw WireError("a snapshot that is cut off") }
        return Array(UnsafeRawBufferPointer(start: image.base + from, count: length))
    }
}
