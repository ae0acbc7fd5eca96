import Host
import Journal
import Metadata

/// Which of a partition's archive is compacted, and when.
struct CompactionRule: Equatable {
    let settings: CompactionSettings

    /// Nil: the topic is not compacted.
    init?(_ settings: TopicSettings) {
        guard settings.cleanup.contains(.compact) else { return nil }
        self.settings = settings.compaction
    }

    /// What is to be compacted now, and how much of it is dirty; nil: nothing.
    /// - Parameters:
    ///   - files: the partition's archive, oldest first.
    ///   - wall: milliseconds since 1970.
    func order(_ partition: UInt32, _ files: [ArchiveFile], wall: Int64) -> (order: CompactionOrder, ratio: Double)? {
        let clean = files.prefix(while: \.isClean)
        let dirty = files.dropFirst(clean.count).prefix { settings.minLagMs == 0 || $0.maxTimestamp < wall - settings.minLagMs }
        guard let oldest = dirty.first, let newest = dirty.last else { return nil }
        let dirtyBytes = dirty.reduce(0.0) { $0 + Double($1.dataBytes) }
        let ratio = dirtyBytes / (dirtyBytes + clean.reduce(0.0) { $0 + Double($1.dataBytes) })
        guard ratio >= settings.minDirtyRatio || isOverdue(Int64(oldest.created) * 1000, wall: wall) else { return nil }
        return (CompactionOrder(partition: partition, end: newest.endOffset, wall: wall, deleteRetention: settings.deleteRetentionMs), ratio)
    }

    /// Whether what is from that time must not be left as it is any longer.
    func isOverdue(_ time: Int64, wall: Int64) -> Bool { settings.maxLagMs < .max && time >= 0 && time < wall - settings.maxLagMs }
}

extension ReadStage {
    /// After an attempt that failed a partition is left alone for so long, in nanoseconds.
    private static let rest: UInt64 = 600_000_000_000
    /// A snapshot whose pieces are being asked for consists of files that compaction would replace: so long it waits for the next piece, in nanoseconds.
    private static let snapshotPatience: UInt64 = 60_000_000_000

    /// What is to be compacted next: the partition of which most is dirty. Nil: nothing, or something is already.
    func nextCompaction(_ group: Int, _ now: Moment, wall: Int64?) -> CompactionOrder? {
        let keeper = keepers[group]
        guard let wall, !keeper.isCompacting, !keeper.compactions.isEmpty else { return nil }
        let given = groups[group].positions.snapshotGiven.load()
        guard given == 0 || now.monotonic >= given + ReadStage.snapshotPatience else { return nil }
        var best: (order: CompactionOrder, ratio: Double)?
        for (partition, rule) in keeper.compactions {
            guard let files = indexes[group].catalog.files[partition], keeper.compactsAfter[partition] ?? 0 <= now.monotonic,
                let found = rule.order(partition, files, wall: wall), found.ratio > best?.ratio ?? -1
            else { continue }
            best = found
        }
        return best?.order
    }

    /// An order to compact has come to its end.
    mutating func noteCompaction(_ partition: UInt32, isDone: Bool, _ group: Int, _ now: UInt64) {
        keepers[group].isCompacting = false
        keepers[group].compactsAfter[partition] = isDone ? nil : now + ReadStage.rest
    }

    /// Up to where segments hold what must not wait any longer to be archived, and then compacted.
    func overdueEnd(_ group: Int, wall: Int64?) -> UInt64 {
        let rules = Dictionary(uniqueKeysWithValues: keepers[group].compactions.filter { $0.rule.settings.maxLagMs < .max })
        guard let wall, !rules.isEmpty else { return 0 }
        let newest = indexes[group].summaries.last { summary in
            summary.rows.contains { rules[$0.partition]?.isOverdue($0.maxTimestamp, wall: wall) ?? false }
        }
        return newest.map { $0.segment + 1 } ?? 0
    }
}
