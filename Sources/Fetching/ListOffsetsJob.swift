import Codecs
import Intake
import Journal
import Metadata
import Wire

/// A request whose answer is looked for in the index: it may have to wait for the disk.
enum OffsetSearch {
    case listOffsets(ListOffsetsJob)
    case epochEnds(EpochEndJob)
}

/// A ListOffsets request from its arrival to its answer; it may have to wait for the disk.
final class ListOffsetsJob {
    struct Partition: TopicPart {
        let topic: Int
        let asked: ListOffsetsRequest.Partition
        let place: PartitionPlace?
        var answer = ListOffsetsResponse.Partition()
        var isDone = false
        /// The timestamp that a record must have at least.
        var wanted: Int64?
        /// The search has been through everything before this offset.
        var scannedTo: Int64 = 0
        /// The batch in which the record is, while it is read.
        var batch: ColdBatch?
        var entry: IndexEntry?
    }

    let request: ClientRequest
    let io: Int
    let topicNames: [String]
    var partitions: [Partition] = []

    init(_ request: ClientRequest, io: Int, message: ListOffsetsRequest, table: TopicTable) {
        self.request = request
        self.io = io
        topicNames = message.topics.map(\.name)
        for (number, topic) in message.topics.enumerated() {
            let places = table.topic(named: topic.name)?.partitions
            for asked in topic.partitions {
                let place = places?.place(of: asked.partitionIndex)
                var partition = Partition(topic: number, asked: asked, place: place)
                partition.answer.partitionIndex = asked.partitionIndex
                if place == nil { partition.fail(.unknownTopicOrPartition) }
                partitions.append(partition)
            }
        }
    }

    deinit { for partition in partitions { partition.batch?.target.deallocate() } }

    var response: ListOffsetsResponse {
        var response = ListOffsetsResponse()
        partitions.byTopic(topicNames) { name, mine in
            var topic = ListOffsetsResponse.Topic()
            topic.name = name
            topic.partitions = mine.map(\.answer)
            response.topics.append(topic)
        }
        return response
    }
}

extension ListOffsetsJob.Partition {
    mutating func fail(_ error: ErrorCode) {
        answer.errorCode = error
        answer.offset = -1
        answer.timestamp = -1
        isDone = true
    }

    mutating func finish(offset: Int64, timestamp: Int64) {
        answer.offset = offset
        answer.timestamp = timestamp
        isDone = true
    }
}
