import TestSupport
import Testing

@testable import Wire

@Suite struct ProduceResponseWriterTests {
    static let versions = Array(Int16(3)...11)

    private struct Topic {
        var name: String
        var outcomes: [ProduceOutcome]
    }

    private func topics(_ random: inout SeededRandom, names: [String]? = nil) -> [Topic] {
        (0..<random.below(5)).map { _ in
            let name = names?[random.below(names!.count)]
                ?? String(repeating: "n", count: [0, 1, 5, 125, 126, 127, 128, 249][random.below(8)])
            let outcomes = (0..<[0, 1, 2, 3, 126, 127, 128, 200][random.below(8)]).map { _ in
                let error: ErrorCode = random.below(3) == 0 ? .messageTooLarge : .none
                return ProduceOutcome(
                    partition: Int32(random.below(1000)), error: error,
                    baseOffset: error == .none ? Int64(random.below(1 << 40)) : -1, logStartOffset: error == .none ? 0 : -1,
                    logAppendTime: error == .none && random.below(2) == 0 ? Int64(random.below(1 << 40)) : -1)
            }
            return Topic(name: name, outcomes: outcomes)
        }
    }

    /// The topics' encoding, in no more room than the bounds say.
    private func encoded(_ topics: [Topic], version: Int16) -> [UInt8] {
        let bound = topics.reduce(0) {
            $0 + ProduceResponseWriter.topicBytes(name: $1.name.utf8.count)
                + $1.outcomes.count * ProduceResponseWriter.partitionBytes
        }
        return written(bound, version: version) { writer in
            for topic in topics {
                Array(topic.name.utf8).withUnsafeBytes { writer.beginTopic(name: $0, partitions: topic.outcomes.count) }
                for outcome in topic.outcomes { writer.put(outcome) }
                writer.endTopic()
            }
        }
    }

    private func written(_ capacity: Int, version: Int16, _ body: (inout ProduceResponseWriter) -> Void) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: max(capacity, 1)) { room, count in
            var writer = ProduceResponseWriter(UnsafeMutableRawPointer(room.baseAddress!), capacity: capacity, version: version)
            body(&writer)
            count = writer.count
        }
    }

    /// The frame around topics that are encoded already, decoded again.
    private func decoded(_ topics: [UInt8], count: Int, version: Int16, correlation: Int32 = 77) throws -> ProduceResponse {
        let frame = written(topics.count + ProduceResponseWriter.frameBytes, version: version) { writer in
            writer.begin(correlation: correlation, topics: count, topicsBytes: topics.count)
            topics.withUnsafeBytes { writer.put(bytes: $0) }
            writer.end()
        }
        let length = frame.withUnsafeBytes { Int32(bigEndian: $0.loadUnaligned(as: Int32.self)) }
        #expect(Int(length) == frame.count - 4, "the frame's length")
        let body = Array(frame[4...])
        let header = try body.withUnsafeBytes { try ResponseHeader.decode($0, api: .produce, version: version) }
        #expect(header.correlationId == correlation)
        return try ProduceResponse.decode(body[header.bodyOffset...], version: version)
    }

    private func expected(_ topics: [Topic], version: Int16) -> ProduceResponse {
        var response = ProduceResponse()
        for topic in topics {
            let partitions = topic.outcomes.map { outcome in
                var partition = ProduceResponse.Partition(
                    index: outcome.partition, errorCode: outcome.error, baseOffset: outcome.baseOffset)
                if version >= 2 { partition.logAppendTimeMs = outcome.logAppendTime }
                if version >= 5 { partition.logStartOffset = outcome.logStartOffset }
                return partition
            }
            response.topics.append(.init(name: topic.name, partitions: partitions))
        }
        return response
    }

    @Test(arguments: versions) func isTheDeclaredResponse(version: Int16) throws {
        var random = SeededRandom(seed: UInt64(version))
        for round in 0..<200 {
            let topics = topics(&random)
            let bytes = encoded(topics, version: version)
            let response = try decoded(bytes, count: topics.count, version: version, correlation: Int32(round) - 100)
            #expect(response == expected(topics, version: version))
        }
    }

    @Test(arguments: versions) func isTheDeclaredResponseByteByByte(version: Int16) throws {
        var random = SeededRandom(seed: 50 + UInt64(version))
        for _ in 0..<50 {
            let topics = topics(&random)
            let bytes = encoded(topics, version: version)
            let frame = written(bytes.count + ProduceResponseWriter.frameBytes, version: version) { writer in
                writer.begin(correlation: 5, topics: topics.count, topicsBytes: bytes.count)
                bytes.withUnsafeBytes { writer.put(bytes: $0) }
                writer.end()
            }
            let declared = expected(topics, version: version)
            #expect(try frame == ResponseFrame.encode(declared, version: version, correlationId: 5))
        }
    }

    @Test(arguments: versions) func failTurnsOnlySuccessesIntoFailures(version: Int16) throws {
        var random = SeededRandom(seed: 100 + UInt64(version))
        for _ in 0..<100 {
            var topics = topics(&random)
            var bytes = encoded(topics, version: version)
            bytes.withUnsafeMutableBytes {
                guard let base = $0.baseAddress else { return }
                ProduceResponseWriter.fail(
                    base, count: $0.count, topicCount: topics.count, version: version, error: .requestTimedOut)
            }
            for topic in topics.indices {
                for index in topics[topic].outcomes.indices where topics[topic].outcomes[index].error == .none {
                    topics[topic].outcomes[index].error = .requestTimedOut
                    topics[topic].outcomes[index].baseOffset = -1
                    topics[topic].outcomes[index].logAppendTime = -1
                }
            }
            let response = try decoded(bytes, count: topics.count, version: version)
            #expect(response == expected(topics, version: version))
        }
    }

    /// Parts of one answer, each of which may name any topic: each name once, in the order of the first mention.
    @Test(arguments: versions) func mergeNamesEachTopicOnce(version: Int16) throws {
        var random = SeededRandom(seed: 200 + UInt64(version))
        let names = ["a", "", String(repeating: "b", count: 126), String(repeating: "c", count: 127)]
        for _ in 0..<200 {
            let parts = (0..<random.below(4)).flatMap { _ in topics(&random, names: names) }
            let merged = ProduceResponseWriter.merge(
                encoded(parts, version: version), topicCount: parts.count, version: version)
            var joined: [Topic] = []
            for part in parts {
                if let at = joined.firstIndex(where: { $0.name == part.name }) {
                    joined[at].outcomes += part.outcomes
                } else {
                    joined.append(part)
                }
            }
            #expect(merged.topicCount == joined.count)
            let response = try decoded(merged.topics, count: merged.topicCount, version: version)
            #expect(response == expected(joined, version: version))
            #expect(merged.topics == encoded(joined, version: version))
        }
    }
}
