// Unsafe on purpose: the file's image is laid out and read in raw memory, within bounds that are checked here.

import CHost
import IO

/// What an index belongs to. It goes into the checksum of each of its blocks, so that a block of another file, or of another
/// place in the file, is never taken for the right one.
public struct IndexOwner: Hashable, Sendable {
    public var group: UInt16
    /// `Frame.noPartition`: a segment's index; else that of the partition's archive.
    public var partition: UInt32
    /// The segment's number, or the archive's first offset.
    public var number: UInt64

    public init(segment: UInt64, group: UInt16) {
        self.init(group: group, partition: Frame.noPartition, number: segment)
    }

    public init(group: UInt16, partition: UInt32, number: UInt64) {
        self.group = group
        self.partition = partition
        self.number = number
    }
}

/// A block of an index file: 4,096 bytes, of which the last 16 are zeros (8), the block's number in the file (4), and the CRC-32C
/// of owner and block (4). Before them stand up to 127 entries of 32 bytes, or up to 85 rows of 48; little endian.
public enum IndexBlock {
    public static let bytes = 4096
    public static let entries = 127
    static let rows = 85
    static let entryBytes = 32
    static let rowBytes = 48
    private static let numberAt = 4088
    private static let checksumAt = 4092

    private static func checksum(_ block: UnsafeRawPointer, _ owner: IndexOwner) -> UInt32 {
        var sum = UInt32(owner.group)
        withUnsafeBytes(of: (owner.number.littleEndian, UInt64(owner.partition).littleEndian)) {
            sum = hutong_crc32c(sum, $0.baseAddress!, $0.count)
        }
        return hutong_crc32c(sum, block, checksumAt)
    }

    /// Finishes a block whose contents stand there.
    public static func seal(_ block: UnsafeMutableRawPointer, number: Int, owner: IndexOwner) {
        block.storeBytes(of: 0, toByteOffset: 4080, as: UInt64.self)
        block.storeBytes(of: UInt32(truncatingIfNeeded: number).littleEndian, toByteOffset: numberAt, as: UInt32.self)
        block.storeBytes(of: checksum(block, owner).littleEndian, toByteOffset: checksumAt, as: UInt32.self)
    }

    /// Whether it is the owner's block of that number, undamaged.
    public static func isSound(_ block: UnsafeRawPointer, number: Int, owner: IndexOwner) -> Bool {
        let stored = UInt32(littleEndian: block.loadUnaligned(fromByteOffset: numberAt, as: UInt32.self))
        guard stored == UInt32(truncatingIfNeeded: number) else { return false }
        return UInt32(littleEndian: block.loadUnaligned(fromByteOffset: checksumAt, as: UInt32.self)) == checksum(block, owner)
    }

    /// The entry at that place of a block.
    @inlinable
    public static func entry(_ block: UnsafeRawPointer, _ place: Int) -> IndexEntry {
        block.loadUnaligned(fromByteOffset: place * 32, as: IndexEntry.self)
    }

    /// How many blocks so many entries take.
    public static func blocks(entries count: Int) -> Int { (count + entries - 1) / entries }
    static func blocks(rows count: Int) -> Int { (count + rows - 1) / rows }
}

/// The file of one full segment's index. It follows from the segment, so a missing or damaged one is made again.
///
/// A header block: magic "HTI2" (4), rows (4), the segment's number (8), entries (4); then the blocks of rows, ascending by
/// partition; then those of entries, partition by partition, each in order of offsets.
public enum IndexFile {
    static let magic: UInt32 = 0x3249_5448

    /// A header, read.
    public struct Header: Sendable, Equatable {
        public var rows: Int
        public var entries: Int

        /// Nil where the block is not the header of that segment's index.
        public init?(_ block: UnsafeRawPointer, owner: IndexOwner) {
            func get<T: FixedWidthInteger>(_ at: Int, _: T.Type) -> T {
                T(littleEndian: block.loadUnaligned(fromByteOffset: at, as: T.self))
            }
            guard get(0, UInt32.self) == magic, get(8, UInt64.self) == owner.number,
                IndexBlock.isSound(block, number: 0, owner: owner)
            else { return nil }
            rows = Int(get(4, UInt32.self))
            entries = Int(get(16, UInt32.self))
        }

        /// The number of the first block of entries.
        public var firstEntryBlock: Int { 1 + IndexBlock.blocks(rows: rows) }
        /// How many blocks the file has.
        public var blocks: Int { firstEntryBlock + IndexBlock.blocks(entries: entries) }
    }

    /// The file's whole image.
    public static func image(of index: SegmentIndex, owner: IndexOwner) -> AlignedBuffer {
        let summary = index.summary
        let firstEntryBlock = 1 + IndexBlock.blocks(rows: summary.rows.count)
        let blocks = firstEntryBlock + IndexBlock.blocks(entries: index.count)
        let image = AlignedBuffer(count: blocks * IndexBlock.bytes)
        image.base.storeBytes(of: magic.littleEndian, as: UInt32.self)
        image.base.storeBytes(of: UInt32(summary.rows.count).littleEndian, toByteOffset: 4, as: UInt32.self)
        image.base.storeBytes(of: index.segment.littleEndian, toByteOffset: 8, as: UInt64.self)
        image.base.storeBytes(of: UInt32(index.count).littleEndian, toByteOffset: 16, as: UInt32.self)
        var number = 0
        for (place, row) in summary.rows.enumerated() {
            let block = image.base + (1 + place / IndexBlock.rows) * IndexBlock.bytes
            block.storeBytes(of: row, toByteOffset: place % IndexBlock.rows * IndexBlock.rowBytes, as: IndexRow.self)
            index.forEach(partition: Int(row.partition)) { entry in
                let block = image.base + (firstEntryBlock + number / IndexBlock.entries) * IndexBlock.bytes
                block.storeBytes(
                    of: entry, toByteOffset: number % IndexBlock.entries * IndexBlock.entryBytes, as: IndexEntry.self)
                number += 1
            }
        }
        for block in 0..<blocks { IndexBlock.seal(image.base + block * IndexBlock.bytes, number: block, owner: owner) }
        return image
    }

    /// The rows of a file that begins so; nil where it is damaged, or not that segment's.
    /// - Parameter count: how many bytes there are, at least the header's and the rows' blocks.
    public static func summary(_ image: UnsafeRawPointer, count: Int, owner: IndexOwner) -> SegmentSummary? {
        guard count >= IndexBlock.bytes, let header = Header(image, owner: owner),
            header.firstEntryBlock * IndexBlock.bytes <= count
        else { return nil }
        var rows = ContiguousArray<IndexRow>()
        rows.reserveCapacity(header.rows)
        for number in 1..<max(header.firstEntryBlock, 1) {
            let block = image + number * IndexBlock.bytes
            guard IndexBlock.isSound(block, number: number, owner: owner) else { return nil }
            for place in 0..<min(IndexBlock.rows, header.rows - rows.count) {
                rows.append(block.loadUnaligned(fromByteOffset: place * IndexBlock.rowBytes, as: IndexRow.self))
            }
        }
        guard rows.allSatisfy({ Int($0.firstEntry) + Int($0.count) <= header.entries }) else { return nil }
        return SegmentSummary(segment: owner.number, rows: rows)
    }

    /// Whether the image is a whole and undamaged file.
    public static func isSound(_ image: UnsafeRawPointer, count: Int, owner: IndexOwner) -> Bool {
        guard count >= IndexBlock.bytes, let header = Header(image, owner: owner), header.blocks * IndexBlock.bytes <= count
        else { return false }
        return (0..<header.blocks).allSatisfy {
            IndexBlock.isSound(image + $0 * IndexBlock.bytes, number: $0, owner: owner)
        }
    }
}
