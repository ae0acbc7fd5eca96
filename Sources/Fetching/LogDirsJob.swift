import Intake
import Metadata
import Wire

/// A DescribeLogDirs request from its arrival to its answer.
struct LogDirsJob {
    let request: ClientRequest
    let io: Int
    private let topicNames: [String]
    /// What is yet to be measured.
    private var left: ArraySlice<(topic: Int, partition: Int32, place: PartitionPlace)>
    private var measured: [Partition] = []

    private struct Partition: TopicPart {
        let topic: Int
        let answer: DescribeLogDirsResponse.Partition
    }

    init(_ request: ClientRequest, io: Int, message: DescribeLogDirsRequest, table: TopicTable) {
        self.request = request
        self.io = io
        // What there is not is left out, and what is named again is told once.
        let asked = message.topics.map { topics in
            Dictionary(topics.map { ($0.topic, Set($0.partitions)) }) { $0.union($1) }
        }
        let topics = asked.map { asked in table.topics.filter { asked[$0.name] != nil } } ?? table.topics
        topicNames = topics.map(\.name)
        left = topics.enumerated().flatMap { number, topic in
            topic.partitions.enumerated().compactMap { partition, place in
                asked?[topic.name]?.contains(Int32(partition)) ?? true ? (number, Int32(partition), place) : nil
            }
        }[...]
    }

    var isDone: Bool { left.isEmpty }

    /// Goes on with so many partitions.
    /// - Parameter size: how many bytes a partition takes; nil: it is not here.
    mutating func measure(_ count: Int, _ size: (PartitionPlace) -> UInt64?) {
        for (topic, partition, place) in left.prefix(count) {
            guard let bytes = size(place) else { continue }
            var answer = DescribeLogDirsResponse.Partition()
            answer.partitionIndex = partition
            answer.partitionSize = Int64(clamping: bytes)
            measured.append(Partition(topic: topic, answer: answer))
        }
        left = left.dropFirst(count)
    }

    var topics: [DescribeLogDirsResponse.Topic] {
        var topics: [DescribeLogDirsResponse.Topic] = []
        measured.byTopic(topicNames) { name, mine in
            guard !mine.isEmpty else { return }
            var topic = DescribeLogDirsResponse.Topic()
            topic.name = name
            topic.partitions = mine.map(\.answer)
            topics.append(topic)
        }
        return topics
    }
}
