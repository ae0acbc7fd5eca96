import Coordination
import Metadata
import Replication

/// What is known of the cluster: all that its store has told, put together. A value: news go in, and what has changed comes out.
struct ClusterView: Sendable {
    /// What has changed by news.
    struct Changes {
        var brokers = false
        var groups: Set<UInt16> = []
        var metadata = false
        var flaws: [String] = []
    }

    private(set) var cluster: ClusterEntry?
    private(set) var brokers: [Int32: BrokerRegistration] = [:]
    /// What brokers were that are not there any more: their leases have ended.
    private(set) var departed: [Int32: BrokerRegistration] = [:]
    private(set) var groups: [UInt16: (entry: GroupEntry, revision: Int64)] = [:]
    private(set) var inSync: [UInt16: (entry: InSyncEntry, revision: Int64)] = [:]
    /// The sum of the changes up to `nextChange`.
    private(set) var metadata = MetadataState()
    /// The number of the change that comes next, and the revision at which it became so; 0: there has been none.
    private(set) var nextChange: UInt64 = 0
    private(set) var nextChangeRevision: Int64 = 0
    private(set) var isAvailable = false
    private(set) var isKnown = false
    /// The greatest revision that is known.
    private(set) var revision: Int64 = 0

    mutating func take(_ news: StoreNews) -> Changes {
        var changes = Changes()
        switch news {
        case .available(let isThere): isAvailable = isThere
        case .snapshot(let entries, let revision):
            isKnown = true
            let keys = Set(entries.map(\.key))
            for id in brokers.keys where !keys.contains(ClusterKey.broker(id)) {
                set(id, nil)
                changes.brokers = true
            }
            take(entries, &changes)
            self.revision = max(self.revision, revision)
        case .changed(let entries): take(entries, &changes)
        }
        return changes
    }

    private mutating func take(_ entries: [StoredEntry], _ changes: inout Changes) {
        // In the order of their keys, changes stand in the order of their numbers.
        for entry in entries.sorted(by: { ($0.revision, $0.key) < ($1.revision, $1.key) }) {
            revision = max(revision, entry.revision)
            take(entry, &changes)
        }
    }

    private mutating func take(_ entry: StoredEntry, _ changes: inout Changes) {
        if let id: Int32 = ClusterKey.number(entry.key, behind: ClusterKey.brokers) {
            changes.brokers = true
            set(id, entry.value.flatMap { ClusterValue.decode(BrokerRegistration.self, $0) })
            return
        }
        guard let value = entry.value else { return }
        if entry.key == ClusterKey.cluster {
            cluster = ClusterValue.decode(ClusterEntry.self, value) ?? cluster
        } else if entry.key == ClusterKey.nextChange {
            nextChangeRevision = max(nextChangeRevision, entry.revision)
        } else if let number: UInt16 = ClusterKey.number(entry.key, behind: ClusterKey.groups) {
            guard let group = ClusterValue.decode(GroupEntry.self, value) else {
                return changes.flaws.append("\(entry.key) can't be understood: a later version wrote it")
            }
            guard entry.revision > groups[number]?.revision ?? 0 else { return }
            groups[number] = (group, entry.revision)
            changes.groups.insert(number)
        } else if let number: UInt16 = ClusterKey.number(entry.key, behind: ClusterKey.inSync) {
            guard let told = ClusterValue.decode(InSyncEntry.self, value) else {
                return changes.flaws.append("\(entry.key) can't be understood: a later version wrote it")
            }
            if entry.revision > inSync[number]?.revision ?? 0 { inSync[number] = (told, entry.revision) }
        } else if let number: UInt64 = ClusterKey.number(entry.key, behind: ClusterKey.changes) {
            guard number == nextChange else { return }
            guard let made = ClusterValue.decode([MetadataChange].self, value) else {
                return changes.flaws.append("\(entry.key) can't be understood: a later version wrote it")
            }
            for change in made { metadata.apply(change) }
            nextChange += 1
            changes.metadata = true
        }
    }

    private mutating func set(_ broker: Int32, _ registration: BrokerRegistration?) {
        departed[broker] = registration == nil ? brokers[broker] ?? departed[broker] : nil
        brokers[broker] = registration
    }

    /// The incarnations of the disks of the brokers that live, by group.
    var incarnations: [Int32: [UInt16: UInt64]] { brokers.mapValues(\.incarnations) }

    /// The groups that have so many replicas.
    func groups(replicas: Int) -> [UInt16] { groups.filter { $0.value.entry.brokers.count == replicas }.keys.sorted() }

    /// Groups that are to be made so that a topic can have so many replicas: one for each broker to lead, as far as there is room. Nil: there are too
    /// few brokers, or no group can be made any more.
    /// - Parameters:
    ///   - limit: groups have lower numbers.
    ///   - taken: numbers that are to be others'.
    ///   - random: draws the names of their journals.
    func newGroups(replicas: Int, limit: Int, except taken: Set<UInt16>, random: () -> UInt64) -> [UInt16: GroupEntry]? {
        let ids = brokers.keys.sorted()
        guard replicas >= 1, replicas <= ids.count else { return nil }
        let free = (0..<UInt16(limit)).filter { groups[$0] == nil && !taken.contains($0) }.prefix(ids.count)
        guard !free.isEmpty else { return nil }
        var made: [UInt16: GroupEntry] = [:]
        for (place, number) in free.enumerated() {
            let members = (0..<replicas).map { ids[(place + $0) % ids.count] }
            made[number] = GroupEntry(key: UInt32(truncatingIfNeeded: random()) | 1, brokers: members)
        }
        return made
    }
}
