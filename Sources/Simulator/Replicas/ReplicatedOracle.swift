import Replication

/// What clients were told is in a majority's memory, held against what is committed in the end.
///
/// Such a record may be lost, but only if each of a majority had never had it or has lost its memory of it since: one replica that is asked by whoever
/// leads next and still has it is enough.
struct ReplicatedOracle {
    private struct Told {
        var id: UInt64
        /// Of the log, behind the record.
        var end: Int
        /// Those who don't have it, and those who no longer do.
        var without: Set<ReplicaID>
    }

    private var told: [Told] = []
    private var replicas: [ReplicaID] = []
    /// Who has ever had which frame.
    private var had: [ReplicaID: Set<UInt64>] = [:]
    private(set) var count = 0
    private(set) var lost = 0

    mutating func took(_ frames: some Sequence<ModelFrame>, _ replica: ReplicaID) {
        for frame in frames { had[replica, default: []].insert(frame.id) }
    }

    /// Of records told before nothing is known any more where the set is another one.
    mutating func saw(set: [ReplicaID]) {
        guard set != replicas else { return }
        replicas = set
        told = []
    }

    /// A leader has told its client.
    /// - Parameter holders: those who have the record in memory.
    mutating func tell(_ id: UInt64, end: Int, holders: Set<ReplicaID>, leader: ReplicaID) throws {
        let others = replicas.filter { $0 != leader && had[$0]?.contains(id) ?? false }
        guard others.count + 1 >= GroupAssignment.majority(of: replicas.count) else {
            throw Violation("\(leader) tells that \(id) is replicated, and but for it only \(others) ever had it")
        }
        count += 1
        told.append(Told(id: id, end: end, without: Set(replicas).subtracting(holders)))
    }

    /// A replica has lost what it had in memory, from that position on.
    mutating func forgot(_ replica: ReplicaID, from position: Int) {
        for index in told.indices where told[index].end > position { told[index].without.insert(replica) }
    }

    mutating func check(_ committed: [ModelFrame]) throws {
        guard let least = told.map(\.end).min(), least <= committed.count else { return }
        for one in told where one.end <= committed.count && committed[one.end - 1].id != one.id {
            lost += 1
            guard one.without.count >= GroupAssignment.majority(of: replicas.count) else {
                throw Violation("\(one.id) was replicated up to \(one.end), is gone, and only \(one.without.sorted()) did not have it")
            }
        }
        told.removeAll { $0.end <= committed.count }
    }
}
