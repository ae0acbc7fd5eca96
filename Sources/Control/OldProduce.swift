// Unsafe on purpose: it reads a request in place.

import Intake
import Responses
import Wire

extension ControlStage {
    /// Produce before version 3 is advertised, because old librdkafka compresses only for brokers that do, but carries
    /// record formats that are not served: each partition is told so.
    mutating func refuseOldProduce(_ request: ClientRequest, _ io: Int) throws {
        let body = request.body
        guard let base = body.baseAddress, request.version >= 0, request.version < 3 else {
            throw WireError("Produce version \(request.version) is not served here")
        }
        var cursor = RawCursor(base, count: body.count)
        let acks: Int16 = cursor.integer()
        _ = cursor.integer(Int32.self)
        guard acks != 0 else { throw WireError("Produce version \(request.version) is not served here") }
        var partitions: [ProducePartition] = []
        guard cursor.producePartitions(version: request.version, { partitions.append($0) }) else {
            throw WireError("a Produce request that can't be read")
        }
        let room = partitions.reduce(0) {
            $0 + ProduceResponseWriter.topicBytes(name: $1.topic.count) + ProduceResponseWriter.partitionBytes
        }
        let topics = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: 16)
        defer { topics.deallocate() }
        var writer = ProduceResponseWriter(topics, capacity: room, version: request.version)
        for partition in partitions {
            writer.beginTopic(name: partition.topic, partitions: 1)
            writer.put(
                ProduceOutcome(
                    partition: partition.partition, error: .unsupportedVersion, baseOffset: -1, logStartOffset: -1))
            writer.endTopic()
        }
        let whole = Answer(
            request.connection, number: request.answer, capacity: writer.count + ProduceResponseWriter.frameBytes)
        var frame = ProduceResponseWriter(
            whole.reserve(whole.free), capacity: whole.used, version: request.version)
        frame.begin(correlation: request.correlation, topics: partitions.count, topicsBytes: writer.count)
        frame.put(bytes: UnsafeRawBufferPointer(start: topics, count: writer.count))
        frame.end()
        whole.shorten(to: frame.count)
        links.desk.send(whole, io)
    }
}
