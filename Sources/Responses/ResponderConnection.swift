// Unsafe on purpose: answers are encoded into send buffers that the kernel reads.

import DequeModule
import Intake
import Wire

/// A buffer into which small answers are gathered, so that one send carries many. This is a handle: copies of it are of the same
/// buffer, which somebody has to end. (A class would be counted at each answer.)
struct SendChunk: BitwiseCopyable {
    static let capacity = 64 << 10
    /// The most bytes that a whole answer's cells take.
    static let most = (SingleProduceAnswer.bytes + SingleProduceAnswer.longestName + PendingCell.bytes - 1) / PendingCell.bytes * PendingCell.bytes

    private struct Header {
        var used = 0
        var sent = 0
        var answers: UInt32 = 0
    }

    private let header: UnsafeMutablePointer<Header>
    let base: UnsafeMutableRawPointer

    init() {
        base = .allocate(byteCount: SendChunk.capacity, alignment: 64)
        header = .allocate(capacity: 1)
        header.initialize(to: Header())
    }

    func deallocate() {
        base.deallocate()
        header.deallocate()
    }

    var used: Int {
        get { header.pointee.used }
        nonmutating set { header.pointee.used = newValue }
    }
    /// How much of it has been sent.
    var sent: Int {
        get { header.pointee.sent }
        nonmutating set { header.pointee.sent = newValue }
    }
    /// How many of the connection's answers have left when it has been sent.
    var answers: UInt32 {
        get { header.pointee.answers }
        nonmutating set { header.pointee.answers = newValue }
    }
    var free: Int { SendChunk.capacity - used }
}

/// The respond stage's half of a connection: the order of its answers, and what is on its way out.
struct ResponderConnection: ~Copyable {
    enum State: Equatable {
        case free
        case open
        /// Once this many answers have left, it is done. `told`: the io stage knows, and waits for `done`.
        case finishing(UInt32, told: Bool)
        /// Nothing more is sent.
        case dead(told: Bool)
    }

    enum Outgoing {
        case chunk(SendChunk)
        case answer(Answer)
    }

    /// An answer that came before its turn, or part of one that several partition groups make together.
    enum Parked {
        case answer(Answer)
        case produce(JoinedProduce)
    }

    var state = State.free
    var generation: UInt32 = 0
    var socket: Int32 = -1
    /// The number of the answer that leaves next.
    var nextAnswer: UInt32 = 0
    var parked: [UInt32: Parked] = [:]
    var outgoing: Deque<Outgoing> = []
    /// The last of `outgoing`, where it is a chunk that may be added to: it is not being sent, but will be.
    var tail: SendChunk?
    var isSending = false
    /// When the send under way began; each takes at least a byte to end.
    var sendingSince: UInt64 = 0
    /// How many answers have been sent; and how many the io stage has been told of.
    var sentAnswers: UInt32 = 0
    var toldAnswers: UInt32 = 0
    /// In the list of those that have something new to send.
    var isDirty = false

    deinit { for case .chunk(let chunk) in outgoing { chunk.deallocate() } }

    /// Whether an answer of that number, meant for that tenant of the slot, is the next to go out, and nothing speaks against it.
    func takes(_ answer: UInt32, of tenant: UInt32) -> Bool {
        guard case .open = state else { return false }
        return tenant == generation && answer == nextAnswer && parked.isEmpty
    }

    var sendsMore: Bool {
        switch state {
        case .open, .finishing: true
        case .free, .dead: false
        }
    }

    /// How long, in nanoseconds, the client may take nothing while others wait for the memory that its answers have.
    var patience: UInt64 {
        var least = UInt64.max
        for case .answer(let answer) in outgoing { least = min(least, answer.patience) }
        for case .answer(let answer) in parked.values { least = min(least, answer.patience) }
        return least
    }

    /// Whether an answer of that number is still to be sent.
    func isOwed(_ answer: UInt32) -> Bool {
        guard case .finishing(let answers, _) = state else { return sendsMore }
        return Int32(bitPattern: answer &- answers) < 0
    }

    /// Whether all that was owed has left, and the io stage waits to hear it.
    var isFinished: Bool {
        guard case .finishing(let answers, told: true) = state else { return false }
        return Int32(bitPattern: nextAnswer &- answers) >= 0 && outgoing.isEmpty && !isSending
    }
}

/// A Produce answer whose parts come from several partition groups, or that waits for its turn.
struct JoinedProduce {
    var correlation: Int32
    var version: Int16
    var missingParts: UInt8
    var hasSeveralParts: Bool
    var topicCount: Int
    var topics: [UInt8]

    var isComplete: Bool { missingParts == 0 }
}
