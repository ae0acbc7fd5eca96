import Host
import IO
import Wire

/// An admin that commits for consumer groups and takes back what they have committed, one request at a time, and asks what there is: what was answered is never gone, and nothing that
/// came before it ever back.
///
/// Each change has a number, greater than those before; a commit's is the offset that it commits. So what is read tells which change it comes from.
final class SimulatedCommitter {
    /// What is known of what a group has committed for a partition.
    private struct Offset {
        /// The last change that is known to last.
        var known: Int64 = 0
        /// Those that took back what was there.
        var deletions: Set<Int64> = []
    }

    private struct Key: Hashable {
        var group: String
        var partition: Int32
    }

    private enum Asked {
        case coordinator
        case commit(Int64, [Key])
        case deletion(Int64, [Key])
        case groupDeletion(Int64, [Key])
        case offsets(String, after: [Key: Int64])
    }

    static let topic = "kept"
    private static let partitions: Int32 = 3
    private static let groups = ["a", "b", "c", "d"]

    private var client: SimulatedClient?
    private var asked: (correlation: Int32, what: Asked)?
    private var hasCoordinator = false
    private var offsets: [Key: Offset] = [:]
    private var number: Int64 = 0
    /// The drive has lied. What it took of a compacted topic before that was compacted leaves no trace: what a group has committed may go back then.
    var isDamaged = false

    func connect(_ network: SimulatedNetwork) { client = SimulatedClient(network) }

    /// What was under way may have been done, or not.
    func disconnect() {
        client = nil
        asked = nil
    }

    // MARK: Asking

    /// Sends something, unless an answer is awaited.
    func act(_ random: inout SeededRandom) throws {
        guard let client, !client.isClosed, asked == nil else { return }
        let group = SimulatedCommitter.groups[random.below(SimulatedCommitter.groups.count)]
        guard hasCoordinator else {
            var find = FindCoordinatorRequest()
            find.key = group
            asked = (try client.send(find, version: 2), .coordinator)
            return
        }
        let all = (0..<SimulatedCommitter.partitions).map { Key(group: group, partition: $0) }
        let some = all.filter { _ in random.chance(60) }
        switch random.below(100) {
        case 0..<75: if !some.isEmpty { try commit(some, group, client) }
        case 75..<85: if !some.isEmpty { try takeBack(some, group, client) }
        case 85..<88:
            var delete = DeleteGroupsRequest()
            delete.groupsNames = [group]
            let change = begin(all, deletes: true)
            asked = (try client.send(delete, version: 1), .groupDeletion(change, all))
        default: try ask(group, client)
        }
    }

    private func begin(_ keys: [Key], deletes: Bool) -> Int64 {
        number += 1
        if deletes { for key in keys { offsets[key, default: Offset()].deletions.insert(number) } }
        return number
    }

    private func commit(_ keys: [Key], _ group: String, _ client: SimulatedClient) throws {
        let change = begin(keys, deletes: false)
        var commit = OffsetCommitRequest()
        commit.groupId = group
        commit.topics = [.init(name: SimulatedCommitter.topic, partitions: keys.map { .init(partitionIndex: $0.partition, committedOffset: change) })]
        asked = (try client.send(commit, version: 7), .commit(change, keys))
    }

    private func takeBack(_ keys: [Key], _ group: String, _ client: SimulatedClient) throws {
        var topic = OffsetDeleteRequest.Topic()
        topic.name = SimulatedCommitter.topic
        topic.partitions = keys.map {
            var partition = OffsetDeleteRequest.Partition()
            partition.partitionIndex = $0.partition
            return partition
        }
        var delete = OffsetDeleteRequest()
        delete.groupId = group
        delete.topics = [topic]
        let change = begin(keys, deletes: true)
        asked = (try client.send(delete, version: 0), .deletion(change, keys))
    }

    private func ask(_ group: String, _ client: SimulatedClient) throws {
        let known = offsets.filter { $0.key.group == group }.mapValues(\.known)
        asked = (try client.send(SimulatedCommitter.question(group), version: 5), .offsets(group, after: known))
    }

    private static func question(_ group: String) -> OffsetFetchRequest {
        var fetch = OffsetFetchRequest()
        fetch.groupId = group
        fetch.topics = [.init(name: topic, partitionIndexes: Array(0..<partitions))]
        return fetch
    }

    // MARK: Answers

    func takeAnswers(_ note: (String) -> Void) throws {
        guard let client else { return }
        for answer in client.answers() {
            guard let (correlation, what) = asked, correlation == answer.correlation else { throw Violation("the committer: an answer that nobody asked for") }
            asked = nil
            switch what {
            case .coordinator: hasCoordinator = try client.decode(FindCoordinatorRequest.self, answer.frame, version: 2).errorCode == .none
            case .offsets(let group, let known):
                let found = try client.decode(OffsetFetchRequest.self, answer.frame, version: 5)
                if try look(group, found, after: known) { note("offsetsRead") }
            case .commit(let change, let keys):
                let topic = try client.decode(OffsetCommitRequest.self, answer.frame, version: 7).topics.first
                let done = topic?.partitions.filter { $0.errorCode == .none }.map(\.partitionIndex) ?? []
                if learn(change, keys, of: done) { note("offsetCommitted") }
            case .deletion(let change, let keys):
                let deleted = try client.decode(OffsetDeleteRequest.self, answer.frame, version: 0)
                let done = deleted.topics.first?.partitions.filter { $0.errorCode == .none }.map(\.partitionIndex) ?? []
                if deleted.errorCode == .none, learn(change, keys, of: done) { note("offsetDeleted") }
                // Of a group that is not there nothing can be.
                if deleted.errorCode == .groupIdNotFound { _ = learn(change, keys) }
            case .groupDeletion(let change, let keys):
                let error = try client.decode(DeleteGroupsRequest.self, answer.frame, version: 1).results.first?.errorCode
                if error == ErrorCode.none || error == .groupIdNotFound, learn(change, keys) { note("groupDeleted") }
            }
        }
    }

    /// The change lasts, for those of the partitions. False: for none.
    private func learn(_ change: Int64, _ keys: [Key], of partitions: [Int32]? = nil) -> Bool {
        let done = keys.filter { partitions?.contains($0.partition) ?? true }
        for key in done { offsets[key, default: Offset()].known = max(offsets[key]?.known ?? 0, change) }
        return !done.isEmpty
    }

    /// Holds what a group is said to have committed against what is known. False: it is not said now.
    private func look(_ group: String, _ found: OffsetFetchResponse, after known: [Key: Int64]) throws -> Bool {
        guard found.errorCode == .none, let partitions = found.topics.first?.partitions, partitions.allSatisfy({ $0.errorCode == .none }) else { return false }
        guard partitions.count == Int(SimulatedCommitter.partitions) else { throw Violation("group \(group): offsets of \(partitions.count) partitions") }
        for partition in partitions {
            let key = Key(group: group, partition: partition.partitionIndex)
            let least = known[key] ?? 0
            let offset = offsets[key] ?? Offset()
            let value = partition.committedOffset
            // Nothing is there before the first change, and after each that took back what was.
            let change = value >= 0 ? value : least == 0 ? 0 : offset.deletions.filter { $0 >= least }.min() ?? -1
            if isDamaged { continue }
            guard change >= least, change <= number else {
                throw Violation("group \(group), partition \(key.partition): offset \(value) is committed, though change \(least) is known to last, of \(number)")
            }
            _ = learn(change, [key])
        }
        return true
    }

    /// Asks for all that was committed. Returns how many groups nobody can say anything of.
    func verify(_ network: SimulatedNetwork, _ round: () throws -> Void) throws -> Int {
        guard hasCoordinator else { return 0 }
        let client = SimulatedClient(network)
        defer { client.end() }
        var away = 0
        for group in SimulatedCommitter.groups {
            let known = offsets.filter { $0.key.group == group }.mapValues(\.known)
            var isSaid = false
            // Groups are loaded after a start.
            for _ in 0..<40 where !isSaid {
                guard let answer = try client.ask(SimulatedCommitter.question(group), version: 5, rounds: 2000, round) else {
                    throw Violation("OffsetFetch is never answered")
                }
                isSaid = try look(group, answer, after: known)
                if !isSaid { for _ in 0..<20 { try round() } }
            }
            if !isSaid { away += 1 }
        }
        return away
    }
}
