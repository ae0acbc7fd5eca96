// Unsafe on purpose: answers are looked at where they were received.

import Glibc
import Host
import IO

/// One connection of a load: keeps requests under way, and checks each answer's correlation, topic, partition, error and offset.
struct ProduceConnection: LoadConnection, ~Copyable {
    private static let receiveBytes = 1 << 18
    private static let mostSendBytes = 1 << 20

    private struct UnderWay {
        /// When it was sent or, with a rate, was due: nanoseconds of the monotonic clock.
        var since: UInt64 = 0
        var target: Int32 = 0
    }

    private let settings: LoadSettings
    private var stream: FrameStream
    private var window = LoadWindow.never
    private var pool: RequestPool
    private var targets: OwnedArray<LoadTarget>
    private let names: [[UInt8]]
    private let outstanding: Int
    private let limit: Int
    /// A ring, by correlation id.
    private var underWay: OwnedArray<UnderWay>
    private let mask: Int
    private var nextRequest = 0
    private var nextAnswer = 0
    /// With a rate: when the next request is due, and how far apart they are, in nanoseconds.
    private var due = 0.0
    private let interval: Double

    private let sendBuffer: UnsafeMutableRawPointer
    private let sendCapacity: Int

    private(set) var counts = LoadCounts()
    private(set) var latencies = LatencyLog()
    private(set) var delays = LatencyLog()

    private let number: Int

    init(_ settings: LoadSettings, number: Int, socket: Int32, sockets: RingPort) throws {
        let mine = settings.targets(of: number)
        let ids = settings.producerIds.dropFirst(number * settings.producers).prefix(settings.producers)
        let pool = try RequestPool(settings, targets: mine, producers: Array(ids), seed: settings.seed &+ UInt64(number) << 32)
        let stream = try FrameStream(socket, sockets, receiveBytes: ProduceConnection.receiveBytes)
        self.settings = settings
        self.number = number
        targets = OwnedArray(minimumCapacity: mine.count)
        for target in mine { targets.append(LoadTarget(topic: target.topic, partition: target.partition)) }
        names = settings.topics.map { Array($0.utf8) }
        outstanding = settings.outstanding
        limit = settings.requests.map { ($0 + settings.connections - 1 - number) / settings.connections } ?? .max
        var capacity = 1
        while capacity < outstanding { capacity *= 2 }
        underWay = OwnedArray(minimumCapacity: capacity)
        underWay.extend(to: capacity, with: UnderWay())
        mask = capacity - 1
        interval = settings.rate.map { 1e9 * Double(settings.connections) / $0 } ?? 0
        sendCapacity = max(pool.longest, min(pool.longest * outstanding, ProduceConnection.mostSendBytes))
        sendBuffer = .allocate(byteCount: sendCapacity, alignment: 64)
        self.pool = pool
        self.stream = stream
    }

    deinit { sendBuffer.deallocate() }

    mutating func begin(_ window: LoadWindow) {
        self.window = window
        // Connections take turns.
        due = Double(window.begin) + interval * Double(number) / Double(settings.connections)
    }

    var answered: Int { counts.requests }
    var isDone: Bool { isEnding && nextRequest == nextAnswer && stream.hasSent }
    private var isEnding = false

    /// Requests that are due closer together than so many nanoseconds may be that late, and leave together: a generator that is awake
    /// for each takes the processor from the broker. Latencies count from when they were due all the same.
    private static let tick = 50_000.0

    /// When the next request is to leave; `UInt64.max`: when an answer comes.
    var deadline: UInt64 {
        guard interval > 0, !isEnding, nextRequest - nextAnswer < outstanding else { return .max }
        return UInt64(interval < ProduceConnection.tick ? due + ProduceConnection.tick : due)
    }

    mutating func step(_ now: UInt64) throws -> Int {
        if now >= window.end || nextRequest >= limit { isEnding = true }
        let progress = try stream.takeCompletions()
        if settings.acks == 0 && stream.hasSent { countUnanswered(now) }
        try takeAnswers(now)
        fill(now)
        stream.proceed()
        return progress
    }

    // MARK: Requests

    private mutating func fill(_ now: UInt64) {
        guard stream.hasSent else { return }
        var count = 0
        while !isEnding, nextRequest < limit, nextRequest - nextAnswer < outstanding, interval == 0 || due <= Double(now) {
            let request = pool.upcoming
            guard count + request.count <= sendCapacity else { break }
            pool.take(to: sendBuffer + count, correlation: Int32(truncatingIfNeeded: nextRequest))
            count += request.count
            underWay[nextRequest & mask] = UnderWay(since: interval > 0 ? UInt64(due) : now, target: Int32(request.target))
            if interval > 0 {
                if window.counts(now) { delays.record(now - UInt64(due)) }
                due += interval
            }
            nextRequest += 1
        }
        stream.send(sendBuffer, count: count)
    }

    /// Without answers a request is over when the kernel has taken it.
    private mutating func countUnanswered(_ now: UInt64) {
        counts.note(nextRequest - nextAnswer, window.counts(now))
        counts.sentRecords += (nextRequest - nextAnswer) * settings.recordsPerRequest
        nextAnswer = nextRequest
    }

    // MARK: Answers

    private mutating func takeAnswers(_ now: UInt64) throws {
        let isCounted = window.counts(now)
        var since: UInt64 = 0
        var alike: UInt64 = 0
        while let answer = try stream.nextFrame() {
            try check(answer)
            // Requests that were sent together have been under way as long.
            let began = underWay[nextAnswer & mask].since
            if began != since {
                if isCounted && alike > 0 { latencies.record(now - min(since, now), count: alike) }
                since = began
                alike = 0
            }
            alike += 1
            nextAnswer += 1
            counts.note(1, isCounted)
        }
        if isCounted && alike > 0 { latencies.record(now - min(since, now), count: alike) }
    }

    /// Produce's answer, version 7: correlation; one topic, its name; one partition, its index, error, base offset, log append time,
    /// log start; throttle time.
    private mutating func check(_ answer: UnsafeRawBufferPointer) throws {
        func get<T: FixedWidthInteger>(_ offset: Int, _: T.Type = T.self) -> T {
            T(bigEndian: answer.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        guard nextAnswer < nextRequest else { throw LoadError("an answer came that nobody asked for") }
        let target = Int(underWay[nextAnswer & mask].target)
        let name = names[targets[target].topic]
        let partition = 10 + name.count + 4
        guard answer.count == partition + 4 + 2 + 8 + 8 + 8 + 4 else { throw LoadError("an answer of \(answer.count) bytes") }
        let correlation: Int32 = get(0)
        guard correlation == Int32(truncatingIfNeeded: nextAnswer) else {
            throw LoadError("answer \(correlation) came where \(nextAnswer) was due")
        }
        let isRight = get(8, UInt16.self) == UInt16(name.count)
            && name.withUnsafeBytes { memcmp(answer.baseAddress! + 10, $0.baseAddress!, name.count) == 0 }
            && get(partition, Int32.self) == targets[target].partition
        guard isRight else { throw LoadError("answer \(nextAnswer) names another partition than was asked for") }
        let error: Int16 = get(partition + 4)
        guard error == 0 else { throw LoadError("answer \(nextAnswer): error \(error)") }
        guard settings.checksOffsets else { return }
        let offset: Int64 = get(partition + 6)
        let known = targets[target].nextOffset
        guard known < 0 || offset == known || !settings.ownsTargets && offset > known else {
            throw LoadError("answer \(nextAnswer): offset \(offset) where \(known) was due")
        }
        targets[target].nextOffset = offset + Int64(settings.recordsPerRequest)
    }
}
