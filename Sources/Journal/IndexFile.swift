// Unsafe on purpose: the file's image is laid out and read in raw memory, within bounds that are checked here.

import CHost
import IO

/// The file of one full segment's index. It follows from the segment, so a missing or damaged one is made again.
///
/// Little endian; a header of 4,096 bytes, then a row of 32 bytes for each partition number, then the entries of 32 bytes,
/// partition by partition, each in order of offsets. The rows of partitions without batches here still tell their next
/// offset, so that the segment of an offset is found by bisection over the files.
///
/// | at | bytes | header field |
/// |---|---|---|
/// | 0 | 4 | magic, "HTI1" |
/// | 4 | 4 | rows |
/// | 8 | 8 | the segment's number |
/// | 16 | 4 | entries |
/// | 20 | 4 | CRC-32C of rows and entries |
/// | 24 | 4 | CRC-32C of the 24 bytes before it |
public enum IndexFile {
    static let magic: UInt32 = 0x3149_5448
    public static let headerBytes = directAlignment

    /// A header, read.
    public struct Header: Sendable, Equatable {
        public var segment: UInt64
        public var rows: UInt32
        public var entries: UInt32
        public var checksum: UInt32

        /// Nil where the bytes are no valid header. At least 28 bytes.
        public init?(_ base: UnsafeRawPointer) {
            func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
                T(littleEndian: base.loadUnaligned(fromByteOffset: at, as: T.self))
            }
            guard get(0, UInt32.self) == magic, get(24, UInt32.self) == hutong_crc32c(0, base, 24) else { return nil }
            rows = get(4)
            segment = get(8)
            entries = get(16)
            checksum = get(20)
        }

        /// Where row number `row` begins in the file.
        public func offset(row: Int) -> UInt64 { UInt64(headerBytes + row * IndexRow.bytes) }

        /// Where entry number `entry` begins in the file.
        public func offset(entry: Int) -> UInt64 { UInt64(headerBytes + (Int(rows) + entry) * MemoryLayout<IndexEntry>.size) }

        /// The bytes of rows and entries.
        public var bodyBytes: Int { (Int(rows) + Int(entries)) * 32 }
    }

    /// The file's whole image, padded to whole blocks.
    public static func image(of index: SegmentIndex) -> AlignedBuffer {
        let rows = index.partitionCount
        let body = (rows + index.count) * 32
        let image = AlignedBuffer(count: headerBytes + body)
        let start = image.base + headerBytes
        var number = 0
        for partition in 0..<rows {
            var row = index.row(partition: partition)
            row.firstEntry = UInt32(number)
            (start + partition * IndexRow.bytes).storeBytes(of: row, as: IndexRow.self)
            for entry in index.all(partition: partition) {
                (start + (rows + number) * 32).storeBytes(of: entry, as: IndexEntry.self)
                number += 1
            }
        }
        func put<T: FixedWidthInteger>(_ value: T, _ at: Int) {
            image.base.storeBytes(of: value.littleEndian, toByteOffset: at, as: T.self)
        }
        put(magic, 0)
        put(UInt32(rows), 4)
        put(index.segment, 8)
        put(UInt32(index.count), 16)
        put(hutong_crc32c(0, start, body), 20)
        put(hutong_crc32c(0, image.base, 24), 24)
        return image
    }

    /// Whether the image is a whole and sound file for that segment.
    public static func isSound(_ image: UnsafeRawPointer, count: Int, segment: UInt64) -> Bool {
        guard count >= headerBytes, let header = Header(image), header.segment == segment,
            header.bodyBytes <= count - headerBytes
        else { return false }
        return hutong_crc32c(0, image + headerBytes, header.bodyBytes) == header.checksum
    }
}

extension IndexFile.Header {
    /// The header of no file: for an index that is in memory.
    public static let none = IndexFile.Header(segment: 0, rows: 0, entries: 0, checksum: 0)

    init(segment: UInt64, rows: UInt32, entries: UInt32, checksum: UInt32) {
        self.segment = segment
        self.rows = rows
        self.entries = entries
        self.checksum = checksum
    }
}
