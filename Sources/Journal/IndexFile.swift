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

    /// What a file is to hold, made block by block, so that none of the many megabytes that it may take is made before it is written.
    public struct Contents {
        private let index: SegmentIndex
        private let owner: IndexOwner
        private let rows: ContiguousArray<IndexRow>
        private let entries: Int
        /// The number of the next block.
        private var block = 0
        /// What comes next in the blocks of entries: a partition's place among the rows, and an entry of it.
        private var row = 0
        private var entry = 0

        public init(of index: SegmentIndex, owner: IndexOwner) {
            self.index = index
            self.owner = owner
            rows = index.summary.rows
            entries = index.count
        }

        private var firstEntryBlock: Int { 1 + IndexBlock.blocks(rows: rows.count) }
        /// How many blocks the file has.
        public var blocks: Int { firstEntryBlock + IndexBlock.blocks(entries: entries) }

        /// Writes up to `count` blocks more to memory that has room for them; returns how many.
        public mutating func next(_ count: Int, to base: UnsafeMutableRawPointer) -> Int {
            let count = min(count, blocks - block)
            for place in 0..<count {
                let at = base + place * IndexBlock.bytes
                at.initializeMemory(as: UInt8.self, repeating: 0, count: IndexBlock.bytes)
                if block == 0 {
                    fillHeader(at)
                } else if block < firstEntryBlock {
                    let first = (block - 1) * IndexBlock.rows
                    for (number, row) in rows[first..<min(first + IndexBlock.rows, rows.count)].enumerated() {
                        at.storeBytes(of: row, toByteOffset: number * IndexBlock.rowBytes, as: IndexRow.self)
                    }
                } else {
                    fillEntries(at)
                }
                IndexBlock.seal(at, number: block, owner: owner)
                block += 1
            }
            return count
        }

        private func fillHeader(_ at: UnsafeMutableRawPointer) {
            at.storeBytes(of: magic.littleEndian, as: UInt32.self)
            at.storeBytes(of: UInt32(rows.count).littleEndian, toByteOffset: 4, as: UInt32.self)
            at.storeBytes(of: index.segment.littleEndian, toByteOffset: 8, as: UInt64.self)
            at.storeBytes(of: UInt32(entries).littleEndian, toByteOffset: 16, as: UInt32.self)
        }

        private mutating func fillEntries(_ at: UnsafeMutableRawPointer) {
            var number = 0
            while number < IndexBlock.entries, row < rows.count {
                let count = min(IndexBlock.entries - number, Int(rows[row].count) - entry)
                index.copy(
                    partition: Int(rows[row].partition), entry..<entry + count, to: at + number * IndexBlock.entryBytes)
                number += count
                entry += count
                if entry == Int(rows[row].count) {
                    row += 1
                    entry = 0
                }
            }
        }
    }

    /// The file's whole image.
    public static func image(of index: SegmentIndex, owner: IndexOwner) -> AlignedBuffer {
        var contents = Contents(of: index, owner: owner)
        let image = AlignedBuffer(uninitialized: contents.blocks * IndexBlock.bytes)
        let count = contents.next(contents.blocks, to: image.base)
        precondition(count * IndexBlock.bytes == image.count, "all of it")
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
