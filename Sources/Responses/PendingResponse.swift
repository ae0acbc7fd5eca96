// Unsafe on purpose: responses lie encoded in the queue's own cells, so that none is allocated.

import Host
import Intake
import Metadata
import Wire

/// A response that waits for a position: what is known of it when its request has been sequenced. What was encoded of it
/// follows in the queue.
public struct PendingResponse: BitwiseCopyable, Sendable {
    public enum Kind: UInt8, BitwiseCopyable, Sendable {
        /// The whole frame is encoded: `SingleProduceAnswer`.
        case whole
        /// The topics are.
        case topics
        /// Instead of an answer, the connection is closed: the client of acks=0 learns of an error so.
        case closing
    }

    /// The answer may leave when the queue's quality of service has reached this position.
    public var position: UInt64
    /// When, by the monotonic clock, it leaves as REQUEST_TIMED_OUT instead.
    public var deadline: UInt64
    /// When the request was read, by the same clock.
    public var arrival: UInt64
    public var connection: ConnectionID
    public var answer: UInt32
    public var correlation: Int32
    /// How much was encoded.
    public var bytes: UInt32
    public var topicCount: UInt32
    public var version: Int16
    public var parts: UInt8
    public var kind: Kind
    /// How many replicas must be in sync when the position is reached. It counts for `QualityOfService.inSync` only.
    public var replicas: UInt8
    /// The answer is to say what became of the request, and when.
    public var wantsReceipt: Bool
    @usableFromInline var isAnswered: Bool

    /// - Parameter kind: `whole` only where the request is one group's.
    @inlinable @inline(__always)
    public init(
        position: UInt64, deadline: UInt64, request: ClientRequest, bytes: Int, topicCount: Int, kind: Kind, replicas: UInt8 = 0
    ) {
        self.position = position
        self.deadline = deadline
        arrival = request.arrival
        connection = request.connection
        answer = request.answer
        correlation = request.correlation
        self.bytes = UInt32(truncatingIfNeeded: bytes)
        self.topicCount = UInt32(truncatingIfNeeded: topicCount)
        version = request.version
        parts = kind == .whole ? 1 : request.parts
        self.kind = kind
        self.replicas = replicas
        wantsReceipt = request.wantsReceipt
        isAnswered = false
    }

    /// How many cells it takes in all.
    @inlinable
    var cells: Int { 1 + (Int(bytes) + PendingCell.bytes - 1) / PendingCell.bytes }
}

/// A piece of a queue of pending responses: a response's head, or 64 bytes of what was encoded.
public struct PendingCell: BitwiseCopyable, Sendable {
    public static let bytes = 64
    @usableFromInline var words: SIMD8<UInt64>

    /// The head in a cell that holds one.
    @inlinable
    static func response(_ cell: UnsafeMutablePointer<PendingCell>) -> UnsafeMutablePointer<PendingResponse> {
        UnsafeMutableRawPointer(cell).assumingMemoryBound(to: PendingResponse.self)
    }
}

/// The write stage's end of the pending responses: for one respond stage, a queue for each quality of service, in journal
/// order.
public struct PendingSender: ~Copyable {
    /// By quality of service, from received on.
    @usableFromInline var queues: OwnedArray<Sender<PendingCell>>
    /// How many there are: one for each quality of service but oneWay.
    public static let queueCount = 5
    /// The most bytes that may be encoded of one response.
    public let bytesLimit: Int

    /// - Parameters:
    ///   - queues: one for each quality of service from received on.
    ///   - capacity: of each, in cells.
    public init(queues: consuming OwnedArray<Sender<PendingCell>>, capacity: Int) {
        precondition(queues.count == PendingSender.queueCount, "a queue for each quality of service but oneWay")
        self.queues = queues
        bytesLimit = (capacity / 2 - 1) * PendingCell.bytes
    }

    /// Adds a response; false where there is no room.
    /// - Parameter bytes: what was encoded; whole cells may be read from there on.
    @inlinable @inline(__always)
    public mutating func push(_ quality: QualityOfService, _ response: PendingResponse, _ bytes: UnsafeRawBufferPointer) -> Bool {
        // oneWay's only messages, those that close a connection, wait for nothing: they go with received.
        let queue = max(Int(quality.rawValue), 1) - 1
        let cells = response.cells
        guard queues[queue].hasRoom(for: cells) else { return false }
        PendingCell.response(queues[queue].place(0)).initialize(to: response)
        if let from = bytes.baseAddress {
            for cell in 1..<cells {
                queues[queue].place(cell).pointee = from.loadUnaligned(fromByteOffset: (cell - 1) * PendingCell.bytes, as: PendingCell.self)
            }
        }
        queues[queue].advance(cells)
        return true
    }

    /// What waits now fails, whatever positions are passed.
    public mutating func void() { for queue in 0..<PendingSender.queueCount { queues[queue].void() } }

    public mutating func publish() { for queue in 0..<PendingSender.queueCount { queues[queue].publish() } }
}
