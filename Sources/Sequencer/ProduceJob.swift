// Unsafe on purpose: it points into the request that it belongs to, which stays in place until it is released.

import Host
import IO
import Intake
import Journal
import Metadata
import Responses
import Wire

/// How many replicas of a partition group are in sync, as the write stage sees it.
struct InSyncCount: BitwiseCopyable {
    /// How many are, the leader among them; and how many are a majority of all.
    let count: UInt8
    let majority: UInt8
    /// The greatest min.insync.replicas that needs no further look: a majority is in sync, and it asks for no more than that.
    let ample: UInt8

    /// Whoever does not lead refuses everything anyway.
    static let unchecked = InSyncCount(count: .max, majority: .max)

    private init(count: UInt8, majority: UInt8) {
        self.count = count
        self.majority = majority
        ample = count >= majority ? majority : 0
    }

    init(_ positions: JournalPositions) {
        self.init(count: UInt8(clamping: positions.inSyncReplicas.load()), majority: UInt8(clamping: positions.majority.load()))
    }
}

/// A Produce request under way in the write stage: what it asks of this partition group, and what has come of it so far. One
/// is used again and again, so that a request allocates nothing.
package struct ProduceJob: ~Copyable {
    /// One partition's batch.
    package struct Item: BitwiseCopyable {
        package var topic: UnsafeRawBufferPointer
        var topicNumber: Int
        package var partition: Int32
        var place = PartitionPlace(group: 0, number: 0)
        package var records: UnsafeRawBufferPointer?
        var maxBytes = 0
        /// Its topic is compacted.
        var needsKeys = false
        /// Its topic's records have the time at which they are written; and that time, once this one is.
        var usesAppendTime = false
        var appendTime: Int64 = -1
        var error = ErrorCode.none
        var baseOffset: Int64 = -1
    }

    private(set) var request: ClientRequest
    package var items = OwnedArray<Item>(minimumCapacity: 64)
    /// The item that is next to be sequenced.
    var next = 0
    /// The greatest position that the answer waits for.
    var position: UInt64 = 0
    package private(set) var isMalformed = false
    private(set) var quality = QualityOfService.oneWay
    /// How many replicas must be in sync when the answer leaves; it counts for that quality only.
    private(set) var replicas: UInt8 = 0
    /// What acks=-1 is held against.
    var inSync = InSyncCount.unchecked
    private(set) var timeoutMs: Int32 = 0
    private var isInside = false
    /// The number in the table of the topic that was named last.
    private var lastTopic = 0
    /// No more bytes than this will its answer take.
    private(set) var answerBytesBound = 0
    /// Where the answer is encoded; whole cells of the queues can be read from it.
    private var encoding = AlignedBuffer(count: 4096)

    package init() {
        request = ClientRequest(
            connection: ConnectionID(slot: 0, generation: 0), frame: 0, answer: 0, bytes: encoding.base, count: 0,
            bodyOffset: 0, key: 0, version: 0, correlation: 0, groups: 0, wantsAnswer: false, arrival: 0)
    }

    /// Reads the request. What is of another group that was handed it is that one's; what belongs nowhere, or to a group that
    /// was not handed it because the topic is just being made, is for the first of those that were to refuse.
    /// - Parameter isInside: the client is a part of this broker.
    @inline(__always)
    package mutating func begin(_ request: UnsafePointer<ClientRequest>, group: UInt16, table: TopicTable, isInside: Bool = false) {
        self.request = request.pointee
        self.isInside = isInside
        items.removeAll()
        next = 0
        position = 0
        quality = .oneWay
        replicas = 0
        isMalformed = false
        let body = self.request.body
        if let single = SingleProduce(body, version: self.request.version) {
            timeoutMs = single.timeoutMs
            answerBytesBound = SingleProduceAnswer.bytes + single.topic.count
            if let number = table.number(of: single.topic, likely: lastTopic) {
                lastTopic = number
                add(single.topic, 0, single.partition, single.records, table.entry(number), acks: single.acks, group)
            } else {
                add(single.topic, 0, single.partition, single.records, nil, acks: single.acks, group)
            }
        } else {
            beginAny(body, group: group, table: table)
        }
    }

    /// A request of several partitions, or of an unusual form.
    private mutating func beginAny(_ body: UnsafeRawBufferPointer, group: UInt16, table: TopicTable) {
        answerBytesBound = ProduceResponseWriter.frameBytes
        var cursor = RawCursor(body.baseAddress!, count: body.count)
        guard let preamble = ProducePreamble(&cursor, version: request.version) else {
            isMalformed = true
            return
        }
        timeoutMs = preamble.timeoutMs
        var topicNumber = -1
        var entry: UnsafePointer<TopicEntry>?
        isMalformed = !cursor.producePartitions(version: request.version) { partition in
            if partition.topicNumber != topicNumber {
                topicNumber = partition.topicNumber
                entry = table.number(of: partition.topic).map(table.entry)
            }
            let before = items.count
            let isNewTopic = before == 0 || items[before - 1].topicNumber != topicNumber
            add(partition.topic, topicNumber, partition.partition, partition.records, entry, acks: preamble.acks, group)
            guard items.count > before else { return }
            if preamble.isTransactional && items[before].error == .none { items[before].error = .invalidTxnState }
            if isNewTopic { answerBytesBound += ProduceResponseWriter.topicBytes(name: partition.topic.count) }
            answerBytesBound += ProduceResponseWriter.partitionBytes
        }
    }

    /// Adds what is this group's to do, or to refuse.
    /// - Parameter entry: nil: there is no such topic.
    @inline(__always)
    private mutating func add(
        _ topic: UnsafeRawBufferPointer, _ topicNumber: Int, _ partition: Int32, _ records: UnsafeRawBufferPointer?,
        _ entry: UnsafePointer<TopicEntry>?, acks: Int16, _ group: UInt16
    ) {
        var item = Item(topic: topic, topicNumber: topicNumber, partition: partition, records: records)
        if let entry, let place = entry.pointee.place(of: partition), request.groups & (1 << UInt64(place.group)) != 0 {
            guard place.group == group else { return }
            item.place = place
            item.maxBytes = entry.pointee.settings.maxMessageBytes
            item.needsKeys = entry.pointee.settings.cleanup.contains(.compact)
            item.usesAppendTime = entry.pointee.settings.usesAppendTime
            if records == nil { item.error = .invalidRecord }
            if entry.pointee.isInternal && !isInside { item.error = .invalidTopicException }
            switch acks {
            case 0: break
            case 1: quality = max(quality, entry.pointee.settings.qosLeader)
            case -1:
                quality = max(quality, entry.pointee.settings.qosAll)
                if entry.pointee.settings.minInsyncReplicas > inSync.ample { demand(entry.pointee.settings.minInsyncReplicas, of: &item) }
            default:
                quality = max(quality, .received)
                item.error = .invalidRequiredAcks
            }
        } else {
            guard group == request.groups.trailingZeroBitCount else { return }
            item.error = .unknownTopicOrPartition
        }
        items.append(item)
    }

    /// The topic asks for more replicas in sync than a majority; or not even that is.
    @inline(never)
    private mutating func demand(_ least: UInt8, of item: inout Item) {
        guard inSync.count >= max(least, inSync.majority) else {
            if item.error == .none { item.error = .notEnoughReplicas }
            return
        }
        quality = .inSync
        replicas = max(replicas, least)
    }

    /// The answer, a refusal too, does not leave before what ends there is committed, whatever the quality asked for.
    mutating func awaitCommit(of end: UInt64) {
        position = max(position, end)
        quality = max(quality, .durable)
    }

    /// Nothing comes of what has not been refused for good already; the answer waits for no position.
    mutating func refuse(_ error: ErrorCode) {
        position = 0
        for index in 0..<items.count where items[index].error == .none || items[index].error.isTentative {
            items[index].error = error
            items[index].appendTime = -1
        }
    }

    /// Whether the answer is encoded as a whole; if not, its topics are, because other groups have a part in it, or because of their
    /// number.
    @inline(__always)
    package var answersWhole: Bool { items.count == 1 && request.isWhole && items[0].topic.count <= SingleProduceAnswer.longestName }

    /// Encodes the whole answer. Returns the bytes, which stay until the next request.
    @inline(__always)
    package mutating func encodeWhole(_ state: borrowing SequencerState) -> UnsafeRawBufferPointer {
        let count = SingleProduceAnswer.write(
            ProduceJob.outcome(items[0], state), topic: items[0].topic, correlation: request.correlation, version: request.version,
            to: encoding.base)
        return UnsafeRawBufferPointer(start: encoding.base, count: count)
    }

    /// Encodes what came of each item. Returns the bytes, which stay until the next request, and the number of topics.
    package mutating func encodeTopics(_ state: borrowing SequencerState) -> (bytes: UnsafeRawBufferPointer, topics: Int) {
        if encoding.count < answerBytesBound + PendingCell.bytes { encoding = AlignedBuffer(count: 2 * answerBytesBound) }
        let base = encoding.base
        var writer = ProduceResponseWriter(base, capacity: encoding.count, version: request.version)
        var topics = 0
        var first = 0
        while first < items.count {
            var end = first + 1
            while end < items.count, items[end].topicNumber == items[first].topicNumber { end += 1 }
            writer.beginTopic(name: items[first].topic, partitions: end - first)
            for index in first..<end {
                writer.put(ProduceJob.outcome(items[index], state))
            }
            writer.endTopic()
            topics += 1
            first = end
        }
        return (UnsafeRawBufferPointer(start: base, count: writer.count), topics)
    }

    @inline(__always)
    private static func outcome(_ item: Item, _ state: borrowing SequencerState) -> ProduceOutcome {
        ProduceOutcome(
            partition: item.partition, error: item.error, baseOffset: item.error == .none ? item.baseOffset : -1,
            logStartOffset: item.error == .none ? state.logStart(item.place.number) : -1, logAppendTime: item.appendTime)
    }
}
