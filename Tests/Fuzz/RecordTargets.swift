import Codecs
import Intake
import Metadata
import Sequencer
import TestSupport
import Wire

/// Batches as producers send them: all codecs, one record and many, with and without a producer's id.
func sampleBatches() throws -> [[UInt8]] {
    var records: [Record] = []
    for number in 0..<12 {
        var record = Record(timestamp: 1_700_000_000_000 + Int64(number), value: nil)
        if number % 3 > 0 { record.key = Array("key \(number)".utf8) }
        if number % 4 > 0 { record.value = Array(("value \(number) " + String(repeating: "v", count: number * 9)).utf8) }
        if number % 2 > 0 { record.headers = [.init(key: "h", value: [1, 2, 3]), .init(key: "empty", value: nil)] }
        records.append(record)
    }
    var batches: [[UInt8]] = []
    for type in CompressionType.allCases {
        batches.append(try RecordBatch.build(records, compression: type))
        batches.append(try RecordBatch.build([records[1]], compression: type, producerId: 7, producerEpoch: 1, baseSequence: 3))
    }
    return batches
}

/// Makes a batch's CRC right, where it has one.
func mendBatch(_ batch: inout [UInt8]) {
    guard batch.count >= RecordBatch.headerLength else { return }
    batch.withUnsafeMutableBytes {
        let crc = RecordBatch.crc(of: UnsafeRawBufferPointer($0))
        $0.storeBytes(of: crc.bigEndian, toByteOffset: RecordBatch.Field.crc, as: UInt32.self)
    }
}

/// The write stage's way: a Produce request's raw walk, what it asks of a partition group, the batches' checks.
func produceTargets() throws -> [FuzzTarget] {
    let batches = try sampleBatches()
    var samples: [[UInt8]] = []
    for version in APIs.spec(.produce)!.versions {
        for turn in 0..<3 {
            var request = ProduceRequest()
            request.acks = [-1, 1, 0][turn]
            request.timeoutMs = 1000
            request.topics = ["t", "unknown"].prefix(turn + 1).map { name in
                .init(name: name, partitions: (0..<Int32(turn + 1)).map { .init(index: $0, records: batches[Int($0) + turn]) })
            }
            samples.append([UInt8(version)] + (try request.encode(version: version)))
        }
    }
    let places = (0..<4).map { PartitionPlace(group: UInt16($0 % 2), number: UInt32($0)) }
    let topic = Topic(name: "t", id: Uuid(high: 1, low: 1), partitions: places, settings: TopicSettings(), configs: [:])
    let table = TopicTable(topics: [topic], partitionNumbers: [2, 2])
    var job = ProduceJob()
    let state = SequencerState(producerLimit: 1)
    return [
        FuzzTarget("produce.walk", weight: 25, samples: samples, check: checkProduceWalk),
        FuzzTarget("produce.job", weight: 25, samples: samples) { input in
            guard let (version, body) = produceBody(input), let base = body.baseAddress else { return false }
            for group in UInt16(0)..<2 {
                var request = ClientRequest(
                    connection: ConnectionID(slot: 0, generation: 0), frame: 0, answer: 0, bytes: base, count: UInt32(body.count),
                    bodyOffset: 0, key: 0, version: version, correlation: 1, groups: group == 0 ? 1 : 3, wantsAnswer: true, arrival: 0)
                job.begin(&request, group: group, table: table)
                guard !job.isMalformed else { return false }
                for number in 0..<job.items.count {
                    let item = job.items[number]
                    try isInside(item.topic, body)
                    if let records = item.records {
                        try isInside(records, body)
                        _ = BatchValidator.flaw(records, limit: 1 << 20)
                    }
                }
                if job.answersWhole {
                    let frame = job.encodeWhole(state)
                    let length = Int(Int32(bigEndian: frame.loadUnaligned(as: Int32.self)))
                    try Finding.unless(length == frame.count - 4, "an answer of another length than it says")
                    let response = try ResponseHeader.decode(UnsafeRawBufferPointer(rebasing: frame[4...]), api: .produce, version: version)
                    _ = try ProduceResponse.decode(Array(frame[(4 + response.bodyOffset)...])[...], version: version)
                }
                let encoded = job.encodeTopics(state)
                try Finding.unless(encoded.topics <= job.items.count, "more topics than were asked for")
            }
            return true
        },
        FuzzTarget("produce.batch", weight: 40, samples: batches, mend: mendBatch) { input in
            guard BatchValidator.flaw(input, limit: 1 << 20) == nil else { return false }
            let header = try RecordBatchHeader(checking: input)
            try Finding.unless(header.size == input.count && header.recordCount > 0, "more or less than a batch was taken")
            try Finding.unless(header.crc == RecordBatch.crc(of: input), "a wrong CRC was taken")
            return true
        },
        FuzzTarget("batch.remains", weight: 30, samples: batches, mend: mendBatch) { input in
            var number = 0
            guard let header = try? RecordBatchHeader(checking: input), let records = try? RecordBatch.records(of: input, limit: 1 << 20),
                let remains = try? RecordBatch.remains(of: input, limit: 1 << 20, where: { record in
                    number += 1
                    return record.offsetDelta % 3 == 1
                })
            else { return false }
            try Finding.unless(number == records.count, "another number of records")
            try Finding.unless(BatchValidator.hasKeys(input) == records.allSatisfy { $0.key != nil }, "keys were overlooked")
            guard case .some(let left) = remains else { return true }
            let kept = try RecordBatch.records(of: left, limit: 1 << 20)
            try Finding.unless(kept == records.filter { ($0.offset - header.baseOffset) % 3 == 1 }, "another part of it is left")
            return true
        },
    ]
}

/// The version is the first byte; the rest is the body.
private func produceBody(_ input: UnsafeRawBufferPointer) -> (Int16, UnsafeRawBufferPointer)? {
    guard let first = input.first, input.count > 1 else { return nil }
    let versions = APIs.spec(.produce)!.versions
    return (versions.lowerBound + Int16(first) % Int16(versions.count), UnsafeRawBufferPointer(rebasing: input.dropFirst()))
}

private func isInside(_ part: UnsafeRawBufferPointer, _ whole: UnsafeRawBufferPointer) throws {
    guard let base = part.baseAddress else { return }
    let offset = base - whole.baseAddress!
    try Finding.unless(offset >= 0 && offset + part.count <= whole.count, "a part reaches outside of the request")
}

/// The raw walk finds what the declared message has; it may take more, for it looks at no text.
private func checkProduceWalk(_ input: UnsafeRawBufferPointer) throws -> Bool {
    guard let (version, body) = produceBody(input), let base = body.baseAddress else { return false }
    var cursor = RawCursor(base, count: body.count)
    var found: [(topic: [UInt8], partition: Int32, records: [UInt8]?)] = []
    var isOutside = false
    let preamble = ProducePreamble(&cursor, version: version)
    let isWhole = preamble != nil && cursor.producePartitions(version: version) { partition in
        do {
            try isInside(partition.topic, body)
            if let records = partition.records { try isInside(records, body) }
        } catch { isOutside = true }
        found.append((Array(partition.topic), partition.partition, partition.records.map { Array($0) }))
    }
    try Finding.unless(!isOutside, "a part reaches outside of the request")
    if let single = SingleProduce(body, version: version) {
        let isSame = isWhole && preamble?.acks == single.acks && preamble?.timeoutMs == single.timeoutMs && preamble?.isTransactional == false
            && found.count == 1 && found[0].topic == Array(single.topic) && found[0].partition == single.partition
            && found[0].records == Array(single.records)
        try Finding.unless(isSame, "read at one go, it is another request")
    }
    guard let message = try? ProduceRequest.decode(body, version: version) else { return isWhole }
    try Finding.unless(isWhole && preamble?.acks == message.acks, "the message can be read, but not walked")
    var next = 0
    for topic in message.topics {
        for partition in topic.partitions {
            try Finding.unless(next < found.count, "the walk found fewer partitions than the message has")
            let isSame = found[next].topic == Array(topic.name.utf8) && found[next].partition == partition.index
            try Finding.unless(isSame && found[next].records == partition.records, "the walk found another partition")
            next += 1
        }
    }
    try Finding.unless(next == found.count, "the walk found more partitions than the message has")
    return true
}

/// What consumers, and the index after a crash, read of batches: compressed ones too, within a limit.
func recordTargets() throws -> [FuzzTarget] {
    let limit = 256 << 10
    let bomb = [Record(value: [UInt8](repeating: 0, count: 4 * limit))]
    let bombs = try CompressionType.allCases.filter { $0 != .none }.map { try RecordBatch.build(bomb, compression: $0) }
    return [
        FuzzTarget("records", weight: 60, samples: try sampleBatches() + bombs, mend: mendBatch) { input in
            guard let records = try? RecordBatch.records(of: input, limit: limit) else { return false }
            let bytes = records.reduce(0) { $0 + ($1.key?.count ?? 0) + ($1.value?.count ?? 0) }
            try Finding.unless(bytes <= max(limit, input.count), "\(bytes) bytes of records, the limit is \(limit)")
            return true
        }
    ]
}

/// Each codec alone.
func compressionTargets() throws -> [FuzzTarget] {
    let limit = 64 << 10
    let text = Array("a text, and the same text, and the same text again".utf8)
    let full = [UInt8](repeating: 7, count: limit), tooMuch = [UInt8](repeating: 7, count: 8 * limit)
    let uneven: [UInt8] = (0..<2000).map { UInt8(truncatingIfNeeded: $0 * $0 >> 3) }
    let plain: [[UInt8]] = [[], [1], text, full, full + [7], tooMuch, uneven]
    return try CompressionType.allCases.filter { $0 != .none }.map { type in
        FuzzTarget("compression.\(type.name)", weight: 20, samples: try plain.map { try Compression.compress(type, $0) }) { input in
            guard let bytes = try? Compression.decompress(type, input, limit: limit) else { return false }
            try Finding.unless(bytes.count <= limit, "\(bytes.count) bytes, the limit is \(limit)")
            let again = try Compression.decompress(type, try Compression.compress(type, bytes), limit: limit)
            try Finding.unless(again == bytes, "what is compressed again is another")
            return true
        }
    }
}
