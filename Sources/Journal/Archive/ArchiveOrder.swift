/// What the read stage, which owns the index, tells the archive stage.
public final class ArchiveOrder: Sendable {
    /// Every older segment has its index file.
    public let indexedBelow: UInt64
    /// The generation of the catalog that readers go by.
    public let installed: UInt64
    /// The segments to free, from the journal's first on: what is live in them goes to the archive. Nil: no pass. Empty: only
    /// archives are to be dropped.
    public let free: Range<UInt64>?
    /// Those of them that hold something live; and how many bytes that is.
    public let scanned: Set<UInt64>
    public let liveBytes: UInt64
    /// By partition number where its log starts; `Int64.max`: it was deleted. Partitions beyond its end begin at 0.
    public let logStarts: [Int64]

    /// A segment whose index file is damaged, and is to be made again.
    public let damagedIndex: UInt64?
    /// What is to be compacted, beside all that; nil: nothing new.
    public let compaction: CompactionOrder?

    public init(
        indexedBelow: UInt64, installed: UInt64, free: Range<UInt64>?, scanned: Set<UInt64>, liveBytes: UInt64, logStarts: [Int64],
        damagedIndex: UInt64?, compaction: CompactionOrder? = nil
    ) {
        self.compaction = compaction
        self.scanned = scanned
        self.liveBytes = liveBytes
        self.damagedIndex = damagedIndex
        self.indexedBelow = indexedBelow
        self.installed = installed
        self.free = free
        self.logStarts = logStarts
    }

    public func logStart(_ partition: UInt32) -> Int64 {
        Int(partition) < logStarts.count ? logStarts[Int(partition)] : 0
    }
}

/// What the archive stage tells the read stage.
public final class ArchiveNews: Sendable {
    /// What readers are to go by from now on.
    public let catalog: ArchiveCatalog
    /// What a segment holds whose index file was made again; nil: none was.
    public let repaired: SegmentSummary?
    /// The order to compact that has come to its end, and whether it was carried out; nil: none has.
    public let compaction: (order: CompactionOrder, isDone: Bool)?

    init(_ catalog: ArchiveCatalog, repaired: SegmentSummary? = nil, compaction: (order: CompactionOrder, isDone: Bool)? = nil) {
        self.catalog = catalog
        self.repaired = repaired
        self.compaction = compaction
    }
}
