import Codecs
import Glibc
import Wire

/// Reads partitions of one topic from given offsets on, without a group.
public final class Consumer {
    private let client: KafkaClient
    private let topic: String
    /// The next offset to read, by partition.
    public private(set) var positions: [Int32: Int64] = [:]
    private var highWatermarks: [Int32: Int64] = [:]
    /// Where to go on in a partition that does not have the offset that was to be read next; nil: that is an error.
    var whereOutOfRange: ((KafkaClient.TopicPartition, Int64) throws -> Int64)?
    /// Since when no broker was heard of; nil: the last one that was asked has answered.
    private var lostSince: ContinuousClock.Instant?

    /// How long a broker may wait for records, in milliseconds.
    private static let maxWaitMs: Int32 = 500
    private static let maxBytes: Int32 = 8 << 20

    /// - Parameter partitions: nil, or none, for all.
    public init(_ client: KafkaClient, topic: String, partitions: [Int32]?, start: LogPlace) throws {
        self.client = client
        self.topic = topic
        for partition in try client.partitions(of: topic, named: partitions ?? []) {
            let target = KafkaClient.TopicPartition(topic, partition)
            let offset = try client.offset(of: target, at: start)
            if case .offset = start { try checkRange(target, offset) }
            positions[partition] = offset
        }
    }

    /// Whether the partition has the offset, or that is its next.
    private func checkRange(_ target: KafkaClient.TopicPartition, _ offset: Int64) throws {
        let (start, end) = (try client.offset(of: target, at: .start), try client.offset(of: target, at: .end))
        guard !(start...max(start, end)).contains(offset) else { return }
        throw ClientError.nowhere(
            start == end ? "\(target) has no offset \(offset): it has none, and \(end) is the next." : "\(target) has no offset \(offset), only those from \(start) to \(end - 1).")
    }

    init(_ client: KafkaClient, topic: String, positions: [Int32: Int64]) {
        self.client = client
        self.topic = topic
        self.positions = positions
    }

    /// Whether every partition was read to its high watermark, as it was when last asked.
    public var isAtEnd: Bool {
        positions.allSatisfy { partition, position in highWatermarks[partition].map { position >= $0 } ?? false }
    }

    /// Asks every leader once, and hands on what it gives, in each partition's order. `body` answers whether to go on; the
    /// positions are after the last record that it was given. A broker that can't be reached is waited for, as long as a call may take.
    public func poll(_ body: (Int32, Record) throws -> Bool) throws {
        var byLeader: [KafkaClient.Address: [Int32]] = [:]
        for partition in positions.keys.sorted() {
            do {
                byLeader[try client.leader(of: .init(topic, partition)), default: []].append(partition)
            } catch let error as ClientError {
                try wait(for: error)
            }
        }
        for (leader, partitions) in byLeader {
            let response: FetchResponse
            do { response = try client.fetch(request(partitions), from: leader) } catch let error as ClientError {
                try wait(for: error)
                continue
            }
            lostSince = nil
            for answer in response.topics.flatMap(\.partitions) where positions[answer.partitionIndex] != nil {
                guard try take(answer, body) else { return }
            }
        }
    }

    /// What may be otherwise a moment later is waited for; a broker that can't be reached not for ever.
    private func wait(for error: ClientError) throws {
        if case .connection = error {
            let since = lostSince ?? .now
            lostSince = since
            guard ContinuousClock.now < since + .milliseconds(client.timeoutMs) else { throw error }
            client.forgetLeaders()
        } else if !error.isRetriable {
            throw error
        }
        usleep(100_000)
    }

    private func request(_ partitions: [Int32]) -> FetchRequest {
        var topic = FetchRequest.Topic()
        topic.topic = self.topic
        // The version decides which of the two is sent.
        topic.topicId = client.topicIds[self.topic] ?? .zero
        topic.partitions = partitions.map { number in
            var partition = FetchRequest.Partition()
            partition.partition = number
            partition.fetchOffset = positions[number] ?? 0
            partition.partitionMaxBytes = Self.maxBytes
            return partition
        }
        var request = FetchRequest()
        request.maxWaitMs = Self.maxWaitMs
        request.minBytes = 1
        request.maxBytes = Self.maxBytes
        request.topics = [topic]
        return request
    }

    private func take(_ answer: FetchResponse.Partition, _ body: (Int32, Record) throws -> Bool) throws -> Bool {
        let partition = answer.partitionIndex
        if answer.errorCode == .offsetOutOfRange, let position = positions[partition] {
            let target = KafkaClient.TopicPartition(topic, partition)
            // A broker that does not have it after all a moment later is not to be flooded.
            usleep(100_000)
            guard let whereOutOfRange else {
                try checkRange(target, position)
                // It has it by now.
                return true
            }
            positions[partition] = try whereOutOfRange(target, position)
            return true
        }
        do throws(ClientError) { try KafkaClient.check(answer.errorCode, "\(KafkaClient.TopicPartition(topic, partition))") } catch {
            // The client asks who leads before the next try; a broker that does not know yet is not to be flooded.
            try wait(for: error)
            return true
        }
        highWatermarks[partition] = answer.highWatermark
        var rest = (answer.records ?? [])[...]
        while let batch = try RecordBatch.takeNext(&rest) {
            let header = try batch.withUnsafeBytes { try RecordBatchHeader(checking: $0) }
            if !header.isControl {
                for record in try RecordBatch.records(of: Array(batch)) where record.offset >= positions[partition] ?? 0 {
                    positions[partition] = record.offset + 1
                    guard try body(partition, record) else { return false }
                }
            }
            // Past records that compaction took away at the batch's end.
            positions[partition] = max(positions[partition] ?? 0, try header.nextOffset())
        }
        return true
    }
}
