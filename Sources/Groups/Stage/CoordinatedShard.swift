import DequeModule
import Intake
import Journal
import Metadata
import Wire

/// A client's request that is to be answered. Its bytes may be gone.
struct Caller {
    var request: ClientRequest
    var io: Int
}

/// What is done once records are stored, or can't be.
enum StoreCompletion {
    case commit(Caller, OffsetCommitResponse)
    case deleteOffsets(Caller, OffsetDeleteResponse)
    case deleteGroup(DeletedGroups, Int)
    /// A group has asked for it, under that number.
    case group(String, UInt64)
    case nothing
}

/// A DeleteGroups under way: its groups may lie in several partitions.
final class DeletedGroups {
    let caller: Caller
    var response: DeleteGroupsResponse
    /// How many groups' outcomes are not known yet.
    var open = 0

    init(_ caller: Caller, _ response: DeleteGroupsResponse) {
        self.caller = caller
        self.response = response
    }
}

/// What is done once records are stored that may lie in several batches.
final class PartedStore {
    let completion: StoreCompletion
    /// How many batches' outcomes are not known yet.
    var missing = 0
    /// The first reason why some of them are not stored.
    var error = ErrorCode.none

    init(_ completion: StoreCompletion) { self.completion = completion }
}

/// Records that go into the log together.
struct StoredBatch {
    /// The shard's, when they were made.
    var life: UInt64
    var records: [GroupRecord] = []
    var encoded: [Record] = []
    var bytes = 0
    var completions: [PartedStore] = []
}

/// One partition of `__consumer_offsets`, as its broker sees it.
struct CoordinatedShard {
    enum State: Equatable {
        /// Another broker coordinates its groups, or nobody.
        case away
        /// What has been committed is being read.
        case loading
        case serving
    }

    /// So many bytes of records go into a batch at most, unless one alone is longer, or the topic takes less.
    private static let batchBytes = 512 << 10
    /// So much may be added to the records' bytes by their batch.
    private static let batchOverhead = 256

    let partition: Int32
    let place: PartitionPlace
    var state = State.away
    /// It was begun anew so often: what comes of what an earlier one has asked for is not this one's.
    var life: UInt64 = 0
    var shard: GroupShard
    /// The fetch that is under way; and, by the monotonic clock, before when there is to be none.
    var fetch: UInt32?
    var loadsFrom: UInt64 = 0
    /// How often in a row what stands next was said to be damaged; and what of that is passed over.
    var refusals = 0
    var skipped: Range<Int64>?
    /// Its snapshot is being read from the disk; or is taken in.
    var awaitsSnapshot = false
    var snapshot: ShardSnapshotReader?
    /// Of the snapshot that there is, how many records it has, and when it was made, in milliseconds since 1970; and how much has changed since.
    private(set) var snapshotRecords = 0
    private(set) var snapshotMadeAt = Int64.max
    var changes = 0
    /// What is to be sent, in order; the last is not full yet.
    var outgoing: Deque<StoredBatch> = []
    /// What was sent and is not known to be stored, by its ticket.
    var sent: Deque<(ticket: UInt32, batch: StoredBatch)> = []

    init(partition: Int32, place: PartitionPlace, limits: GroupLimits) {
        self.partition = partition
        self.place = place
        shard = GroupShard(limits: limits)
    }

    /// Begins anew, with nothing.
    mutating func begin(_ state: State, limits: GroupLimits) {
        self.state = state
        life += 1
        shard = GroupShard(limits: limits)
        fetch = nil
        loadsFrom = 0
        refusals = 0
        skipped = nil
        awaitsSnapshot = false
        snapshot = nil
        snapshotRecords = 0
        snapshotMadeAt = .max
        changes = 0
    }

    /// There is a snapshot now.
    mutating func noteSnapshot(records: Int, madeAt: Int64) {
        snapshotRecords = records
        snapshotMadeAt = madeAt
    }

    /// It has nothing to read, and nothing to send.
    var isIdle: Bool { state != .loading && outgoing.isEmpty }

    /// When it wants to be looked at, if nothing comes.
    var deadline: UInt64 { state == .loading && fetch == nil && !awaitsSnapshot ? loadsFrom : .max }

    /// Records for the log, and what follows once all of them are stored. They go together with others; those that are too many for a batch go into several.
    /// - Parameters:
    ///   - maxBytes: the most bytes of a batch that the topic takes.
    ///   - topicId: of a topic as it is now.
    mutating func store(
        _ records: [GroupRecord], _ completion: StoreCompletion, maxBytes: Int, wall: Int64, topicId: (String) -> Uuid?
    ) throws(WireError) {
        var encoded: [(record: Record, bytes: Int)] = []
        for record in records {
            let next = try record.encode(timestamp: wall)
            encoded.append((next, (next.key?.count ?? 0) + (next.value?.count ?? 0) + 32))
        }
        shard.begin(records, topicId: topicId)
        let limit = min(CoordinatedShard.batchBytes, maxBytes - CoordinatedShard.batchOverhead)
        let parts = PartedStore(completion)
        for (record, (encoded, bytes)) in zip(records, encoded) {
            if outgoing.last.map({ $0.life != life || $0.bytes + bytes > limit && $0.bytes > 0 }) ?? true { outgoing.append(StoredBatch(life: life)) }
            let last = outgoing.count - 1
            outgoing[last].records.append(record)
            outgoing[last].encoded.append(encoded)
            outgoing[last].bytes += bytes
            guard outgoing[last].completions.last !== parts else { continue }
            outgoing[last].completions.append(parts)
            parts.missing += 1
        }
    }
}
