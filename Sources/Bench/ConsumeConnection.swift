// Unsafe on purpose: record batches are looked at where they were received.

import CHost
import Glibc
import Host
import IO
import Wire

/// What a consume load does.
public struct ConsumeSettings: Sendable {
    public var host = "127.0.0.1"
    public var port: UInt16 = 9092
    public var connections = 4
    public var topic = ""
    public var partitions = 4
    /// Where each partition is read from, and where it ends; who has come to the end begins again.
    public var ranges: [Range<Int64>] = []
    /// New records are waited for at the end instead.
    public var follows = false
    /// The most bytes of one answer.
    public var fetchBytes = 1 << 20
    public var warmup = 0.5
    public var duration = 10.0

    public init() {}
}

/// What a consume load has found.
public struct ConsumeCounts: Sendable {
    public var fetches = 0
    public var records = 0
    public var batches = 0
    /// Of record batches.
    public var bytes = 0

    mutating func add(_ other: ConsumeCounts) {
        fetches += other.fetches
        records += other.records
        batches += other.batches
        bytes += other.bytes
    }
}

/// One connection that reads its partitions in turn, a fetch at a time as consumers do, and checks each answer: correlation, topic,
/// partition, error, and of each batch its offsets, without a gap, and its checksum.
struct ConsumeConnection: LoadConnection, ~Copyable {
    private static let maxWaitMs: Int32 = 100
    private let settings: ConsumeSettings
    private var stream: FrameStream
    private let name: [UInt8]
    private let partitions: [Int32]
    private var offsets: [Int64]
    private var turn = 0
    private var correlation: Int32 = 0
    private var isWaiting = false
    private let request = RequestBuffer(capacity: 1024)
    private var window = LoadWindow.never
    private(set) var counts = ConsumeCounts()
    private(set) var latencies = LatencyLog()
    private var sentAt: UInt64 = 0

    init(_ settings: ConsumeSettings, number: Int, socket: Int32, sockets: RingPort) throws {
        self.settings = settings
        stream = try FrameStream(socket, sockets, receiveBytes: 2 * settings.fetchBytes + (1 << 20))
        name = Array(settings.topic.utf8)
        partitions =
            settings.partitions < settings.connections
            ? [Int32(number % settings.partitions)]
            : stride(from: number, to: settings.partitions, by: settings.connections).map { Int32($0) }
        offsets = partitions.map { settings.ranges[Int($0)].lowerBound }
    }

    mutating func begin(_ window: LoadWindow) { self.window = window }

    var answered: Int { counts.fetches }
    var deadline: UInt64 { .max }
    var isDone: Bool { isEnding && !isWaiting }
    private var isEnding = false

    mutating func step(_ now: UInt64) throws -> Int {
        if now >= window.end { isEnding = true }
        let progress = try stream.takeCompletions()
        try takeAnswers(now)
        if !isWaiting && !isEnding { try ask(now) }
        stream.proceed()
        return progress
    }

    private mutating func ask(_ now: UInt64) throws {
        turn = turn + 1 < partitions.count ? turn + 1 : 0
        correlation &+= 1
        var fetch = FetchRequest()
        fetch.maxWaitMs = ConsumeConnection.maxWaitMs
        fetch.minBytes = 1
        fetch.maxBytes = Int32(settings.fetchBytes)
        var partition = FetchRequest.Partition()
        partition.partition = partitions[turn]
        partition.fetchOffset = offsets[turn]
        partition.partitionMaxBytes = Int32(settings.fetchBytes)
        var topic = FetchRequest.Topic()
        topic.topic = settings.topic
        topic.partitions = [partition]
        fetch.topics = [topic]
        try request.send(fetch, version: 4, correlation: correlation, on: &stream)
        isWaiting = true
        sentAt = now
    }

    private mutating func takeAnswers(_ now: UInt64) throws {
        while let answer = try stream.nextFrame() {
            guard isWaiting else { throw LoadError("an answer came that nobody asked for") }
            try take(answer, now)
            isWaiting = false
        }
    }

    /// Fetch's answer, version 4: correlation, throttle time; one topic, its name; one partition, its index, error, high watermark, last
    /// stable offset, aborted transactions, records.
    private mutating func take(_ answer: UnsafeRawBufferPointer, _ now: UInt64) throws {
        func get<T: FixedWidthInteger>(_ offset: Int, _: T.Type = T.self) -> T {
            T(bigEndian: answer.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        let partition = 14 + name.count + 4
        let records = partition + 4 + 2 + 8 + 8 + 4 + 4
        guard answer.count >= records else { throw LoadError("an answer of \(answer.count) bytes") }
        let isRight = get(0, Int32.self) == correlation && get(12, UInt16.self) == UInt16(name.count)
            && name.withUnsafeBytes { memcmp(answer.baseAddress! + 14, $0.baseAddress!, name.count) == 0 }
            && get(partition, Int32.self) == partitions[turn]
        guard isRight else { throw LoadError("an answer to something else than was asked") }
        let error: Int16 = get(partition + 4)
        guard error == 0 else { throw LoadError("partition \(partitions[turn]), offset \(offsets[turn]): error \(error)") }
        let bytes = Int(get(records - 4, Int32.self))
        guard bytes >= 0, answer.count == records + bytes else { throw LoadError("an answer whose lengths do not fit") }
        let isCounted = window.counts(now)
        var more = ConsumeCounts()
        more.fetches = 1
        more.bytes = bytes
        try check(UnsafeRawBufferPointer(rebasing: answer[records...]), &more)
        if isCounted {
            counts.add(more)
            latencies.record(now - sentAt)
        }
        let range = settings.ranges[Int(partitions[turn])]
        if !settings.follows {
            guard bytes > 0 else { throw LoadError("partition \(partitions[turn]) ends at \(offsets[turn]), before \(range.upperBound)") }
            if offsets[turn] >= range.upperBound { offsets[turn] = range.lowerBound }
        }
    }

    private mutating func check(_ records: UnsafeRawBufferPointer, _ counts: inout ConsumeCounts) throws {
        var at = 0
        while at < records.count {
            let batch = UnsafeRawBufferPointer(rebasing: records[at...])
            func get<T: FixedWidthInteger>(_ offset: Int, _: T.Type = T.self) -> T {
                T(bigEndian: batch.loadUnaligned(fromByteOffset: offset, as: T.self))
            }
            guard batch.count >= RecordBatch.headerLength else { throw LoadError("a batch that is cut off") }
            let length = Int(get(RecordBatch.Field.batchLength, Int32.self)) + RecordBatch.lengthOverhead
            guard length >= RecordBatch.headerLength, length <= batch.count else { throw LoadError("a batch of \(length) bytes") }
            let covered = RecordBatch.Field.attributes
            guard hutong_crc32c(0, batch.baseAddress! + covered, length - covered) == get(RecordBatch.Field.crc, UInt32.self) else {
                throw LoadError("a batch whose checksum is wrong, at offset \(offsets[turn])")
            }
            let base: Int64 = get(RecordBatch.Field.baseOffset)
            let last = base + Int64(get(RecordBatch.Field.lastOffsetDelta, Int32.self))
            // The first batch may begin before the offset that was asked for.
            guard base == offsets[turn] || at == 0 && base < offsets[turn] && last >= offsets[turn] else {
                throw LoadError("partition \(partitions[turn]): offset \(base) where \(offsets[turn]) was due")
            }
            counts.records += Int(last + 1 - offsets[turn])
            counts.batches += 1
            offsets[turn] = last + 1
            at += length
        }
    }
}
