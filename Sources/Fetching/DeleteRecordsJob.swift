import Intake
import Journal
import Metadata
import Responses
import Wire

/// A DeleteRecords request from its arrival to its answer: it waits until the new log starts are committed.
final class DeleteRecordsJob {
    struct Partition: TopicPart {
        let topic: Int
        let asked: DeleteRecordsRequest.Partition
        let place: PartitionPlace?
        /// Where the log is to start.
        var target: Int64 = -1
        /// The write stage knows.
        var isSent = false
        var answer = DeleteRecordsResponse.Partition()
        var isDone = false

        mutating func finish(_ error: ErrorCode, lowWatermark: Int64 = -1) {
            answer.errorCode = error
            answer.lowWatermark = lowWatermark
            isDone = true
        }
    }

    /// A client that does not want to wait, in milliseconds: what takes effect at once in Kafka is on stable storage first here.
    private static let leastPatience: Int32 = 1000

    let request: ClientRequest
    let io: Int
    let deadline: UInt64
    private let topicNames: [String]
    var partitions: [Partition] = []

    init(_ request: ClientRequest, io: Int, message: DeleteRecordsRequest, table: TopicTable) {
        self.request = request
        self.io = io
        deadline = request.arrival + UInt64(max(message.timeoutMs, DeleteRecordsJob.leastPatience)) * 1_000_000
        topicNames = message.topics.map(\.name)
        for (number, topic) in message.topics.enumerated() {
            let known = table.topic(named: topic.name)
            let places = known?.partitions
            for asked in topic.partitions {
                let place = places?.place(of: asked.partitionIndex)
                var partition = Partition(topic: number, asked: asked, place: place)
                partition.answer.partitionIndex = asked.partitionIndex
                if place == nil {
                    partition.finish(.unknownTopicOrPartition)
                } else if let known, !known.settings.cleanup.contains(.delete) {
                    // What is compacted is deleted by its keys.
                    partition.finish(.policyViolation)
                }
                partitions.append(partition)
            }
        }
    }

    var isDone: Bool { partitions.allSatisfy(\.isDone) }

    var response: DeleteRecordsResponse {
        var response = DeleteRecordsResponse()
        partitions.byTopic(topicNames) { name, mine in
            var topic = DeleteRecordsResponse.Topic()
            topic.name = name
            topic.partitions = mine.map(\.answer)
            response.topics.append(topic)
        }
        return response
    }
}

extension ReadStage {
    mutating func begin(_ job: DeleteRecordsJob) {
        for index in job.partitions.indices where !job.partitions[index].isDone {
            guard let place = job.partitions[index].place else { continue }
            guard serving[Int(place.group)] > 0 else {
                job.partitions[index].finish(.notLeaderOrFollower)
                continue
            }
            let highWatermark = indexes[Int(place.group)].highWatermark(place.number)
            let asked = job.partitions[index].asked.offset
            let target = asked == -1 ? highWatermark : asked
            if target < 0 || target > highWatermark {
                job.partitions[index].finish(.offsetOutOfRange)
            } else {
                job.partitions[index].target = target
            }
        }
        deleteJobs.append(job)
    }

    /// Answers the requests whose log starts are committed, and those whose time is up. Returns how many.
    mutating func finishDeletes(_ now: UInt64) -> Int {
        var finished = 0
        for job in deleteJobs {
            for index in job.partitions.indices where !job.partitions[index].isDone {
                guard let place = job.partitions[index].place else { continue }
                let group = Int(place.group)
                guard serving[group] > 0 else {
                    job.partitions[index].finish(.notLeaderOrFollower)
                    continue
                }
                let start = indexes[group].logStart(place.number)
                let target = job.partitions[index].target
                // Tried before it is given up, however late it is.
                if start < target, !job.partitions[index].isSent {
                    job.partitions[index].isSent = links.logStarts[group].send(LogStartRequest(partition: place.number, offset: target))
                }
                if start >= target {
                    job.partitions[index].finish(.none, lowWatermark: start)
                } else if now >= job.deadline {
                    job.partitions[index].finish(.requestTimedOut)
                }
            }
            guard job.isDone else { continue }
            finished += 1
            answer(job.response, job.request, io: job.io)
        }
        if finished > 0 { deleteJobs.removeAll(where: \.isDone) }
        return finished
    }
}
