import ArgumentParser
import CHost
import Client
import Codecs
import Foundation
import Glibc
import Host
import IO
import Wire

/// A first figure for the produce path: pipelined Produce requests over a few connections, every answer checked.
@main
struct ProduceRate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "produce-rate",
        abstract: "Measure how many produce requests a second a broker answers; each answer is checked.")

    @Option(help: "The broker, as host:port.") var server = "127.0.0.1:9092"
    @Option(help: "Connections, each to a partition of its own.") var connections = 4
    @Option(help: "Requests that each connection has under way at once.") var outstanding = 1024
    @Option(help: "Bytes of a record's value.") var recordSize = 100
    @Option(help: "Records in a request.") var recordsPerRequest = 1
    @Option(parsing: .unconditional, help: "What the answer means: -1 or 1.") var acks: Int16 = -1
    @Option(help: "Seconds to run before counting.") var warmup = 1.0
    @Option(help: "Seconds to count.") var duration = 5.0
    @Option(help: "The broker's process id, to report its CPU time.") var brokerPid: Int32?

    func validate() throws {
        guard acks == 1 || acks == -1 else { throw ValidationError("--acks is 1 or -1: what has no answer can't be checked.") }
        guard connections > 0, outstanding > 0, recordsPerRequest > 0, recordSize >= 0 else {
            throw ValidationError("counts are greater than zero.")
        }
    }

    func run() throws {
        let parts = server.split(separator: ":")
        guard parts.count == 2, let port = UInt16(parts[1]) else { throw ValidationError("--server is host:port.") }
        let host = String(parts[0])
        let topic = try makeTopic(host, port)
        let ring = try RingSet(.auto, count: 1).rings[0]
        ring.attach()
        var loads: [ConnectionLoad] = []
        for number in 0..<connections {
            loads.append(
                try ConnectionLoad(
                    number: number, socket: try connect(host: host, port: port), sockets: ring.makePort(), topic: topic,
                    load: self))
        }
        let begin = hutong_monotonic_ns()
        let from = begin + UInt64(warmup * 1e9)
        let until = from + UInt64(duration * 1e9)
        var start: Snapshot?
        while true {
            let events = ring.poll()
            let now = hutong_monotonic_ns()
            if start == nil && now >= from { start = Snapshot(loads, brokerPid) }
            if now >= until { break }
            var progress = events
            for load in loads { progress += try load.step() }
            if progress == 0 { ring.wait(nanoseconds: 100_000_000) }
        }
        report(from: start!, to: Snapshot(loads, brokerPid))
    }

    private func makeTopic(_ host: String, _ port: UInt16) throws -> String {
        let name = "rate-\(hutong_monotonic_ns())"
        let client = KafkaClient(bootstrap: [KafkaClient.Address(host: host, port: Int32(port))])
        var request = CreateTopicsRequest()
        var topic = CreateTopicsRequest.Topic()
        topic.name = name
        topic.numPartitions = Int32(connections)
        topic.replicationFactor = 1
        request.topics = [topic]
        let answer = try client.createTopics(request).topics[0]
        guard answer.errorCode == .none else { throw ValidationError("the topic can't be made: \(answer.errorCode)") }
        return name
    }

    private func report(from start: Snapshot, to end: Snapshot) {
        let seconds = Double(end.time - start.time) / 1e9
        let requests = Double(end.answered - start.answered)
        let rate = requests / seconds
        let megabytes = rate * Double(recordSize * recordsPerRequest) / 1e6
        func perRequest(_ nanoseconds: Double) -> String { String(format: "%.0f ns", nanoseconds / max(requests, 1)) }
        print(
            String(
                format: "%.0f requests/s, %.0f records/s, %.1f MB/s of values; %d connections x %d outstanding, acks=%d", rate,
                rate * Double(recordsPerRequest), megabytes, connections, outstanding, Int(acks)))
        print("generator CPU per request: \(perRequest(end.ownCPU - start.ownCPU))")
        if brokerPid != nil { print("broker CPU per request: \(perRequest(end.brokerCPU - start.brokerCPU))") }
    }
}

/// What there is at one moment.
private struct Snapshot {
    let time: UInt64
    let answered: Int
    let ownCPU: Double
    let brokerCPU: Double

    init(_ loads: [ConnectionLoad], _ pid: Int32?) {
        time = hutong_monotonic_ns()
        answered = loads.reduce(0) { $0 + $1.answered }
        ownCPU = Snapshot.cpu(of: getpid())
        brokerCPU = pid.map(Snapshot.cpu) ?? 0
    }

    /// CPU time of a process in nanoseconds, by its own CPU clock (clock_getcpuclockid(3)).
    private static func cpu(of pid: Int32) -> Double {
        var clock = clockid_t()
        var time = timespec()
        guard clock_getcpuclockid(pid, &clock) == 0, clock_gettime(clock, &time) == 0 else { return 0 }
        return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
    }
}

struct LoadError: Error, CustomStringConvertible {
    let description: String
}

/// One connection's load: keeps so many requests under way, and checks each answer's correlation, error and offset.
final class ConnectionLoad {
    private static let templates = 64
    private let socket: Int32
    private let sockets: RingPort
    private let outstanding: Int
    private let recordsPerRequest: Int64
    /// Whole requests with different payloads; only the correlation id is still to be filled in.
    private let requests: [[UInt8]]
    private let correlationAt = 8
    private let sendBuffer: UnsafeMutableRawPointer
    private let sendCapacity: Int
    private var sendCount = 0
    private var sendDone = 0
    private var isSending = false
    private let received: MirroredBuffer
    private var receivedEnd = 0
    private var parsed = 0
    private var isReceiving = false
    private var nextRequest: Int32 = 0
    private var nextAnswer: Int32 = 0
    private var nextOffset: Int64 = 0
    private let topicBytes: Int
    private(set) var answered = 0

    private enum Tag {
        static let send: UInt64 = 1
        static let receive: UInt64 = 2
    }

    init(number: Int, socket: Int32, sockets: RingPort, topic: String, load: ProduceRate) throws {
        self.socket = socket
        self.sockets = sockets
        outstanding = load.outstanding
        recordsPerRequest = Int64(load.recordsPerRequest)
        var generator = SystemRandomNumberGenerator()
        requests = try (0..<ConnectionLoad.templates).map { _ in
            let records = (0..<load.recordsPerRequest).map { _ in
                Record(timestamp: Moment.now().wall, value: (0..<load.recordSize).map { _ in UInt8.random(in: 0...255, using: &generator) })
            }
            var partition = ProduceRequest.Partition()
            partition.index = Int32(number)
            partition.records = try RecordBatch.build(records)
            var asked = ProduceRequest.Topic()
            asked.name = topic
            asked.partitions = [partition]
            var request = ProduceRequest()
            request.acks = load.acks
            request.timeoutMs = 30_000
            request.topics = [asked]
            return try RequestFrame.encode(request, version: 7, correlationId: 0, clientId: "produce-rate")
        }
        topicBytes = topic.utf8.count
        let longest = requests.map(\.count).max() ?? 0
        sendCapacity = max(longest * 4, min(longest * load.outstanding, 1 << 20))
        sendBuffer = .allocate(byteCount: sendCapacity, alignment: 64)
        guard let received = MirroredBuffer(capacity: 1 << 18) else { throw LoadError(description: "no memory") }
        self.received = received
    }

    /// Does what there is to do; returns how much.
    func step() throws -> Int {
        var progress = 0
        while let completion = sockets.next() {
            progress += 1
            guard completion.result > 0 else { throw LoadError(description: "the connection ended: \(completion.result)") }
            if completion.tag == Tag.send {
                isSending = false
                sendDone += Int(completion.result)
            } else {
                isReceiving = false
                receivedEnd += Int(completion.result)
                try takeAnswers()
            }
        }
        fill()
        if !isReceiving {
            isReceiving = true
            sockets.receive(
                socket, into: received.pointer(receivedEnd), capacity: received.capacity - (receivedEnd - parsed),
                tag: Tag.receive)
        }
        return progress
    }

    private func fill() {
        guard !isSending else { return }
        if sendDone == sendCount {
            sendDone = 0
            sendCount = 0
            while Int(nextRequest &- nextAnswer) < outstanding {
                let request = requests[Int(nextRequest) & (ConnectionLoad.templates - 1)]
                guard sendCount + request.count <= sendCapacity else { break }
                let at = sendBuffer + sendCount
                request.withUnsafeBytes { at.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
                at.storeBytes(of: nextRequest.bigEndian, toByteOffset: correlationAt, as: Int32.self)
                sendCount += request.count
                nextRequest &+= 1
            }
        }
        guard sendDone < sendCount else { return }
        isSending = true
        sockets.send(socket, from: sendBuffer + sendDone, count: sendCount - sendDone, tag: Tag.send)
    }

    /// Produce v7: length, correlation, one topic (name), one partition: index, error, base offset, and so on.
    private func takeAnswers() throws {
        while receivedEnd - parsed >= 4 {
            let at = received.pointer(parsed)
            func get<T: FixedWidthInteger>(_ offset: Int, _: T.Type = T.self) -> T {
                T(bigEndian: at.loadUnaligned(fromByteOffset: offset, as: T.self))
            }
            let length = Int(get(0, Int32.self))
            guard receivedEnd - parsed >= 4 + length else { return }
            let partition = 4 + 4 + 4 + 2 + topicBytes + 4
            guard get(4, Int32.self) == nextAnswer else {
                throw LoadError(description: "answer \(get(4, Int32.self)) came where \(nextAnswer) was due")
            }
            let error: Int16 = get(partition + 4)
            let offset: Int64 = get(partition + 6)
            guard error == 0, offset == nextOffset else {
                throw LoadError(description: "answer \(nextAnswer): error \(error), offset \(offset) where \(nextOffset) was due")
            }
            nextOffset += recordsPerRequest
            nextAnswer &+= 1
            answered += 1
            parsed += 4 + length
        }
    }
}
