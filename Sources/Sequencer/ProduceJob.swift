// Unsafe on purpose: it points into the request that it belongs to, which stays in place until it is released.

import IO
import Intake
import Metadata
import Wire

/// A Produce request under way in the write stage: what it asks of this partition group, and what has come of it so far. One
/// is used again and again, so that a request allocates nothing.
package struct ProduceJob {
    /// One partition's batch.
    package struct Item {
        package var topic: UnsafeRawBufferPointer
        var topicNumber: Int
        package var partition: Int32
        var place = PartitionPlace(group: 0, number: 0)
        package var records: UnsafeRawBufferPointer?
        var maxBytes = 0
        var error = ErrorCode.none
        var baseOffset: Int64 = -1
    }

    private(set) var request: ClientRequest
    package var items: [Item] = []
    /// The item that is next to be sequenced.
    var next = 0
    /// The greatest position that the answer waits for.
    var position: UInt64 = 0
    package private(set) var isMalformed = false
    private(set) var quality = QualityOfService.oneWay
    private(set) var timeoutMs: Int32 = 0
    /// The number in the table of the topic that was named last.
    private var lastTopic = 0
    /// No more bytes than this will its topics' encoding take.
    private(set) var topicBytesBound = 0
    /// Where the encoding goes.
    package private(set) var encoding = AlignedBuffer(count: 4096)

    package init() {
        request = ClientRequest(
            connection: ConnectionID(slot: 0, generation: 0), frame: 0, answer: 0, bytes: encoding.base, count: 0,
            bodyOffset: 0, key: 0, version: 0, correlation: 0, groups: 0, wantsAnswer: false, arrival: 0)
    }

    /// Reads the request. What is of another group that was handed it is that one's; what belongs nowhere, or to a group that
    /// was not handed it because the topic is just being made, is for the first of those that were to refuse.
    package mutating func begin(_ request: ClientRequest, group: UInt16, table: TopicTable) {
        self.request = request
        next = 0
        position = 0
        topicBytesBound = 0
        quality = .oneWay
        isMalformed = false
        let body = request.body
        if let single = SingleProduce(body, version: request.version) { return begin(single, group: group, table: table) }
        items.removeAll(keepingCapacity: true)
        var cursor = RawCursor(body.baseAddress!, count: body.count)
        guard let preamble = ProducePreamble(&cursor, version: request.version) else {
            isMalformed = true
            return
        }
        timeoutMs = preamble.timeoutMs
        let acks = preamble.acks
        var topicNumber = -1
        var tableNumber: Int?
        isMalformed = !cursor.producePartitions(version: request.version) { partition in
            if partition.topicNumber != topicNumber {
                topicNumber = partition.topicNumber
                tableNumber = table.number(of: partition.topic)
            }
            var item = Item(
                topic: partition.topic, topicNumber: topicNumber, partition: partition.partition, records: partition.records)
            guard let place = table.place(of: partition.partition, topic: tableNumber), let tableNumber,
                request.groups & (1 << UInt64(place.group)) != 0
            else {
                guard group == request.groups.trailingZeroBitCount else { return }
                item.error = .unknownTopicOrPartition
                add(item, settings: TopicSettings(), acks: acks)
                return
            }
            guard place.group == group else { return }
            item.place = place
            if partition.records == nil { item.error = .invalidRecord }
            if preamble.isTransactional { item.error = .invalidTxnState }
            add(item, settings: table.topics[tableNumber].settings, acks: acks)
        }
    }

    /// As most are.
    private mutating func begin(_ single: SingleProduce, group: UInt16, table: TopicTable) {
        timeoutMs = single.timeoutMs
        var item = Item(topic: single.topic, topicNumber: 0, partition: single.partition, records: single.records)
        guard let number = table.number(of: single.topic, likely: lastTopic), let place = table.place(of: single.partition, topic: number),
            request.groups & (1 << UInt64(place.group)) != 0
        else {
            guard group == request.groups.trailingZeroBitCount else { return items.removeAll(keepingCapacity: true) }
            item.error = .unknownTopicOrPartition
            return addOnly(item, settings: TopicSettings(), acks: single.acks)
        }
        lastTopic = number
        guard place.group == group else { return items.removeAll(keepingCapacity: true) }
        item.place = place
        addOnly(item, settings: table.topics[number].settings, acks: single.acks)
    }

    private mutating func addOnly(_ item: Item, settings: TopicSettings, acks: Int16) {
        var item = item
        judge(&item, settings, acks)
        topicBytesBound = ProduceResponseWriter.topicBytes(name: item.topic.count) + ProduceResponseWriter.partitionBytes
        // The last request, too, was one of one.
        if items.count == 1 {
            items[0] = item
        } else {
            items.removeAll(keepingCapacity: true)
            items.append(item)
        }
    }

    private mutating func judge(_ item: inout Item, _ settings: TopicSettings, _ acks: Int16) {
        item.maxBytes = settings.maxMessageBytes
        switch acks {
        case 0: break
        case 1: quality = max(quality, settings.qosLeader)
        case -1: quality = max(quality, settings.qosAll)
        default:
            quality = max(quality, .received)
            item.error = .invalidRequiredAcks
        }
    }

    private mutating func add(_ item: Item, settings: TopicSettings, acks: Int16) {
        var item = item
        judge(&item, settings, acks)
        if items.last?.topicNumber != item.topicNumber {
            topicBytesBound += ProduceResponseWriter.topicBytes(name: item.topic.count)
        }
        topicBytesBound += ProduceResponseWriter.partitionBytes
        items.append(item)
    }

    /// Encodes what came of each item. Returns the length in bytes, and the number of topics.
    /// - Parameter logStart: of a partition by its number.
    package mutating func encodeTopics(logStart: (UInt32) -> Int64) -> (bytes: Int, topics: Int) {
        if encoding.count < topicBytesBound { encoding = AlignedBuffer(count: 2 * topicBytesBound) }
        if items.count == 1 {
            return (
                ProduceResponseWriter.putSingle(
                    ProduceJob.outcome(items[0], logStart), topic: items[0].topic, to: encoding.base, capacity: encoding.count, version: request.version), 1
            )
        }
        var writer = ProduceResponseWriter(encoding.base, capacity: encoding.count, version: request.version)
        var topics = 0
        var first = 0
        while first < items.count {
            var end = first + 1
            while end < items.count, items[end].topicNumber == items[first].topicNumber { end += 1 }
            writer.beginTopic(name: items[first].topic, partitions: end - first)
            for index in first..<end {
                writer.put(ProduceJob.outcome(items[index], logStart))
            }
            writer.endTopic()
            topics += 1
            first = end
        }
        return (writer.count, topics)
    }

    private static func outcome(_ item: Item, _ logStart: (UInt32) -> Int64) -> ProduceOutcome {
        ProduceOutcome(
            partition: item.partition, error: item.error, baseOffset: item.error == .none ? item.baseOffset : -1,
            logStartOffset: item.error == .none ? logStart(item.place.number) : -1)
    }
}
