// Unsafe on purpose: requests lie in memory of the client's own, which stages read until they give it back (`Release`).

import DequeModule
import Host
import Intake
import Journal
import Metadata
import Wire

/// What a client inside the broker is given: one end of each of its channels.
public struct LocalLinks: ~Copyable {
    /// To each write stage, and back; with the pending responses of each, a queue for each quality of service, from received on.
    public var writers: OwnedArray<Sender<ClientRequest>>
    public var writerReleases: OwnedArray<Receiver<Release>>
    public var pending: OwnedArray<Receiver<PendingCell>>
    /// To the read stage, and back.
    public var reader: Sender<ClientRequest>
    public var readerReleases: Receiver<Release>
    public var readAnswers: Receiver<Unmanaged<Answer>>

    public init(
        writers: consuming OwnedArray<Sender<ClientRequest>>, writerReleases: consuming OwnedArray<Receiver<Release>>,
        pending: consuming OwnedArray<Receiver<PendingCell>>, reader: consuming Sender<ClientRequest>,
        readerReleases: consuming Receiver<Release>, readAnswers: consuming Receiver<Unmanaged<Answer>>
    ) {
        self.writers = writers
        self.writerReleases = writerReleases
        self.pending = pending
        self.reader = reader
        self.readerReleases = readerReleases
        self.readAnswers = readAnswers
    }
}

/// A client inside the broker, a part of a stage: its requests go the ways of those from outside, without a socket, and are answered by the same
/// positions. It is to the write stages and the read stage what an io stage and its respond stage are together.
///
/// A Produce is of one batch for one partition, has acks=1 or -1, and waits as long as it takes: its time-out does not count.
public struct LocalClient: ~Copyable {
    /// What has come of a Produce.
    public enum Outcome: Sendable {
        /// Its first record has that offset, and the position is passed that its quality of service asks for.
        case appended(Int64)
        /// Nothing was appended.
        case refused(ErrorCode)
        /// It was appended, and the broker does not lead the journal any more, or its storage has failed: it may last or not.
        case unknown(ErrorCode)
    }

    /// The memory of requests that are being read, in order, and the number of the first.
    private struct Lent {
        var memory: Deque<UnsafeMutableRawBufferPointer> = []
        var first: UInt32 = 0

        mutating func giveBack(_ count: UInt32) {
            for _ in 0..<count { memory.removeFirst().deallocate() }
            first &+= count
        }
    }

    private static let produceVersion: Int16 = 8

    private let positions: [JournalPositions]
    private var links: LocalLinks
    /// By partition group; the last is the read stage's.
    private var lent: [Lent]
    private var nextTicket: UInt32 = 0

    /// - Parameter positions: of each partition group.
    public init(positions: [JournalPositions], links: consuming LocalLinks) {
        precondition(links.pending.count == PendingSender.queueCount * positions.count, "a queue for each quality of service")
        self.positions = positions
        self.links = links
        lent = Array(repeating: Lent(), count: positions.count + 1)
    }

    deinit { for each in lent { for memory in each.memory { memory.deallocate() } } }

    // MARK: Sending

    /// Sends a Produce. Returns the number that its outcome comes with; nil where there is no room now.
    public mutating func produce(_ request: ProduceRequest, group: Int, now: UInt64) throws(WireError) -> UInt32? {
        guard links.writers[group].hasRoom() else { return nil }
        let request = lend(try request.encode(version: LocalClient.produceVersion), to: group, .produce, LocalClient.produceVersion, now)
        let sent = links.writers[group].send(request)
        precondition(sent, "there was room")
        return request.answer
    }

    /// Sends a request to the read stage. Returns the number that its answer comes with; nil where there is no room now.
    public mutating func read<R: Request>(_ request: R, version: Int16, now: UInt64) throws(WireError) -> UInt32? {
        guard links.reader.hasRoom() else { return nil }
        let request = lend(try request.encode(version: version), to: positions.count, R.api, version, now)
        let sent = links.reader.send(request)
        precondition(sent, "there was room")
        return request.answer
    }

    private mutating func lend(_ body: [UInt8], to place: Int, _ key: APIKey, _ version: Int16, _ now: UInt64) -> ClientRequest {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(body.count, 1), alignment: 16)
        memory.copyBytes(from: body)
        let number = lent[place].first &+ UInt32(lent[place].memory.count)
        lent[place].memory.append(memory)
        defer { nextTicket &+= 1 }
        return ClientRequest(
            connection: ConnectionID(slot: UInt32(place), generation: 0), frame: number, answer: nextTicket, bytes: UnsafeRawPointer(memory.baseAddress!),
            count: UInt32(body.count), bodyOffset: 0, key: key.rawValue, version: version, correlation: 0,
            groups: place < positions.count ? 1 << UInt64(place) : 0, wantsAnswer: true, arrival: now)
    }

    // MARK: Outcomes

    /// Takes what has come: of Produces whose positions have been passed, or never will be, in each group and quality of service in the order in which they were sent;
    /// and the frames of the read stage's answers, with their lengths. Returns how many.
    public mutating func take(produced: (UInt32, Outcome) -> Void, read: (UInt32, [UInt8]) -> Void) -> Int {
        var count = 0
        for group in positions.indices {
            while let release = links.writerReleases[group].pop() { lent[group].giveBack(release.count) }
            links.writerReleases[group].release()
            for quality in 0..<PendingSender.queueCount { count += takePassed(group, quality, produced) }
        }
        while let release = links.readerReleases.pop() { lent[positions.count].giveBack(release.count) }
        links.readerReleases.release()
        while let next = links.readAnswers.pop() {
            let answer = next.takeRetainedValue()
            read(answer.number, answer.bytes)
            count += 1
        }
        links.readAnswers.release()
        return count
    }

    private mutating func takePassed(_ group: Int, _ queue: Int, _ produced: (UInt32, Outcome) -> Void) -> Int {
        let index = group * PendingSender.queueCount + queue
        guard links.pending[index].available() > 0 else { return 0 }
        // In the order in which the respond stage looks.
        let quality = QualityOfService(rawValue: UInt8(queue + 1)) ?? .inSync
        let passed = positions[group].position(of: quality)
        let replicas = quality == .inSync ? UInt8(clamping: positions[group].inSyncReplicas.load()) : .max
        let voided = links.pending[index].voided
        let hasFailed = positions[group].failure != nil
        var count = 0
        while links.pending[index].next < links.pending[index].end {
            let number = links.pending[index].next
            let response = PendingCell.response(links.pending[index].element(number)).pointee
            let outcome: Outcome
            if number < voided, response.position > 0 {
                outcome = .unknown(.notLeaderOrFollower)
            } else if response.position <= passed {
                outcome = response.replicas > replicas ? .unknown(.notEnoughReplicasAfterAppend) : read(response, index, number)
            } else if hasFailed {
                outcome = .unknown(.kafkaStorageError)
            } else {
                break
            }
            produced(response.answer, outcome)
            links.pending[index].skip(response.cells)
            count += 1
        }
        links.pending[index].release()
        return count
    }

    /// What was encoded is the frame of a Produce's answer.
    private mutating func read(_ response: PendingResponse, _ index: Int, _ number: Int) -> Outcome {
        let frame = [UInt8](unsafeUninitializedCapacity: response.cells * PendingCell.bytes) { buffer, count in
            for cell in 1..<response.cells {
                UnsafeMutableRawPointer(buffer.baseAddress!).storeBytes(
                    of: links.pending[index].element(number + cell).pointee, toByteOffset: (cell - 1) * PendingCell.bytes, as: PendingCell.self)
            }
            count = Int(response.bytes)
        }
        guard response.kind == .whole, let answer = try? ProduceResponse.decode(frame[LocalClient.headerBytes...], version: LocalClient.produceVersion),
            let partition = answer.topics.first?.partitions.first
        else { return .refused(.unknownServerError) }
        return partition.errorCode == .none ? .appended(partition.baseOffset) : .refused(partition.errorCode)
    }

    /// The length and the header before an answer's body, in versions that are not flexible.
    public static let headerBytes = 8
}
