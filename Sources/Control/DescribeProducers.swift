import Intake
import Metadata
import Sequencer
import Wire

/// A DescribeProducers request, until all write stages have said what they know.
struct ProducerInquiry {
    let request: ClientRequest
    let io: Int
    var response: DescribeProducersResponse
    /// Where what is asked for is in the response, by its place.
    let answers: [PartitionPlace: (topic: Int, partition: Int)]
    /// The groups that have not answered.
    var groups: Set<UInt16>
    let deadline: UInt64
}

extension ControlStage {
    /// So long a write stage is waited for, in nanoseconds.
    private static var patience: UInt64 { 5_000_000_000 }

    mutating func handleDescribeProducers(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(DescribeProducersRequest.self)
        var response = DescribeProducersResponse()
        var answers: [PartitionPlace: (topic: Int, partition: Int)] = [:]
        for (number, topic) in message.topics.enumerated() {
            let places = table.topic(named: topic.name)?.partitions
            var answer = DescribeProducersResponse.Topic()
            answer.name = topic.name
            for (index, partition) in topic.partitionIndexes.enumerated() {
                var result = DescribeProducersResponse.Partition()
                result.partitionIndex = partition
                if let place = places?.place(of: partition) {
                    let leadership = directory.leadership(of: place.group)
                    if answers[place] != nil {
                        result.errorCode = .invalidRequest
                        result.errorMessage = "the partition is named twice"
                    } else if leadership.leader == nodeId, leadership.hasBegun {
                        answers[place] = (number, index)
                    } else {
                        result.errorCode = .notLeaderOrFollower
                    }
                } else {
                    result.errorCode = .unknownTopicOrPartition
                }
                answer.partitions.append(result)
            }
            response.topics.append(answer)
        }
        guard !answers.isEmpty else { return try answer(response, request, io) }
        let token = newToken()
        var groups: Set<UInt16> = []
        for (group, places) in Dictionary(grouping: answers.keys, by: \.group) {
            groups.insert(group)
            let query = ProducerQuery(token: token, group: group, partitions: Set(places.map(\.number)))
            // One that finds no room is told by the time that is up.
            if links.queries[Int(group)].hasRoom() { _ = links.queries[Int(group)].send(Unmanaged.passRetained(query)) }
        }
        inquiries[token] = ProducerInquiry(request: request, io: io, response: response, answers: answers, groups: groups, deadline: monotonic + ControlStage.patience)
    }

    /// Takes what write stages report; answers who has all, or has waited for long enough. Returns how much was done.
    mutating func takeReports() -> Int {
        var count = 0
        for group in 0..<links.reports.count {
            while let next = links.reports[group].pop() {
                take(next.takeRetainedValue())
                count += 1
            }
            links.reports[group].release()
        }
        for (token, inquiry) in inquiries where inquiry.groups.isEmpty || monotonic >= inquiry.deadline {
            inquiries[token] = nil
            count += 1
            var response = inquiry.response
            for (place, answer) in inquiry.answers where inquiry.groups.contains(place.group) {
                response.topics[answer.topic].partitions[answer.partition].errorCode = .requestTimedOut
            }
            reply(response, inquiry.request, inquiry.io)
        }
        return count
    }

    private mutating func take(_ report: ProducerReport) {
        guard inquiries[report.token]?.groups.remove(report.group) != nil, let inquiry = inquiries[report.token] else { return }
        for producer in report.producers {
            guard let answer = inquiry.answers[PartitionPlace(group: report.group, number: producer.partition)] else { continue }
            var told = DescribeProducersResponse.Producer()
            told.producerId = producer.id
            told.producerEpoch = Int32(producer.epoch)
            told.lastSequence = producer.lastSequence
            told.lastTimestamp = producer.lastTime
            inquiries[report.token]?.response.topics[answer.topic].partitions[answer.partition].activeProducers.append(told)
        }
    }
}
