// Unsafe on purpose: answers are encoded into send buffers that the kernel reads.

import DequeModule
import Intake

/// A buffer into which small answers are gathered, so that one send carries many.
final class SendChunk {
    static let capacity = 64 << 10
    let base = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
    var used = 0
    /// How much of it has been sent.
    var sent = 0
    /// How many of the connection's answers have left when it has been sent.
    var answers: UInt32 = 0

    deinit { base.deallocate() }

    var free: Int { SendChunk.capacity - used }
}

/// The respond stage's half of a connection: the order of its answers, and what is on its way out.
struct ResponderConnection {
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
    var isSending = false
    /// When the send under way began; each takes at least a byte to end.
    var sendingSince: UInt64 = 0
    /// How many answers have been sent; and how many the io stage has been told of.
    var sentAnswers: UInt32 = 0
    var toldAnswers: UInt32 = 0
    /// In the list of those that have something new to send.
    var isDirty = false

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
