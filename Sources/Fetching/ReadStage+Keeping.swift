import Host
import Journal
import Metadata

/// What the read stage remembers of one partition group's keeping: deciding what of its logs is kept, and where.
struct LogKeeper {
    /// Something has happened that may call for a decision.
    var isDue = true
    /// When to decide though nothing has happened.
    var nextCheck: UInt64 = 0
    /// The rule that is next to be looked at in the decision under way; nil: none is.
    var nextRule: Int?
    /// An archive stage's pass is under way: its catalog will come.
    var isPassing = false
    /// What the archive stage was told last.
    var toldIndexed: UInt64 = 0
    var toldGeneration: UInt64 = 0
    /// A segment whose index file is damaged.
    var damagedIndex: UInt64?
    /// The log starts that the write stage was asked for.
    var asked: [UInt32: Int64] = [:]
    /// The live partitions whose records are not kept for ever; and by partition number whether it was deleted.
    var rules: [(partition: UInt32, rule: RetentionRule)] = []
    /// Those that are compacted; whether the archive stage is at work on one of them; and when those may be tried again where that failed.
    var compactions: [(partition: UInt32, rule: CompactionRule)] = []
    var isCompacting = false
    var compactsAfter: [UInt32: UInt64] = [:]
    var isDeleted: [Bool] = []

    var deadline: UInt64 { nextRule == nil ? nextCheck : 0 }

    /// The topics have changed.
    mutating func take(_ table: TopicTable, group: Int) {
        rules = []
        compactions = []
        nextRule = nil
        // A number that this table does not know yet may belong to a topic of the next.
        let count = group < table.partitionNumbers.count ? Int(table.partitionNumbers[group]) : 0
        isDeleted = Array(repeating: true, count: count)
        for topic in table.topics {
            let rule = RetentionRule(topic.settings)
            let compaction = CompactionRule(topic.settings)
            for place in topic.partitions where Int(place.group) == group {
                isDeleted[Int(place.number)] = false
                if !rule.isForEver { rules.append((place.number, rule)) }
                if let compaction { compactions.append((place.number, compaction)) }
            }
        }
        isDue = true
    }

    func isDeleted(_ partition: UInt32) -> Bool { Int(partition) < isDeleted.count && isDeleted[Int(partition)] }
}

extension ReadStage {
    /// Between two looks at whether what was recovered is committed, in nanoseconds.
    private static let look: UInt64 = 20_000_000

    /// Decides what of a group's logs is kept: moves log starts by the topics' retention, and orders from the archive stage what
    /// frees space. Returns how much was done.
    mutating func keep(_ group: Int, _ now: Moment) -> Int {
        var progress = 0
        while let next = links.catalogs[group].pop() {
            let news = next.takeRetainedValue()
            if let repaired = news.repaired { indexes[group].replace(repaired) }
            if let (order, isDone) = news.compaction { noteCompaction(order.partition, isDone: isDone, group, now.monotonic) }
            install(news.catalog, group)
            progress += 1
        }
        links.catalogs[group].release()
        // A log start that was found in the journal may be cut off with its end: what is deleted by it would be missing.
        guard groups[group].positions.committed.load() >= groups[group].recoveredEnd else {
            keepers[group].nextCheck = now.monotonic + ReadStage.look
            return progress
        }
        if keepers[group].nextRule == nil {
            guard keepers[group].isDue || now.monotonic >= keepers[group].nextCheck else { return progress }
            keepers[group].isDue = false
            keepers[group].nextCheck = now.monotonic + UInt64(limits.retentionInterval) * 1_000_000
            keepers[group].nextRule = 0
        }
        let wall = clock.wall(now)
        if moveLogStarts(group, wall: wall) { return progress + (order(group, now, wall: wall) ? 1 : 0) }
        return progress + 1
    }

    private mutating func install(_ catalog: ArchiveCatalog, _ group: Int) {
        indexes[group].install(catalog)
        keepers[group].isPassing = false
        keepers[group].isDue = true
        cold.forget { file in
            switch file {
            case .segment(let its, let number), .index(let its, let number):
                Int(its) == group && number < catalog.firstSegment
            case .archive(let its, let key), .archiveIndex(let its, let key):
                Int(its) == group && !(catalog.files[key.partition]?.contains { $0.key(key.partition) == key } ?? false)
            }
        }
        // What was read of an archive's last blocks may since have grown; an index may have been made again.
        cold.forget { file in
            switch file {
            case .archive(let its, _), .archiveIndex(let its, _), .index(let its, _): Int(its) == group
            case .segment: false
            }
        }
    }

    /// A look into the index has failed: where the file is a segment's, it is damaged, cut off or gone, and is to be made again.
    mutating func noteIndexFailure(partition: UInt32, offset: Int64, _ group: Int) {
        guard let segment = indexes[group].indexedSegment(partition, offset) else { return }
        keepers[group].damagedIndex = segment
        keepers[group].isDue = true
    }

    /// So many partitions are looked at in one step, so that the thread's other stages don't wait.
    private static let rulesAStep = 128

    /// Goes on with the rules. Returns whether that was all.
    private mutating func moveLogStarts(_ group: Int, wall: Int64?) -> Bool {
        let first = keepers[group].nextRule ?? 0
        let rules = keepers[group].rules.dropFirst(first).prefix(ReadStage.rulesAStep)
        for (partition, rule) in rules {
            let start = indexes[group].logStart(partition)
            let wanted = rule.logStart(indexes[group].units(partition), now: start, wall: wall)
            guard wanted > max(start, keepers[group].asked[partition] ?? start) else { continue }
            // What finds no room is asked for again at the next decision.
            guard links.logStarts[group].push(LogStartRequest(partition: partition, offset: wanted)) else { break }
            keepers[group].asked[partition] = wanted
        }
        links.logStarts[group].publish()
        let isDone = first + rules.count >= keepers[group].rules.count
        keepers[group].nextRule = isDone ? nil : first + rules.count
        return isDone
    }

    /// A new log start is committed: what it frees may be given back.
    mutating func noteLogStart(_ partition: UInt32, _ group: Int) {
        if let asked = keepers[group].asked[partition], indexes[group].logStart(partition) >= asked {
            keepers[group].asked[partition] = nil
        }
        keepers[group].isDue = true
    }

    // MARK: Orders

    /// Tells the archive stage what to do, if there is something new. Returns whether there was.
    private mutating func order(_ group: Int, _ now: Moment, wall: Int64?) -> Bool {
        let catalog = indexes[group].catalog
        let indexed = indexes[group].firstInMemory
        let free = keepers[group].isPassing ? catalog.firstSegment..<catalog.firstSegment : freeSegments(group, wall: wall)
        // While files grow, what is ordered would not be what is there.
        let compaction = keepers[group].isPassing ? nil : nextCompaction(group, now, wall: wall)
        let drops = !keepers[group].isPassing && hasDeadArchives(group)
        guard !free.isEmpty || drops || compaction != nil || indexed != keepers[group].toldIndexed
            || catalog.generation != keepers[group].toldGeneration || keepers[group].damagedIndex != nil
        else { return false }
        guard links.orders[group].hasRoom() else {
            keepers[group].isDue = true
            return false
        }
        keepers[group].toldIndexed = indexed
        keepers[group].toldGeneration = catalog.generation
        let isPass = !free.isEmpty || drops
        keepers[group].isPassing = keepers[group].isPassing || isPass
        let (scanned, liveBytes) = isPass ? live(free, group) : ([], 0)
        let order = ArchiveOrder(
            indexedBelow: indexed, installed: catalog.generation, free: isPass ? free : nil, scanned: scanned, liveBytes: liveBytes,
            logStarts: isPass ? effectiveLogStarts(group) : [], damagedIndex: keepers[group].damagedIndex, compaction: compaction)
        keepers[group].damagedIndex = nil
        if compaction != nil { keepers[group].isCompacting = true }
        let sent = links.orders[group].send(Unmanaged.passRetained(order))
        precondition(sent, "there was room")
        return true
    }

    /// Where each log starts, as far as what is stored is concerned: of a deleted partition nothing is kept.
    private func effectiveLogStart(_ partition: UInt32, _ group: Int) -> Int64 {
        keepers[group].isDeleted(partition) ? .max : indexes[group].logStart(partition)
    }

    private func effectiveLogStarts(_ group: Int) -> [Int64] {
        let count = max(keepers[group].isDeleted.count, indexes[group].logStarts.count)
        return (0..<UInt32(count)).map { effectiveLogStart($0, group) }
    }

    /// The oldest segments that hold nothing live, or what is to be compacted before long, or that are more than the journal is to have; of the latter
    /// some more, so that a pass is worth its syncs.
    private func freeSegments(_ group: Int, wall: Int64?) -> Range<UInt64> {
        let first = indexes[group].catalog.firstSegment
        let over = indexes[group].segmentCount - limits.journalSegments
        let forced = over > 0 ? over + limits.journalSegments / 8 : 0
        let overdue = overdueEnd(group, wall: wall)
        var end = first
        let limit = min(groups[group].cache.segment(of: groups[group].positions.recoverable.load()), backlog(group))
        for summary in indexes[group].summaries where summary.segment < limit {
            let isDead = summary.rows.allSatisfy { $0.endOffset <= effectiveLogStart($0.partition, group) }
            guard isDead || end < overdue || Int(end - first) < forced else { break }
            end += 1
        }
        return first..<end
    }

    /// The first segment that is kept because a replica lacks it: while that does not make the journal too long, nor the disk full.
    private func backlog(_ group: Int) -> UInt64 {
        let positions = groups[group].positions
        guard positions.hasSpace else { return .max }
        let most = limits.journalSegments + limits.backlogSegments
        let newest = Int(indexes[group].catalog.firstSegment) + indexes[group].segmentCount - 1
        return max(groups[group].cache.segment(of: positions.needed.load()), UInt64(max(newest + 1 - most, 0)))
    }

    /// Those of the segments that hold something live, and how many bytes that is.
    private func live(_ segments: Range<UInt64>, _ group: Int) -> (Set<UInt64>, UInt64) {
        var found = Set<UInt64>()
        var bytes: UInt64 = 0
        for summary in indexes[group].summaries where segments.contains(summary.segment) {
            for row in summary.rows where row.endOffset > effectiveLogStart(row.partition, group) {
                found.insert(summary.segment)
                bytes += row.bytes
            }
        }
        return (found, bytes)
    }

    private func hasDeadArchives(_ group: Int) -> Bool {
        indexes[group].catalog.files.contains { partition, files in
            files.first.map { $0.endOffset <= effectiveLogStart(partition, group) } ?? true
        }
    }
}
