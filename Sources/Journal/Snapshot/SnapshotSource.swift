import Glibc
import IO

/// Gives a replica that is behind the journal's start what it needs, piece by piece, out of the files of a journal that is in use. Nothing is held for
/// it: what is freed meanwhile is gone, and it asks for a new head.
public struct SnapshotSource {
    private let blocking: BlockingFiles
    private let paths: JournalPaths
    private let group: UInt16
    private let segmentBytes: Int
    /// The head that was given last.
    private var head: [UInt8] = []

    public init(blocking: BlockingFiles, paths: JournalPaths, group: UInt16, segmentBytes: Int) {
        self.blocking = blocking
        self.paths = paths
        self.group = group
        self.segmentBytes = segmentBytes
    }

    /// Reads a stretch, and tells how many bytes the file has; nil: it is not there (any more), or can't be had now.
    /// - Parameter end: so far the journal is on this disk, and may be given.
    public mutating func read(_ stretch: SnapshotStretch, end: UInt64) throws(IOError) -> (bytes: [UInt8], size: UInt64)? {
        guard stretch.count > 0, stretch.count <= SnapshotStretch.mostBytes, stretch.offset % UInt64(directAlignment) == 0 else { return nil }
        guard let path = stretch.file.path(paths) else { return try readHead(stretch, end: end) }
        guard stretch.count % directAlignment == 0 else { return nil }
        let file: Int32
        do { file = try blocking.files.open(path, .readDirect) } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
        defer { blocking.files.close(file) }
        let size = try blocking.files.size(file)
        guard stretch.offset < size else { return nil }
        let buffer = AlignedBuffer(uninitialized: stretch.count)
        let count = try blocking.read(file, into: buffer.base, count: stretch.count, offset: stretch.offset)
        return (Array(UnsafeRawBufferPointer(start: buffer.base, count: count)), size)
    }

    private mutating func readHead(_ stretch: SnapshotStretch, end: UInt64) throws(IOError) -> (bytes: [UInt8], size: UInt64)? {
        if stretch.offset == 0 {
            guard let made = try makeHead(end: end) else { return nil }
            head = made.encode(group: group)
        }
        guard stretch.offset < UInt64(head.count) else { return nil }
        let from = Int(stretch.offset)
        return (Array(head[from..<min(head.count, from + stretch.count)]), UInt64(head.count))
    }

    /// The catalog first: what it says is freed only when both checkpoints lie behind, so one that is read later does.
    private func makeHead(end: UInt64) throws(IOError) -> SnapshotHead? {
        guard let catalog = try newestCatalog() else { return nil }
        var newest: Checkpoint?
        for path in paths.checkpoints {
            guard let image = try blocking.contents(path), let found = Checkpoint(image: image), found.position <= end else { continue }
            if found.position >= newest?.position ?? 0 { newest = found }
        }
        return newest.flatMap { SnapshotHead(segmentBytes: segmentBytes, end: end, catalog: catalog, checkpoint: $0) }
    }

    private func newestCatalog() throws(IOError) -> ArchiveCatalog? {
        var newest: ArchiveCatalog?
        for path in paths.catalogs {
            guard let image = try blocking.contents(path), let found = ArchiveCatalog(image: image.base, count: image.count, group: group)
            else { continue }
            if found.generation >= newest?.generation ?? 0 { newest = found }
        }
        return newest
    }
}
