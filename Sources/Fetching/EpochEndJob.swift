import Intake
import Journal
import Metadata
import Wire

/// An OffsetForLeaderEpoch request from its arrival to its answer; it may have to wait for the disk.
final class EpochEndJob {
    struct Partition: TopicPart {
        let topic: Int
        let asked: OffsetForLeaderEpochRequest.Partition
        let place: PartitionPlace?
        var answer = OffsetForLeaderEpochResponse.Partition()
        var isDone = false
        var search: Search?
        /// An archived batch whose place in the journal is looked for, while it is read.
        var batch: ColdBatch?
    }

    /// Looks for the first batch of a partition at or behind a position of the journal.
    struct Search {
        let position: UInt64
        /// What has lower offsets lies before the position; what has not lower ones than `high` does not.
        var low: Int64
        var high: Int64
    }

    let request: ClientRequest
    let io: Int
    private let topicNames: [String]
    var partitions: [Partition] = []

    init(_ request: ClientRequest, io: Int, message: OffsetForLeaderEpochRequest, table: TopicTable) {
        self.request = request
        self.io = io
        topicNames = message.topics.map(\.topic)
        for (number, topic) in message.topics.enumerated() {
            let places = table.topic(named: topic.topic)?.partitions
            for asked in topic.partitions {
                let place = places?.place(of: asked.partition)
                var partition = Partition(topic: number, asked: asked, place: place)
                partition.answer.partition = asked.partition
                if place == nil { partition.fail(.unknownTopicOrPartition) }
                partitions.append(partition)
            }
        }
    }

    deinit { for partition in partitions { partition.batch?.target.deallocate() } }

    var response: OffsetForLeaderEpochResponse {
        var response = OffsetForLeaderEpochResponse()
        partitions.byTopic(topicNames) { name, mine in
            var topic = OffsetForLeaderEpochResponse.Topic()
            topic.topic = name
            topic.partitions = mine.map(\.answer)
            response.topics.append(topic)
        }
        return response
    }
}

extension EpochEndJob.Partition {
    mutating func fail(_ error: ErrorCode) {
        answer.errorCode = error
        answer.leaderEpoch = -1
        answer.endOffset = -1
        isDone = true
    }

    mutating func finish(endOffset: Int64) {
        answer.endOffset = endOffset
        isDone = true
    }
}
