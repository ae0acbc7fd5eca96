import TestSupport
import Testing

@testable import Wire

/// What the hand-written walk over a Produce request's bytes finds.
private struct Walk: Equatable {
    struct Part: Equatable {
        var topic: [UInt8]
        var topicNumber: Int
        var partition: Int32
        var records: [UInt8]?
    }

    var isTransactional = false
    var acks: Int16 = 0
    var timeoutMs: Int32 = 0
    var parts: [Part] = []
    /// It could be read at one go.
    var isSingle = false

    init() {}

    static func == (a: Walk, b: Walk) -> Bool {
        a.isTransactional == b.isTransactional && a.acks == b.acks && a.timeoutMs == b.timeoutMs && a.parts == b.parts
    }

    /// Nil where it is refused. Traps where a range lies outside of the bytes.
    init?(_ body: [UInt8], version: Int16) {
        // On the heap, at exactly its size, so that a read outside has a chance to be seen.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: body.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: body)
        let base = UnsafeRawPointer(copy.baseAddress!)
        func inside(_ range: UnsafeRawBufferPointer) -> [UInt8] {
            let offset = range.baseAddress! - base
            precondition(offset >= 0 && offset + range.count <= body.count, "a range outside of the request")
            return Array(range)
        }
        var cursor = RawCursor(base, count: body.count)
        guard let preamble = ProducePreamble(&cursor, version: version) else { return nil }
        isTransactional = preamble.isTransactional
        acks = preamble.acks
        timeoutMs = preamble.timeoutMs
        var parts: [Part] = []
        let isWhole = cursor.producePartitions(version: version) { part in
            parts.append(
                Part(
                    topic: inside(part.topic), topicNumber: part.topicNumber, partition: part.partition,
                    records: part.records.map(inside)))
        }
        precondition(cursor.offset >= 0 && cursor.offset <= body.count, "a cursor outside of the request")
        let single = SingleProduce(UnsafeRawBufferPointer(copy), version: version)
        if let single {
            precondition(isWhole && !isTransactional && single.acks == acks && single.timeoutMs == timeoutMs, "read at one go, it says otherwise")
            let part = Part(
                topic: inside(single.topic), topicNumber: 0, partition: single.partition, records: inside(single.records))
            precondition(parts == [part], "read at one go, it has other parts")
        }
        isSingle = single != nil
        guard isWhole else { return nil }
        self.parts = parts
    }

    init(_ request: ProduceRequest) {
        isTransactional = request.transactionalId != nil
        acks = request.acks
        timeoutMs = request.timeoutMs
        for (number, topic) in request.topics.enumerated() {
            for partition in topic.partitions {
                parts.append(
                    Part(
                        topic: Array(topic.name.utf8), topicNumber: number, partition: partition.index,
                        records: partition.records))
            }
        }
    }
}

@Suite struct ProducePathTests {
    static let versions = Array(Int16(3)...11)

    private func request(_ random: inout SeededRandom) -> ProduceRequest {
        var request = ProduceRequest()
        if random.below(3) == 0 { request.transactionalId = String(repeating: "t", count: random.below(200)) }
        request.acks = [0, 1, -1, 7][random.below(4)]
        request.timeoutMs = Int32(truncatingIfNeeded: random.next())
        for _ in 0..<random.below(4) {
            // Around the length at which a varint takes a second byte.
            var topic = ProduceRequest.Topic(
                name: String(repeating: "n", count: [0, 1, 5, 125, 126, 127, 128][random.below(7)]), partitions: [])
            for _ in 0..<random.below(4) {
                let records = random.below(5) == 0 ? nil : random.bytes(random.below(150))
                topic.partitions.append(.init(index: Int32(truncatingIfNeeded: random.next()), records: records))
            }
            request.topics.append(topic)
        }
        return request
    }

    @Test(arguments: versions) func findsWhatWasSent(version: Int16) throws {
        var random = SeededRandom(seed: UInt64(version))
        for _ in 0..<1000 {
            let request = request(&random)
            let body = try request.encode(version: version)
            let walk = Walk(body, version: version)
            #expect(walk == Walk(request))
            if let walk, walk.parts.count == 1, request.topics.count == 1, !walk.isTransactional, walk.parts[0].records != nil,
                walk.parts[0].topic.count < 127, body.count >= 26
            {
                #expect(walk.isSingle, "as most requests are")
            }
            #expect(Walk(body + [0], version: version) == nil, "bytes too many")
            if body.count > 1 { #expect(Walk(Array(body.dropLast()), version: version) == nil, "bytes too few") }
        }
    }

    @Test(arguments: Int16(9)...11) func unknownTaggedFieldsAreSkipped(version: Int16) throws {
        // No transactional id, acks, time-out; one topic "ab" of one partition 5 with records; a tagged field each.
        let tags: [UInt8] = [2, 0, 3, 1, 2, 3, 0x80, 0x01, 0]
        let body: [UInt8] =
            [0, 0, 1, 0, 0, 0, 9, 2, 3, 0x61, 0x62, 2, 0, 0, 0, 5, 4, 7, 8, 9] + tags + tags + tags
        let walk = try #require(Walk(body, version: version))
        #expect(walk.parts == [.init(topic: [0x61, 0x62], topicNumber: 0, partition: 5, records: [7, 8, 9])])
        #expect(walk == Walk(try ProduceRequest.decode(body, version: version)))
    }

    /// 33,000 bodies of each version: random bytes, and what nearly is a request.
    @Test(arguments: versions) func agreesWithTheDeclaredRequestOnAnyBytes(version: Int16) throws {
        var random = SeededRandom(seed: 100 + UInt64(version))
        var accepted = 0
        var refused = 0
        var sample = try request(&random).encode(version: version)
        for round in 0..<33_500 {
            if round % 8 == 0 { sample = try request(&random).encode(version: version) }
            let body = round % 10 == 0 ? random.bytes(1 + random.below(60)) : sample.mutated(using: &random)
            guard !body.isEmpty else { continue }
            let walk = Walk(body, version: version)
            if walk == nil { refused += 1 } else { accepted += 1 }
            do {
                let declared = Walk(try ProduceRequest.decode(body, version: version))
                if walk != declared { Issue.record("the walk differs: \(body)") }
            } catch {
                // Names are not checked to be UTF-8 by the walk: a topic of such a name is unknown.
                if walk != nil && !error.reason.contains("UTF-8") { Issue.record("\(error) is accepted: \(body)") }
            }
        }
        #expect(accepted > 1000 && refused > 1000)
    }

    /// Numbers of any bytes, one by one.
    @Test func cursorsReadNothingBehindTheEnd() {
        var random = SeededRandom(seed: 9)
        var failures = 0
        for _ in 0..<50_000 {
            let bytes = random.bytes(1 + random.below(24))
            bytes.withUnsafeBytes { raw in
                var cursor = RawCursor(raw.baseAddress!, count: raw.count)
                for _ in 0..<6 {
                    let before = cursor.offset
                    let failed = cursor.failed
                    switch random.below(7) {
                    case 0: _ = cursor.integer(Int64.self)
                    case 1: _ = cursor.unsignedVarint()
                    case 2: _ = cursor.bytes(cursor.length32(compact: random.below(2) == 0), nullable: random.below(2) == 0)
                    case 3: _ = cursor.bytes(cursor.length16(compact: random.below(2) == 0))
                    case 4: if cursor.arrayCount(compact: true) > raw.count { Issue.record("an array of too many") }
                    case 5: cursor.skipTags(true)
                    default: if cursor.bytes(-2, nullable: true) != nil { Issue.record("bytes of negative length") }
                    }
                    if cursor.offset < before || cursor.offset > raw.count { Issue.record("outside: \(bytes)") }
                    if failed && !cursor.failed { Issue.record("a failure is forgotten") }
                }
                if cursor.failed { failures += 1 }
            }
        }
        #expect(failures > 1000)
    }

    @Test func varints() {
        func read(_ bytes: [UInt8]) -> UInt32? {
            bytes.withUnsafeBytes {
                var cursor = RawCursor($0.baseAddress!, count: $0.count)
                let value = cursor.unsignedVarint()
                return cursor.failed || cursor.remaining > 0 ? nil : value
            }
        }
        #expect(read([0]) == 0 && read([0x7f]) == 127 && read([0x80, 0x01]) == 128 && read([0xac, 0x02]) == 300)
        #expect(read([0xff, 0xff, 0xff, 0xff, 0x0f]) == .max)
        for bad: [UInt8] in [[0x80], [0xff, 0xff, 0xff, 0xff, 0x10], [0xff, 0xff, 0xff, 0xff, 0x8f, 0], [0x80, 0x80, 0x80, 0x80, 0x80]] {
            #expect(read(bad) == nil)
        }
    }
}

/// The beginning of a Produce request, read at one go: the same as field by field, or not at all.
@Suite struct ProduceFrontTests {
    @Test(arguments: ProducePathTests.versions) func agreesWithTheHeader(version: Int16) throws {
        var random = SeededRandom(seed: 7 + UInt64(version))
        var found = 0
        for round in 0..<20_000 {
            var request = ProduceRequest()
            if random.below(5) == 0 { request.transactionalId = "t" }
            request.acks = [0, 1, -1][random.below(3)]
            request.topics = [.init(name: "name", partitions: [.init(index: 1, records: random.bytes(20))])]
            var frame = Array(
                try RequestFrame.encode(
                    request, version: version, correlationId: Int32(truncatingIfNeeded: random.next()),
                    clientId: String(repeating: "c", count: random.below(40)))[4...])
            if round % 2 == 0 { frame = frame.mutated(using: &random) }
            frame.withUnsafeBytes { bytes in
                guard let front = ProduceFront(bytes) else { return }
                found += 1
                guard let header = try? RequestHeader.decode(bytes) else {
                    Issue.record("a header that can't be read")
                    return
                }
                #expect(header.apiKey == APIKey.produce.rawValue && header.apiVersion == front.version)
                #expect(header.correlationId == front.correlation && header.bodyOffset == front.bodyOffset)
                let body = UnsafeRawBufferPointer(rebasing: bytes[front.bodyOffset...])
                var cursor = RawCursor(body.baseAddress!, count: body.count)
                // It may end behind the acks, which is for the write stage to see.
                if let preamble = ProducePreamble(&cursor, version: front.version) {
                    #expect(preamble.acks == front.acks && !preamble.isTransactional)
                }
            }
        }
        #expect(found > 8000)
        #expect(ProduceFront.versions == APIs.spec(.produce)?.versions)
    }
}
