// Unsafe on purpose: responses lie encoded in the queue's own cells, so that none is allocated.

import Host
import Intake
import Metadata
import Wire

/// A response that waits for a position: what is known of it when its request has been sequenced. Its topics' encoding
/// follows in the queue.
public struct PendingResponse: BitwiseCopyable, Sendable {
    /// The answer may leave when the queue's quality of service has reached this position.
    public var position: UInt64
    /// When, by the monotonic clock, it leaves as REQUEST_TIMED_OUT instead.
    public var deadline: UInt64
    public var arrival: UInt64
    public var connection: ConnectionID
    public var answer: UInt32
    public var correlation: Int32
    public var topicBytes: UInt32
    public var topicCount: UInt32
    public var version: Int16
    public var parts: UInt8
    var flags: UInt8 = 0

    static let answered: UInt8 = 1
    static let closes: UInt8 = 2

    /// - Parameter closes: instead of an answer, the connection is closed: the client of acks=0 learns of an error so.
    public init(
        position: UInt64, deadline: UInt64, request: ClientRequest, topicBytes: Int, topicCount: Int, closes: Bool = false
    ) {
        self.position = position
        self.deadline = deadline
        arrival = request.arrival
        connection = request.connection
        answer = request.answer
        correlation = request.correlation
        self.topicBytes = UInt32(topicBytes)
        self.topicCount = UInt32(topicCount)
        version = request.version
        parts = request.parts
        flags = closes ? PendingResponse.closes : 0
    }

    var isAnswered: Bool { flags & PendingResponse.answered != 0 }
    var closes: Bool { flags & PendingResponse.closes != 0 }
    /// How many cells it takes in all.
    var cells: Int { 1 + (Int(topicBytes) + PendingCell.bytes - 1) / PendingCell.bytes }
}

/// A piece of a queue of pending responses: a response's head, or 64 bytes of its topics.
public struct PendingCell: BitwiseCopyable, Sendable {
    static let bytes = 64
    var words: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)

    init() { words = (0, 0, 0, 0, 0, 0, 0, 0) }

    var response: PendingResponse {
        get { withUnsafeBytes(of: self) { $0.loadUnaligned(as: PendingResponse.self) } }
        set { withUnsafeMutableBytes(of: &self) { $0.storeBytes(of: newValue, as: PendingResponse.self) } }
    }
}

/// The write stage's end of the pending responses: for one respond stage, a queue for each quality of service, in journal
/// order.
public struct PendingSender: ~Copyable {
    /// By quality of service, from received on.
    private var queues: OwnedArray<Sender<PendingCell>>
    private let capacity: Int

    /// - Parameters:
    ///   - queues: one for each quality of service from received to durable.
    ///   - capacity: of each, in cells.
    public init(queues: consuming OwnedArray<Sender<PendingCell>>, capacity: Int) {
        precondition(queues.count == 4, "a queue for each quality of service but oneWay")
        self.queues = queues
        self.capacity = capacity
    }

    /// The longest topics' encoding that one response may have, in bytes.
    public var topicBytesLimit: Int { (capacity / 2 - 1) * PendingCell.bytes }

    public mutating func hasRoom(_ quality: QualityOfService, topicBytes: Int) -> Bool {
        let cells = 1 + (topicBytes + PendingCell.bytes - 1) / PendingCell.bytes
        return queues[PendingSender.queue(quality)].hasRoom(for: cells)
    }

    /// Adds a response. There must be room.
    public mutating func push(_ quality: QualityOfService, _ response: PendingResponse, topics: UnsafeRawPointer) {
        let queue = PendingSender.queue(quality)
        let cells = response.cells
        // What is in the cells is not read before `advance`, which sees that there is room.
        guard queues[queue].hasRoom(for: cells) else { preconditionFailure("the caller has seen that there is room") }
        UnsafeMutableRawPointer(queues[queue].place(0)).storeBytes(of: response, as: PendingResponse.self)
        var left = Int(response.topicBytes)
        var from = topics
        for cell in 1..<cells {
            UnsafeMutableRawPointer(queues[queue].place(cell)).copyMemory(from: from, byteCount: min(PendingCell.bytes, left))
            from += PendingCell.bytes
            left -= PendingCell.bytes
        }
        queues[queue].advance(cells)
    }

    public mutating func publish() { for queue in 0..<4 { queues[queue].publish() } }

    /// oneWay's only messages, those that close a connection, wait for nothing: they go with received.
    private static func queue(_ quality: QualityOfService) -> Int { max(Int(quality.rawValue), 1) - 1 }
}
