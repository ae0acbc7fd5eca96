/// One of the files that a snapshot of a partition group's journal is made of. A snapshot is what a replica needs whose log ends before the leader's
/// journal begins: the archives, the write stage's state at a position (a checkpoint), and the journal from its beginning on.
public enum SnapshotFile: Hashable, Sendable {
    /// What there is (`SnapshotHead`). It is made when its first bytes are asked for.
    case head
    case segment(UInt64)
    case archive(ArchiveKey)
    case archiveIndex(ArchiveKey)

    /// Nil: it is made up.
    func path(_ paths: JournalPaths) -> String? {
        switch self {
        case .head: nil
        case .segment(let number): paths.segment(number)
        case .archive(let key): paths.archive(key)
        case .archiveIndex(let key): paths.archiveIndex(key)
        }
    }
}

/// A stretch of one of a snapshot's files, in bytes. Offsets are multiples of what direct files ask for; so are lengths, but for a head's.
public struct SnapshotStretch: Hashable, Sendable {
    public var file: SnapshotFile
    public var offset: UInt64
    public var count: Int

    public init(file: SnapshotFile, offset: UInt64, count: Int) {
        self.file = file
        self.offset = offset
        self.count = count
    }

    /// So many bytes are asked for at once, at most.
    public static let mostBytes = 1 << 20
}
