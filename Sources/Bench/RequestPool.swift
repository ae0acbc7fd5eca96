// Unsafe on purpose: requests are built once and patched in raw memory.

import CHost
import Codecs
import Host
import Wire

/// One of a connection's partitions, as its requests and answers see it.
struct LoadTarget {
    let topic: Int
    let partition: Int32
    /// The offset that the next answer must have; -1: not known yet.
    var nextOffset: Int64 = -1
}

/// A connection's requests, made beforehand, each with other records: only correlation id, sequence number and checksum are
/// written when one is sent. As many as fit some megabytes, so that no cache holds a single hot one.
struct RequestPool: ~Copyable {
    private static let bytes = 4 << 20
    private static let leastRequests = 16
    private static let mostRequests = 8192
    private static let correlationAt = 8

    struct Request {
        let offset: Int
        let count: Int
        /// Where its record batch begins.
        let batch: Int
        let target: Int
        let producer: Int
    }

    private var requests = OwnedArray<Request>(minimumCapacity: 16)
    private let memory: UnsafeMutableRawPointer
    private var next = 0
    /// By producer and target the next sequence number.
    private var sequences: OwnedArray<Int32>
    private let targets: Int
    private let records: Int32
    let longest: Int

    /// - Parameters:
    ///   - targets: what the connection writes to.
    ///   - producers: its producers.
    init(
        _ settings: LoadSettings, targets: [(topic: Int, partition: Int32)], producers: [(id: Int64, epoch: Int16)], seed: UInt64
    ) throws {
        self.targets = targets.count
        records = Int32(settings.recordsPerRequest)
        sequences = OwnedArray()
        sequences.extend(to: max(producers.count, 1) * targets.count, with: 0)
        var random = SeededRandom(seed: seed)
        var frames: [[UInt8]] = []
        var total = 0
        let wanted = max(RequestPool.leastRequests, targets.count, producers.count)
        while frames.count < wanted || total < RequestPool.bytes && frames.count < RequestPool.mostRequests {
            let number = frames.count
            let target = targets[number % targets.count]
            let producer = producers.isEmpty ? nil : producers[number % producers.count]
            let frame = try RequestPool.frame(settings, target, producer, &random)
            requests.append(
                Request(
                    offset: total, count: frame.bytes.count, batch: frame.bytes.count - frame.batch, target: number % targets.count,
                    producer: producers.isEmpty ? -1 : number % producers.count))
            frames.append(frame.bytes)
            total += frame.bytes.count
        }
        longest = frames.map(\.count).max() ?? 0
        memory = .allocate(byteCount: total, alignment: 64)
        var at = memory
        for frame in frames {
            frame.withUnsafeBytes { at.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
            at += frame.count
        }
    }

    deinit { memory.deallocate() }

    private static func frame(
        _ settings: LoadSettings, _ target: (topic: Int, partition: Int32), _ producer: (id: Int64, epoch: Int16)?,
        _ random: inout SeededRandom
    ) throws -> (bytes: [UInt8], batch: Int) {
        let now = Moment.now().wall
        let records = (0..<settings.recordsPerRequest).map { _ in
            Record(timestamp: now, value: random.bytes(settings.recordSize))
        }
        var batch = try RecordBatch.build(records)
        if let producer {
            batch.withUnsafeMutableBytes {
                $0.storeBytes(of: producer.id.bigEndian, toByteOffset: RecordBatch.Field.producerId, as: Int64.self)
                $0.storeBytes(of: producer.epoch.bigEndian, toByteOffset: RecordBatch.Field.producerEpoch, as: Int16.self)
            }
        }
        var request = ProduceRequest()
        request.acks = settings.acks
        request.timeoutMs = 30_000
        request.topics = [.init(name: settings.topics[target.topic], partitions: [.init(index: target.partition, records: batch)])]
        return (try RequestFrame.encode(request, version: 7, correlationId: 0, clientId: "hutong-bench"), batch.count)
    }

    /// The next request's length and target.
    var upcoming: Request { requests[next] }

    /// Writes the next request to `place`.
    mutating func take(to place: UnsafeMutableRawPointer, correlation: Int32) {
        let request = requests[next]
        next = next + 1 == requests.count ? 0 : next + 1
        place.copyMemory(from: memory + request.offset, byteCount: request.count)
        place.storeBytes(of: correlation.bigEndian, toByteOffset: RequestPool.correlationAt, as: Int32.self)
        guard request.producer >= 0 else { return }
        let batch = place + request.batch
        let slot = request.producer * targets + request.target
        batch.storeBytes(of: sequences[slot].bigEndian, toByteOffset: RecordBatch.Field.baseSequence, as: Int32.self)
        sequences[slot] = (sequences[slot] &+ records) & .max
        let covered = RecordBatch.Field.attributes
        let crc = hutong_crc32c(0, batch + covered, request.count - request.batch - covered)
        batch.storeBytes(of: crc.bigEndian, toByteOffset: RecordBatch.Field.crc, as: UInt32.self)
    }
}
