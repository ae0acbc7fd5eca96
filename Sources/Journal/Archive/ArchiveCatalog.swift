// Unsafe on purpose: a small file's image, read and written in raw memory within its checked length.

import CHost
import IO

/// Which file of an archive, of all that there ever were.
public struct ArchiveKey: Hashable, Sendable {
    public var partition: UInt32
    /// The offset of the first record that it may hold.
    public var base: Int64
    /// 0: as it was archived. Else a file that compaction has written; no two of a partition have the same number.
    public var edition: UInt32

    public init(partition: UInt32, base: Int64, edition: UInt32 = 0) {
        self.partition = partition
        self.base = base
        self.edition = edition
    }
}

/// One file of a partition's archive: batches that were moved out of the journal, in order of their offsets.
///
/// The data file is a row of frames, byte for byte as they stood in the journal, but for batches that compaction has taken records
/// from; each pass that appends to it begins at a
/// multiple of 4,096. The index file is a row of `IndexBlock`s with the frames' entries; what a pass does not fill of its last
/// block is filled with entries of no bytes that end where the last batch does.
public struct ArchiveFile: Sendable, Equatable {
    /// The offset of its first record, which also names the files. In a later edition that record may be gone.
    public var base: Int64
    /// Which edition it is (`ArchiveKey.edition`).
    public var edition: UInt32
    /// When its keys were first made unique, in milliseconds since 1970: tombstones go so long after this. 0: they have not been.
    public var cleaned: Int64
    /// The offset behind its last batch.
    public var endOffset: Int64
    /// The greatest timestamp of its batches.
    public var maxTimestamp: Int64
    /// How much of the data file counts, in bytes.
    public var dataBytes: UInt64
    /// How many blocks of the index file count.
    public var indexBlocks: UInt64

    /// Seconds since 1970 when it was begun.
    public var created: UInt32

    public init(
        base: Int64, endOffset: Int64, maxTimestamp: Int64, dataBytes: UInt64, indexBlocks: UInt64, created: UInt32 = 0, edition: UInt32 = 0,
        cleaned: Int64 = 0
    ) {
        self.created = created
        self.edition = edition
        self.cleaned = cleaned
        self.base = base
        self.endOffset = endOffset
        self.maxTimestamp = maxTimestamp
        self.dataBytes = dataBytes
        self.indexBlocks = indexBlocks
    }

    public func key(_ partition: UInt32) -> ArchiveKey { ArchiveKey(partition: partition, base: base, edition: edition) }
    /// Compaction has been through it.
    public var isClean: Bool { cleaned > 0 }
}

/// What of a partition group has been archived, and where its journal begins since: the one truth about both, replaced whole at
/// the end of each pass. What files hold beyond it does not count.
///
/// The file, little endian: magic "HTM2" (4), group (4), generation (8), first segment (8), number of archive files (8); for each,
/// ordered by partition and base: partition (4), seconds since 1970 when it was begun (4), base, end offset, greatest timestamp, data bytes, index blocks (8
/// each), when it was cleaned (8), edition (4), zeros (4); CRC-32C of all that (4). There are two copies.
public final class ArchiveCatalog: Sendable {
    /// Counts the catalogs of this group.
    public let generation: UInt64
    /// The journal's first segment: older ones are free.
    public let firstSegment: UInt64
    /// By partition number the archive's files, oldest first.
    public let files: [UInt32: [ArchiveFile]]

    public init(generation: UInt64, firstSegment: UInt64, files: [UInt32: [ArchiveFile]]) {
        self.generation = generation
        self.firstSegment = firstSegment
        self.files = files
    }

    private static let magic: UInt32 = 0x324D_5448
    private static let headerBytes = 32
    private static let fileBytes = 64

    /// Its file's image.
    public func image(group: UInt16) -> AlignedBuffer {
        let count = files.values.reduce(0) { $0 + $1.count }
        let bytes = ArchiveCatalog.headerBytes + count * ArchiveCatalog.fileBytes
        let image = AlignedBuffer(count: bytes + 4)
        func put<T: FixedWidthInteger>(_ value: T, _ at: Int) {
            image.base.storeBytes(of: value.littleEndian, toByteOffset: at, as: T.self)
        }
        put(ArchiveCatalog.magic, 0)
        put(UInt32(group), 4)
        put(generation, 8)
        put(firstSegment, 16)
        put(UInt64(count), 24)
        var at = ArchiveCatalog.headerBytes
        for partition in files.keys.sorted() {
            for file in files[partition]! {
                put(partition, at)
                put(file.created, at + 4)
                put(file.base, at + 8)
                put(file.endOffset, at + 16)
                put(file.maxTimestamp, at + 24)
                put(file.dataBytes, at + 32)
                put(file.indexBlocks, at + 40)
                put(file.cleaned, at + 48)
                put(file.edition, at + 56)
                at += ArchiveCatalog.fileBytes
            }
        }
        put(hutong_crc32c(0, image.base, bytes), bytes)
        return image
    }

    /// Nil where the image is damaged, or another group's.
    init?(image: UnsafeRawPointer, count: Int, group: UInt16) {
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
            T(littleEndian: image.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        guard count >= ArchiveCatalog.headerBytes, get(0) == ArchiveCatalog.magic, get(4) == UInt32(group) else { return nil }
        let number = get(24, UInt64.self)
        guard number <= UInt64((count - ArchiveCatalog.headerBytes - 4) / ArchiveCatalog.fileBytes) else { return nil }
        let bytes = ArchiveCatalog.headerBytes + Int(number) * ArchiveCatalog.fileBytes
        guard bytes + 4 <= count, get(bytes) == hutong_crc32c(0, image, bytes) else { return nil }
        generation = get(8)
        firstSegment = get(16)
        var files: [UInt32: [ArchiveFile]] = [:]
        for each in 0..<Int(number) {
            let at = ArchiveCatalog.headerBytes + each * ArchiveCatalog.fileBytes
            files[get(at), default: []].append(
                ArchiveFile(
                    base: get(at + 8), endOffset: get(at + 16), maxTimestamp: get(at + 24), dataBytes: get(at + 32),
                    indexBlocks: get(at + 40), created: get(at + 4), edition: get(at + 56), cleaned: get(at + 48)))
        }
        self.files = files
    }

    /// The newer of the two copies that are undamaged. Nil: there is none at all.
    /// - Parameter repairs: makes the other copy the same.
    public static func read(
        paths: JournalPaths, group: UInt16, blocking: BlockingFiles, repairs: Bool = false
    ) throws -> ArchiveCatalog? {
        var best: ArchiveCatalog?
        var isThere = false
        for path in paths.catalogs {
            guard let image = try blocking.contents(path) else { continue }
            isThere = true
            guard let catalog = ArchiveCatalog(image: image.base, count: image.count, group: group) else { continue }
            if catalog.generation >= best?.generation ?? 0 { best = catalog }
        }
        for path in paths.catalogs where best != nil && repairs {
            if let image = try blocking.contents(path),
                ArchiveCatalog(image: image.base, count: image.count, group: group)?.generation == best!.generation { continue }
            try blocking.replace(path, by: paths.unfinishedCatalog, in: paths.directory, with: best!.image(group: group))
        }
        guard best != nil || !isThere else {
            throw JournalError("\(paths.catalogs[0]) and its copy are damaged. Nothing was changed. Restore one of them from a copy.")
        }
        return best
    }
}
