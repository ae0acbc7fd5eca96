// Unsafe on purpose: images of small files are read and written in raw memory, within their checked lengths.

import CHost
import IO

/// What a snapshot consists of: the archives of the catalog, the journal from the catalog's first segment up to `end`, and the write stage's state at a
/// position between the two.
///
/// Encoded, little endian: magic "HTS1" (4), the partition group (4), segment size (8), end (8), length of the catalog's image (8), length of the
/// checkpoint's image (8), CRC-32C of these 40 bytes (4); the images, which have checksums of their own.
public struct SnapshotHead: Sendable {
    private static let magic: UInt32 = 0x3153_5448
    private static let headerBytes = 44
    /// No head has more bytes, and none tells of more segments.
    static let mostBytes = 1 << 30
    private static let mostSegments: UInt64 = 1 << 24

    public let segmentBytes: Int
    /// Where the journal ends that is given; all before it is on the giver's stable storage.
    public let end: UInt64
    public let catalog: ArchiveCatalog
    public let checkpoint: Checkpoint

    /// Nil where the parts don't fit together: the checkpoint is of what is not given.
    public init?(segmentBytes: Int, end: UInt64, catalog: ArchiveCatalog, checkpoint: Checkpoint) {
        let (start, overflows) = catalog.firstSegment.multipliedReportingOverflow(by: UInt64(segmentBytes))
        guard !overflows, start <= checkpoint.position, checkpoint.position <= end, end < UInt64(Int64.max),
            (end - start) / UInt64(segmentBytes) < SnapshotHead.mostSegments
        else { return nil }
        self.segmentBytes = segmentBytes
        self.end = end
        self.catalog = catalog
        self.checkpoint = checkpoint
    }

    /// Nil where it is damaged, or of another group, or of segments of another size.
    public init?(_ bytes: [UInt8], group: UInt16, segmentBytes: Int) {
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
            bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: T.self)) }
        }
        let fixed = SnapshotHead.headerBytes
        guard bytes.count >= fixed, get(0) == SnapshotHead.magic, get(4) == UInt32(group), get(8) == UInt64(segmentBytes),
            get(40) == bytes.withUnsafeBytes({ hutong_crc32c(0, $0.baseAddress, 40) })
        else { return nil }
        let (catalogBytes, checkpointBytes) = (get(24, UInt64.self), get(32, UInt64.self))
        guard catalogBytes <= UInt64(bytes.count), checkpointBytes <= UInt64(bytes.count),
            UInt64(bytes.count) == UInt64(fixed) + catalogBytes + checkpointBytes
        else { return nil }
        let images = AlignedBuffer(count: Int(catalogBytes)), rest = AlignedBuffer(count: Int(checkpointBytes))
        bytes.withUnsafeBytes {
            if catalogBytes > 0 { images.base.copyMemory(from: $0.baseAddress! + fixed, byteCount: Int(catalogBytes)) }
            if checkpointBytes > 0 { rest.base.copyMemory(from: $0.baseAddress! + fixed + Int(catalogBytes), byteCount: Int(checkpointBytes)) }
        }
        guard let catalog = ArchiveCatalog(image: images.base, count: Int(catalogBytes), group: group),
            checkpointBytes >= UInt64(CheckpointFile.stateAt), let checkpoint = Checkpoint(image: rest)
        else { return nil }
        self.init(segmentBytes: segmentBytes, end: get(16), catalog: catalog, checkpoint: checkpoint)
    }

    public func encode(group: UInt16) -> [UInt8] {
        let images = [catalog.image(group: group), CheckpointFile.image(of: checkpoint)]
        var bytes: [UInt8] = []
        bytes.reserveCapacity(SnapshotHead.headerBytes + images.reduce(0) { $0 + $1.count })
        func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
        put(SnapshotHead.magic)
        put(UInt32(group))
        put(UInt64(segmentBytes))
        put(end)
        for image in images { put(UInt64(image.count)) }
        put(bytes.withUnsafeBytes { hutong_crc32c(0, $0.baseAddress, $0.count) })
        for image in images { bytes.append(contentsOf: UnsafeRawBufferPointer(start: image.base, count: image.count)) }
        return bytes
    }

    /// All its files, and how many bytes of each are given. The last segment is the one that goes on at `end`.
    public var files: [(file: SnapshotFile, bytes: UInt64)] {
        var files: [(SnapshotFile, UInt64)] = []
        for (partition, mine) in catalog.files.sorted(by: { $0.key < $1.key }) {
            for file in mine {
                files.append((.archive(file.key(partition)), file.dataBytes))
                files.append((.archiveIndex(file.key(partition)), file.indexBlocks * UInt64(IndexBlock.bytes)))
            }
        }
        let segment = UInt64(segmentBytes)
        for number in catalog.firstSegment...end / segment {
            files.append((.segment(number), min(segment, end - number * segment)))
        }
        return files
    }
}
