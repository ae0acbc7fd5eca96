/// Where the files of one partition group's journal are.
public struct JournalPaths: Sendable {
    public let directory: String

    public init(directory: String) { self.directory = directory }

    /// Where a partition group's journal is in a broker's data directory.
    public static func directory(in data: String, group: some BinaryInteger) -> String { "\(data)/group-\(group)" }

    public func segment(_ number: UInt64) -> String { "\(directory)/\(JournalPaths.padded(number)).segment" }
    public func index(_ number: UInt64) -> String { "\(directory)/\(JournalPaths.padded(number)).index" }
    /// A segment that is being zeroed: nothing until it is renamed.
    public var unfinishedSegment: String { "\(directory)/unfinished.segment" }
    public var unfinishedRepair: String { "\(directory)/unfinished.repair" }
    /// A segment's index until it is whole: a new file, or a freed segment's, written over.
    public func unfinishedIndex(_ number: UInt64) -> String { "\(directory)/\(JournalPaths.padded(number))\(JournalPaths.unfinishedIndexSuffix)" }
    public static let unfinishedIndexSuffix = ".unfinished-index"
    /// The newest checkpoint and the one before it, in either order.
    public var checkpoints: [String] { ["\(directory)/checkpoint-0", "\(directory)/checkpoint-1"] }
    public var unfinishedCheckpoint: String { "\(directory)/unfinished.checkpoint" }
    /// The archive's catalog and its copy.
    public var catalogs: [String] { ["\(directory)/archive.catalog", "\(directory)/archive.catalog.copy"] }
    public var unfinishedCatalog: String { "\(directory)/unfinished.catalog" }
    public var archive: String { "\(directory)/archive" }
    public func archive(_ key: ArchiveKey) -> String { "\(name(key)).frames" }
    public func archiveIndex(_ key: ArchiveKey) -> String { "\(name(key)).index" }

    private func name(_ key: ArchiveKey) -> String {
        let edition = key.edition > 0 ? "-\(key.edition)" : ""
        return "\(archive)/\(key.partition)-\(JournalPaths.padded(UInt64(max(key.base, 0))))\(edition)"
    }

    /// The number in a segment's or an index's file name; nil where the name is another's.
    public static func number(in name: String, suffix: String) -> UInt64? {
        guard name.hasSuffix(suffix), name.utf8.count == 20 + suffix.utf8.count else { return nil }
        return UInt64(name.dropLast(suffix.count))
    }

    private static func padded(_ number: UInt64) -> String {
        let digits = String(number)
        return String(repeating: "0", count: 20 - digits.count) + digits
    }
}
