// Unsafe on purpose: it holds on to pinned memory of the journal cache until an answer takes it over.

import Intake
import Journal
import Metadata
import Responses
import Wire

/// One partition of a fetch: what is asked, and what there is.
struct FetchPartition: TopicPart {
    let topic: Int
    let partition: Int32
    let place: PartitionPlace?
    let offset: Int64
    let maxBytes: Int
    let leaderEpoch: Int32
    var error = ErrorCode.none
    var highWatermark: Int64 = -1
    var logStart: Int64 = -1
    /// Records from here on, up to the next batch that can be had, are damaged.
    var refusedFrom: Int64?
    /// The batches to send, in order.
    var entries: [IndexEntry] = []
    var bytes = 0
    /// Where to look on for more; behind the last of `entries`.
    var nextOffset: Int64 = 0
    /// There is no more to look for.
    var isCollected = false
}

/// A fetch from its request to its answer. It may have to wait: for data, for the disk, for memory; it does so without a
/// thread.
final class FetchJob {
    enum State {
        /// Finding out what there is.
        case collecting
        /// There is too little: until a commit, or its time.
        case waiting
        /// The answer takes more memory than there is now.
        case starved
        /// The batches are being brought into the answer.
        case filling
    }

    /// No fetch waits longer, in milliseconds, whatever it asks for: its client may be long gone.
    private static let longestWait: Int32 = 60_000

    let request: ClientRequest
    /// The io stage that it came from.
    let io: Int
    let minBytes: Int
    /// What the client asks for, within what the broker allows.
    private let askedBytes: Int
    private(set) var maxBytes: Int
    let deadline: UInt64
    let committedOnly: Bool
    let requestError: ErrorCode
    var topicNames: [String] = []
    /// Where they are asked for by their ids.
    private var topicIds: [Uuid] = []
    var partitions: [FetchPartition] = []
    /// The record bytes of all partitions.
    private(set) var bytes = 0
    var state = State.collecting
    /// Its place in the order of arrival.
    var sequence: UInt64 = 0
    /// How many reads from disk there had been when it last looked.
    var checkedAtRead: UInt64 = 0
    /// Its time is up: it answers with what there is.
    var isDue = false

    // Filling:
    var answer: Answer?
    private(set) var heads: FetchResponseHeads?
    /// The place of the batch that is next: its partition, and its number there.
    var partition = 0
    var entry = 0
    /// The batch under way, where it is read from disk.
    var coldBatch: ColdBatch?
    /// The batches that are sent from where they are: counted through all partitions. The others are copied.
    private var pins: [(batch: Int, slot: Int32, cache: JournalCache)] = []
    /// How many batches have been filled in, and how many pins given away with them.
    private var filled = 0
    private var usedPins = 0
    /// How much memory of its own the answer takes.
    private(set) var copiedBytes = 0

    deinit { unpin() }

    init(_ request: ClientRequest, io: Int, message: FetchRequest, table: TopicTable, limit: Int) {
        self.request = request
        self.io = io
        minBytes = Int(message.minBytes)
        askedBytes = max(min(Int(message.maxBytes), limit), 0)
        maxBytes = askedBytes
        deadline = request.arrival + UInt64(min(max(message.maxWaitMs, 0), FetchJob.longestWait)) * 1_000_000
        isDue = message.maxWaitMs <= 0
        committedOnly = message.isolationLevel == 1
        // Sessions (KIP-227) are not offered: every fetch is whole, and none can be continued.
        requestError = message.sessionId == 0 ? .none : .fetchSessionIdNotFound
        if requestError != .none { return }
        for topic in message.topics {
            let isById = request.version >= 13
            let known = isById ? table.topic(id: topic.topicId) : table.topic(named: topic.topic)
            topicNames.append(known?.name ?? topic.topic)
            topicIds.append(topic.topicId)
            for asked in topic.partitions {
                var partition = FetchPartition(
                    topic: topicNames.count - 1, partition: asked.partition,
                    place: known?.partitions.place(of: asked.partition), offset: asked.fetchOffset,
                    maxBytes: max(Int(asked.partitionMaxBytes), 0), leaderEpoch: asked.currentLeaderEpoch)
                partition.nextOffset = asked.fetchOffset
                if partition.place == nil {
                    partition.error = isById && known == nil ? .unknownTopicId : .unknownTopicOrPartition
                    partition.isCollected = true
                }
                partitions.append(partition)
            }
        }
    }

    /// For logs: the partition's topic and number.
    func name(_ index: Int) -> String { "\(topicNames[partitions[index].topic])-\(partitions[index].partition)" }

    var hasError: Bool { requestError != .none || partitions.contains { $0.error != .none } }

    /// Before anything is found: brings no more than that, because memory is short.
    func limitBytes(_ limit: Int) { maxBytes = min(askedBytes, limit) }

    /// Takes batches in their order, up to a limit, or to one before which offsets are missing. One batch is always taken, however
    /// large (KIP-74). Returns how many.
    func take(_ run: ArraySlice<IndexEntry>, _ index: Int) -> Int {
        var mine = partitions[index]
        // So that the copy alone owns them.
        partitions[index].entries = []
        var total = bytes
        let maxBytes = maxBytes
        var taken = 0
        for entry in run {
            guard entry.baseOffset <= mine.nextOffset else { break }
            let size = Int(entry.bytes)
            let isBeyond = total > 0 && (total + size > maxBytes || mine.bytes + size > mine.maxBytes)
            if isBeyond || mine.refusedFrom.map({ entry.baseOffset >= $0 }) ?? false {
                mine.isCollected = true
                break
            }
            mine.entries.append(entry)
            mine.bytes += size
            mine.nextOffset = entry.nextOffset
            total += size
            taken += 1
        }
        partitions[index] = mine
        bytes = total
        // Behind a gap what is damaged is what comes first.
        if mine.isCollected, mine.entries.isEmpty, mine.refusedFrom != nil { fail(index, .corruptMessage) }
        return taken
    }

    /// What comes next can't be had. What lies before is still sent; who asks for that very offset is told.
    /// - Parameter damaged: the offset from which on records are lost for good; nil: it may be had later.
    func stop(_ index: Int, _ code: ErrorCode, damaged: Int64? = nil) {
        partitions[index].refusedFrom = damaged ?? partitions[index].refusedFrom
        partitions[index].isCollected = true
        if partitions[index].entries.isEmpty || damaged.map({ $0 <= partitions[index].offset }) ?? false { fail(index, code) }
    }

    func fail(_ index: Int, _ code: ErrorCode) {
        bytes -= partitions[index].bytes
        partitions[index].error = code
        partitions[index].highWatermark = -1
        partitions[index].entries = []
        partitions[index].bytes = 0
        partitions[index].isCollected = true
    }

    /// Forgets what was found, to look again.
    func reset() {
        unpin()
        for index in partitions.indices where partitions[index].place != nil && partitions[index].error == .none {
            partitions[index].entries.removeAll(keepingCapacity: true)
            partitions[index].bytes = 0
            partitions[index].nextOffset = partitions[index].offset
            partitions[index].isCollected = false
        }
        bytes = 0
        state = .collecting
        answer = nil
        heads = nil
        partition = 0
        entry = 0
        coldBatch = nil
    }

    private func unpin() {
        for pin in pins[usedPins...] { pin.cache.unpin(slot: pin.slot) }
        pins.removeAll(keepingCapacity: true)
        usedPins = 0
        filled = 0
    }

    /// Batches below this are copied: a piece of a gathered send costs more than so many bytes.
    private static let gathered = 8192

    /// Decides which batches are sent from where they are in the journal cache, and pins them there; as far as sends may pin.
    func plan(_ groups: [ReadGroup]) {
        unpin()
        let heads = makeHeads()
        var copied = heads.bytes.count
        var number = 0
        for partition in partitions {
            guard let place = partition.place else { continue }
            let cache = groups[Int(place.group)].cache
            for entry in partition.entries {
                if let slot = FetchJob.pin(entry, cache) { pins.append((number, slot, cache)) } else { copied += Int(entry.bytes) }
                number += 1
            }
        }
        copiedBytes = copied
        self.heads = heads
    }

    @inline(__always)
    private static func pin(_ entry: IndexEntry, _ cache: JournalCache) -> Int32? {
        guard entry.bytes >= FetchJob.gathered, !entry.isArchived, let slot = cache.pin(segment: cache.segment(of: entry.position))
        else { return nil }
        if cache.pinnedSlots <= cache.pinnableSlots { return slot }
        cache.unpin(slot: slot)
        return nil
    }

    func beginFilling(_ budget: AnswerBudget) {
        state = .filling
        answer = Answer(request.connection, number: request.answer, capacity: copiedBytes, budget: budget)
        putHead(0)
    }

    /// The piece of the heads that stands before the partition's records; behind the last, the end.
    func putHead(_ number: Int) {
        guard let heads else { return }
        let start = number == 0 ? 0 : heads.ends[number - 1]
        heads.bytes[start..<heads.ends[number]].withUnsafeBytes { answer!.append(copying: $0) }
    }

    /// The slot that is pinned for the next batch; nil: it is to be copied. The pin goes to the caller.
    func nextSlot() -> Int32? {
        defer { filled += 1 }
        guard usedPins < pins.count, pins[usedPins].batch == filled else { return nil }
        usedPins += 1
        return pins[usedPins - 1].slot
    }

    /// How many batches in a row, from the next one on, are to be copied.
    var copiedAhead: Int { usedPins < pins.count ? pins[usedPins].batch - filled : .max }

    /// So many batches have been copied.
    func skip(_ count: Int) { filled += count }

    /// Everything of the answer but the records.
    private func makeHeads() -> FetchResponseHeads {
        var heads = FetchResponseHeads(
            correlation: request.correlation, version: request.version, error: requestError, topics: topicNames.count)
        var ids = topicIds.makeIterator()
        partitions.byTopic(topicNames) { name, mine in
            heads.beginTopic(name, id: ids.next() ?? .zero, partitions: mine.count)
            for each in mine {
                heads.partition(
                    each.partition, error: each.error, highWatermark: each.highWatermark,
                    logStart: each.error == .none ? each.logStart : -1, committedOnly: committedOnly, recordBytes: each.bytes)
            }
            heads.endTopic()
        }
        heads.end(recordBytes: bytes)
        return heads
    }
}
