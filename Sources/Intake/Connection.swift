// Unsafe on purpose: the ledger of frames owns its memory, because an array is asked at each change whether it is shared.

import IO

/// The io stage's half of a connection: what has been read of it, and what of that is still in use elsewhere.
///
/// The stream's bytes are numbered; the receive buffer holds those from `released` to `received`. Those before `parsed`
/// belong to frames that were handed on.
struct Connection: ~Copyable {
    enum State {
        case free
        case open
        /// No more is read; waiting for frames to come back and for the respond stage to be done.
        case closing
    }

    var state = State.free
    var generation: UInt32 = 0
    var socket: Int32 = -1
    /// The other side's, as connections are counted by.
    var address: UInt64 = 0
    var buffer: MirroredBuffer?
    var received = 0
    var parsed = 0
    var released = 0
    /// The frames that are out: where each ends, and how many stages still have it.
    var frames = FrameLedger()
    /// The number of the next answer.
    var answers: UInt32 = 0
    /// How many answers have been sent.
    var answersSent: UInt32 = 0
    /// The numbers of answers that may be large and are not sent yet, oldest first.
    var largeAnswers: [UInt32] = []
    /// As `largeAnswers`, of fetches.
    var fetchAnswers: [UInt32] = []
    var isReceiving = false
    /// The receive has been cancelled so that a large buffer becomes free.
    var isReclaimed = false
    /// In the list of those whose next frame could not be handed on.
    var isStalled = false
    /// The capacity that the next frame needs, where it is more than the buffer has; else 0.
    var neededCapacity = 0
    /// What its deadlines are judged by.
    var activity = ConnectionActivity(opened: 0)
    /// The other side is done with this connection.
    var respondIsDone = false

    /// How many answers are owed.
    var unanswered: Int { Int(answers &- answersSent) }

    mutating func noteSent(_ answers: UInt32) {
        answersSent = answers
        largeAnswers.removeAll { Int32(bitPattern: $0 &- answers) < 0 }
        fetchAnswers.removeAll { Int32(bitPattern: $0 &- answers) < 0 }
    }

    /// Whether it is late with what it should do, and with what.
    /// - Parameter isInTheWay: whether others wait for memory that it has.
    mutating func judge(
        isInTheWay: Bool, _ timeouts: ConnectionTimeouts, _ now: UInt64
    ) -> ConnectionActivity.Verdict {
        // What isn't read is not missing.
        let half = isReceiving && unread > 0 ? frames.next : nil
        let isOwed = unanswered > 0 || frames.count > 0 || !isReceiving
        return activity.judge(half: half, isInTheWay: isInTheWay, isOwed: isOwed, timeouts, now)
    }

    var unread: Int { received - parsed }
    var freeBytes: Int { (buffer?.capacity ?? 0) - (received - released) }

    /// Whether a frame at the front can be looked at; its bytes.
    var front: UnsafeMutableRawPointer { buffer!.pointer(parsed) }

    /// All that was received has been handed on and given back: the next byte may as well go to the buffer's beginning,
    /// so that a quiet connection touches only its first page.
    mutating func rewindIfEmpty() {
        guard !isReceiving, released == received else { return }
        received = 0
        parsed = 0
        released = 0
    }
}

/// The frames of a connection that are out, oldest first. They may come back in any order; room is made in order.
struct FrameLedger: ~Copyable {
    private struct Entry: BitwiseCopyable {
        var end: Int
        var holders: UInt8
    }

    /// A ring of as many as a power of two.
    private var entries: UnsafeMutableBufferPointer<Entry>
    private var first: UInt32 = 0
    private(set) var count = 0

    init() {
        entries = .allocate(capacity: 16)
        entries.initialize(repeating: Entry(end: 0, holders: 0))
    }

    deinit { entries.deallocate() }

    private func place(_ frame: UInt32) -> Int { Int(frame) & (entries.count - 1) }

    /// The number that the next frame will have.
    var next: UInt32 { first &+ UInt32(truncatingIfNeeded: count) }

    /// A frame goes out to `holders` stages; its last byte is before stream byte `end`.
    mutating func add(end: Int, holders: UInt8) {
        if count == entries.count { grow() }
        entries[place(next)] = Entry(end: end, holders: holders)
        count += 1
    }

    /// One stage gives frames back, that one and those behind it. Returns up to where the stream is free, if that has changed.
    mutating func release(_ frame: UInt32, count released: UInt32) -> Int? {
        precondition(Int(frame &- first) + Int(released) <= count, "only what is out can come back")
        for number in 0..<released { entries[place(frame &+ number)].holders -= 1 }
        var end: Int?
        while count > 0, entries[place(first)].holders == 0 {
            end = entries[place(first)].end
            first &+= 1
            count -= 1
        }
        return end
    }

    private mutating func grow() {
        let smaller = entries
        entries = .allocate(capacity: 2 * smaller.count)
        entries.initialize(repeating: Entry(end: 0, holders: 0))
        for number in 0..<UInt32(count) {
            entries[place(first &+ number)] = smaller[Int(first &+ number) & (smaller.count - 1)]
        }
        smaller.deallocate()
    }
}
