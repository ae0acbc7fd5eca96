import Wire

/// What the writer remembers of one idempotent producer in one partition (KIP-98): its epoch, and its last five batches,
/// because a client has up to five in flight and may ask again for each.
struct ProducerState {
    struct Batch: BitwiseCopyable {
        var firstSequence: Int32
        var lastSequence: Int32
        var baseOffset: Int64
        /// The position behind its frame: a retry is answered once this is passed.
        var end: UInt64
    }

    static let kept = 5
    var partition: UInt32
    var id: Int64
    /// Milliseconds since 1970 of its last batch.
    var lastTime: Int64
    var epoch: Int16
    var count: UInt8 = 0
    /// Damage may have taken batches that came after those that are known.
    var isUncertain = false
    private var batches: InlineArray<5, Batch>
    /// Where in `batches` the oldest is.
    private var oldest: UInt8 = 0

    init(partition: UInt32, id: Int64, epoch: Int16) {
        self.partition = partition
        self.id = id
        self.epoch = epoch
        lastTime = 0
        batches = InlineArray(repeating: Batch(firstSequence: -1, lastSequence: -1, baseOffset: -1, end: 0))
    }

    @inline(__always)
    private func place(_ index: Int) -> Int {
        let place = Int(oldest) + index
        return place < ProducerState.kept ? place : place - ProducerState.kept
    }

    /// Oldest first.
    subscript(_ index: Int) -> Batch { batches[place(index)] }

    mutating func append(_ batch: Batch) {
        if Int(count) < ProducerState.kept {
            batches[place(Int(count))] = batch
            count += 1
        } else {
            batches[Int(oldest)] = batch
            oldest = UInt8(place(1))
        }
        isUncertain = false
    }

    mutating func begin(epoch: Int16) {
        self.epoch = epoch
        count = 0
    }

    /// Whether a batch that begins so follows the last one.
    @inline(__always)
    func isNext(_ firstSequence: Int32) -> Bool { nextSequence == firstSequence }

    /// The sequence number behind the last batch; nil: there is none.
    @inline(__always)
    private var nextSequence: Int32? {
        guard count > 0 else { return nil }
        let last = batches[place(Int(count) - 1)].lastSequence
        return last == .max ? 0 : last + 1
    }

    /// Whether a batch that begins so is the next: none is missing, but for those that damage may have taken.
    func continues(with firstSequence: Int32) -> Bool {
        guard let next = nextSequence else { return true }
        // Sequence numbers go round: what is less than half of the way ahead is later.
        return firstSequence == next || isUncertain && (firstSequence &- next) & .max < 1 << 30
    }
}

/// What to do with an idempotent producer's batch.
enum SequenceVerdict: Equatable {
    case append
    /// It is here already: the answer is the first one's.
    case duplicate(baseOffset: Int64, end: UInt64)
    case refuse(ErrorCode)
}

/// The state of all idempotent producers in one partition group. Its size is bounded: beyond it, who has been silent
/// longest of a few that are looked at is forgotten, as one is whose time has run out.
struct ProducerTable {
    private var states: [ProducerState] = []
    /// Open addressing: a state's number, or -1.
    private var buckets: [Int32]
    private var clockHand = 0
    /// A producer that is unknown may be one that was known before.
    var hasForgotten = false
    let limit: Int

    init(limit: Int) {
        self.limit = max(limit, 1)
        buckets = Array(repeating: -1, count: 64)
    }

    var count: Int { states.count }

    static func hash(_ partition: UInt32, _ id: Int64) -> Int {
        var hash = UInt64(bitPattern: id) &* 0x9e37_79b9_7f4a_7c15 ^ UInt64(partition) &* 0xc2b2_ae3d_27d4_eb4f
        hash ^= hash >> 32
        // The product's upper bits: the lower ones depend on the lower ones of its factors alone.
        return Int(truncatingIfNeeded: (hash &* 0x9e37_79b9_7f4a_7c15) >> 8)
    }

    /// A producer's number among the states, until one is forgotten; nil: it is unknown.
    func find(_ partition: UInt32, _ id: Int64) -> Int? {
        let number = buckets[bucket(partition, id)]
        return number < 0 ? nil : Int(number)
    }

    private func bucket(_ partition: UInt32, _ id: Int64) -> Int {
        let mask = buckets.count - 1
        var bucket = ProducerTable.hash(partition, id) & mask
        while buckets[bucket] >= 0 {
            let state = Int(buckets[bucket])
            if states[state].id == id && states[state].partition == partition { break }
            bucket = (bucket + 1) & mask
        }
        return bucket
    }

    /// What to do with a batch; the rules are Kafka's (ProducerStateManager's, KIP-98 and KIP-360).
    /// - Parameters:
    ///   - found: what `find` says of its producer.
    ///   - isInterrupted: batches that came before this one may have been refused for now, and come after it.
    func judge(_ found: Int?, epoch: Int16, firstSequence: Int32, lastSequence: Int32, isInterrupted: Bool = true) -> SequenceVerdict {
        // Of a producer that was forgotten, or whose topic was deleted and made again, any sequence may be the next. Soon after a leader has begun
        // it rather is one whose first batch was refused because nobody led yet: that one comes first.
        guard let found else { return firstSequence == 0 || hasForgotten || !isInterrupted ? .append : .refuse(.outOfOrderSequenceNumber) }
        guard epoch == states[found].epoch else {
            guard epoch > states[found].epoch else { return .refuse(.invalidProducerEpoch) }
            return firstSequence == 0 || states[found].isUncertain ? .append : .refuse(.outOfOrderSequenceNumber)
        }
        // Most are the next, and no other: those that are remembered end before it.
        if states[found].isNext(firstSequence) { return .append }
        for index in 0..<Int(states[found].count) {
            let batch = states[found][index]
            guard batch.firstSequence == firstSequence, batch.lastSequence == lastSequence else { continue }
            return .duplicate(baseOffset: batch.baseOffset, end: batch.end)
        }
        return states[found].continues(with: firstSequence) ? .append : .refuse(.outOfOrderSequenceNumber)
    }

    /// Remembers a batch that was appended.
    /// - Parameter found: what `find` says of its producer.
    mutating func record(
        _ found: Int?, partition: UInt32, id: Int64, epoch: Int16, batch: ProducerState.Batch, time: Int64
    ) {
        let number = found ?? add(ProducerState(partition: partition, id: id, epoch: epoch))
        if states[number].epoch != epoch { states[number].begin(epoch: epoch) }
        states[number].append(batch)
        states[number].lastTime = max(states[number].lastTime, time)
    }

    private mutating func add(_ state: ProducerState) -> Int {
        if states.count >= limit { forgetOne() }
        if 2 * (states.count + 1) > buckets.count { grow() }
        buckets[bucket(state.partition, state.id)] = Int32(states.count)
        states.append(state)
        return states.count - 1
    }

    /// Damage may have taken any producer's last batches. What is known of them stays: who asks again for one of those gets the
    /// same answer.
    mutating func doubt() {
        for number in states.indices { states[number].isUncertain = true }
        hasForgotten = true
    }

    /// Forgets those that have been silent since `time`, a few at each call.
    mutating func expire(before time: Int64, looks: Int = 16) {
        for _ in 0..<min(looks, states.count) {
            clockHand = (clockHand + 1) % states.count
            if states[clockHand].lastTime < time {
                forget(clockHand)
                if states.isEmpty { return }
            }
        }
    }

    private mutating func forgetOne() {
        var oldest = clockHand % states.count
        for _ in 0..<16 {
            clockHand = (clockHand + 1) % states.count
            if states[clockHand].lastTime < states[oldest].lastTime { oldest = clockHand }
        }
        forget(oldest)
    }

    private mutating func forget(_ number: Int) {
        hasForgotten = true
        remove(bucket: bucket(states[number].partition, states[number].id))
        let last = states.count - 1
        if number != last {
            buckets[bucket(states[last].partition, states[last].id)] = Int32(number)
            states.swapAt(number, last)
        }
        states.removeLast()
    }

    /// Linear probing without tombstones: what would no longer be found moves up (Knuth, vol. 3, 6.4, algorithm R).
    private mutating func remove(bucket: Int) {
        let mask = buckets.count - 1
        var hole = bucket
        var next = (hole + 1) & mask
        buckets[hole] = -1
        while buckets[next] >= 0 {
            let state = states[Int(buckets[next])]
            let home = ProducerTable.hash(state.partition, state.id) & mask
            if (next &- home) & mask >= (next &- hole) & mask {
                buckets[hole] = buckets[next]
                buckets[next] = -1
                hole = next
            }
            next = (next + 1) & mask
        }
    }

    private mutating func grow() {
        buckets = Array(repeating: -1, count: buckets.count * 2)
        for number in states.indices { buckets[bucket(states[number].partition, states[number].id)] = Int32(number) }
    }

    /// All states, for a checkpoint.
    var all: [ProducerState] { states }

    /// Puts a state back that came from a checkpoint.
    mutating func restore(_ state: ProducerState) {
        if 2 * (states.count + 1) > buckets.count { grow() }
        let bucket = bucket(state.partition, state.id)
        guard buckets[bucket] < 0, states.count < limit else { return hasForgotten = true }
        buckets[bucket] = Int32(states.count)
        states.append(state)
    }
}
