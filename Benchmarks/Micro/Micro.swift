import ArgumentParser
import CHost
import Codecs
import Broker
import Host
import IO
import Journal
import Simulator
import Wire

/// The hot parts, each alone and as often as wanted: for a tool that counts instructions (valgrind --tool=callgrind), which doesn't drift as
/// time does. `scripts/count-instructions` runs it.
@main
struct Micro: ParsableCommand {
    enum Part: String, ExpressibleByArgument, CaseIterable {
        /// Produce requests of one 100-byte record through a whole broker, on a simulated disk and network, from bytes to bytes.
        case request
        /// The same of idempotent producers.
        case idempotent
        /// One frame of the journal written and read back.
        case frame
        /// The CRC-32C of one batch of 160 bytes.
        case crc
        /// One element through a channel between two stages.
        case hop
        /// One batch into a segment's index.
        case index
    }

    static let configuration = CommandConfiguration(commandName: "micro", abstract: "Do a hot part of the produce path so many times.")

    @Argument(help: "request, idempotent, frame, crc, hop or index.") var part: Part
    @Argument(help: "How often.") var count: Int

    func run() throws {
        switch part {
        case .request: try requests(producers: false)
        case .idempotent: try requests(producers: true)
        case .frame: frames()
        case .crc: checksums()
        case .hop: hops()
        case .index: index()
        }
    }

    // MARK: A whole broker

    private static let together = 1024

    private func requests(producers: Bool) throws {
        let network = SimulatedNetwork()
        var configuration = SimulatedBroker.configuration()
        configuration.journal.segmentBytes = 8 << 20
        configuration.journal.journalBytes = 64 << 20
        configuration.reading.journalSegments = 8
        configuration.intake.receiveBytes = 256 << 10
        configuration.intake.inFlight = 4096
        let broker = try SimulatedBroker(disk: SimulatedDisk(), network: network, configuration: configuration)
        broker.settle()
        let client = SimulatedClient(network)
        var create = CreateTopicsRequest()
        var topic = CreateTopicsRequest.Topic()
        topic.name = "micro"
        topic.numPartitions = 4
        topic.replicationFactor = 1
        create.topics = [topic]
        try client.send(create, version: 5)
        broker.settle()
        let producer: (id: Int64, epoch: Int16)
        if producers {
            let asked = try client.send(InitProducerIdRequest(), version: 1)
            broker.settle()
            guard let answer = client.answers().first(where: { $0.correlation == asked }) else { throw MicroError("no producer id") }
            let made = try client.decode(InitProducerIdRequest.self, answer.frame, version: 1)
            producer = (made.producerId, made.producerEpoch)
        } else {
            producer = (-1, -1)
            _ = client.answers()
        }
        var sequences: [Int32] = [0, 0, 0, 0]
        var done = 0
        while done < count {
            let some = min(Micro.together, count - done)
            for number in 0..<some {
                let partition = number % 4
                let batch = try RecordBatch.build(
                    [Record(timestamp: broker.now.wall, value: Array(repeating: UInt8(truncatingIfNeeded: number), count: 100))],
                    producerId: producer.id, producerEpoch: producer.epoch, baseSequence: producers ? sequences[partition] : -1)
                sequences[partition] += 1
                var request = ProduceRequest()
                request.acks = -1
                request.timeoutMs = 30_000
                request.topics = [.init(name: "micro", partitions: [.init(index: Int32(partition), records: batch)])]
                try client.send(request, version: 7)
            }
            broker.settle()
            let answers = client.answers()
            guard answers.count == some else { throw MicroError("\(answers.count) answers to \(some) requests") }
            for answer in answers {
                let part = try client.decode(ProduceRequest.self, answer.frame, version: 7).topics[0].partitions[0]
                guard part.errorCode == .none else { throw MicroError("refused: \(part.errorCode)") }
            }
            done += some
        }
    }

    // MARK: Parts

    private func frames() {
        let room = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 64)
        defer { room.deallocate() }
        let journal = JournalIdentity(group: 0, key: 7)
        let bytes = (try? RecordBatch.build([Record(timestamp: 1, value: Array(repeating: 7, count: 100))])) ?? []
        bytes.withUnsafeBytes { (room + Frame.headerBytes).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        var previous: UInt32 = 0
        for number in 0..<UInt64(count) {
            let header = FrameHeader(
                length: UInt32(Frame.headerBytes + bytes.count), position: number * 256, flushed: 0, epoch: 1, partition: 3,
                previous: previous, group: 0, kind: .batch, time: 1)
            previous = header.write(at: room, key: journal.key)
            guard case .success = FrameHeader.read(at: room, available: 4096, position: number * 256, of: journal) else {
                preconditionFailure("a frame that was just written")
            }
        }
    }

    private func checksums() {
        let bytes = [UInt8](repeating: 7, count: 160)
        var crc: UInt32 = 0
        bytes.withUnsafeBytes { for _ in 0..<count { crc = hutong_crc32c(crc, $0.baseAddress!, $0.count) } }
        precondition(crc != 1, "so that it is not left out")
    }

    private func hops() {
        let channel = Channel<UInt64>(capacity: 1024)
        var sender = channel.sender()
        var receiver = channel.receiver()
        var sum: UInt64 = 0
        var number: UInt64 = 0
        while number < UInt64(count) {
            for _ in 0..<min(256, UInt64(count) - number) {
                precondition(sender.push(number), "there is room")
                number += 1
            }
            sender.publish()
            while let next = receiver.pop() { sum &+= next }
            receiver.release()
        }
        precondition(sum == UInt64(count) * UInt64(count - 1) / 2, "all came")
    }

    private func index() {
        let index = SegmentIndex(segment: 0)
        for number in 0..<count {
            index.append(
                IndexEntry(
                    baseOffset: Int64(number / 4), position: UInt64(number) * 256, maxTimestamp: Int64(number), bytes: 200, lastOffsetDelta: 0),
                partition: number % 4)
        }
        precondition(index.row(partition: 3) != nil || count < 4, "it is there")
    }
}

struct MicroError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
