// Unsafe on purpose: an answer gathers memory that others own (the journal cache) and memory of its own, for the kernel to
// read. One stage fills it, then hands it over with its only reference.

import Glibc
import Intake
import Journal

/// An answer that is complete: a whole frame, in pieces, on its way from the stage that made it to the respond stage.
public final class Answer: @unchecked Sendable {
    public let connection: ConnectionID
    /// Its number in the connection.
    public let number: UInt32
    /// Its own memory; nil: none.
    private var memory: UnsafeMutableRawPointer?
    private var capacity = 0
    public private(set) var used = 0
    private var pieces: [iovec] = []
    private var pins: [(cache: JournalCache, slot: Int32)] = []
    /// The bytes of all pieces.
    public private(set) var count = 0
    /// What its own memory is taken from, and goes back to when it has been sent or dropped.
    private let budget: AnswerBudget?
    /// There is no answer; the connection is to be closed.
    public let closes: Bool

    /// - Parameter capacity: bytes of its own memory; more can't be had later, because pieces point into it.
    public init(_ connection: ConnectionID, number: UInt32, capacity: Int, budget: AnswerBudget? = nil) {
        self.connection = connection
        self.number = number
        self.budget = budget
        closes = false
        if capacity > 0 { memory = .allocate(byteCount: capacity, alignment: 16) }
        self.capacity = capacity
        budget?.take(capacity)
    }

    /// Instead of an answer: its connection is closed, once the answers before it have left.
    public init(closing connection: ConnectionID, number: UInt32) {
        self.connection = connection
        self.number = number
        budget = nil
        closes = true
    }

    /// An answer of bytes that are there.
    public convenience init(_ connection: ConnectionID, number: UInt32, bytes: [UInt8], budget: AnswerBudget? = nil) {
        self.init(connection, number: number, capacity: bytes.count, budget: budget)
        bytes.withUnsafeBytes { append(copying: $0) }
    }

    deinit {
        memory?.deallocate()
        message?.pointee.msg_iov?.deallocate()
        message?.deallocate()
        for pin in pins { pin.cache.unpin(slot: pin.slot) }
        budget?.give(capacity)
    }

    public var free: Int { capacity - used }

    /// How long, in nanoseconds, its client may take nothing of it while others wait for the memory that it has.
    var patience: UInt64 { capacity > 0 ? budget?.patience ?? .max : .max }

    /// Copies bytes to the end. There must be room.
    public func append(copying bytes: UnsafeRawBufferPointer) {
        guard let from = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count).copyMemory(from: from, byteCount: bytes.count)
    }

    /// Memory at the end for the caller to fill. There must be room.
    public func reserve(_ bytes: Int) -> UnsafeMutableRawPointer {
        precondition(bytes <= free, "an answer's own memory is fixed")
        let at = memory! + used
        used += bytes
        add(UnsafeRawPointer(at), bytes)
        return at
    }

    /// Gives back what of its last reservation was not needed; all of it must be one piece.
    public func shorten(to bytes: Int) {
        precondition(pieces.count == 1 && bytes <= used, "only the end of a single piece")
        used = bytes
        count = bytes
        pieces[0].iov_len = bytes
    }

    /// Lets the answer gather memory of the journal cache; the pin becomes the answer's.
    public func append(pinned bytes: UnsafeRawBufferPointer, cache: JournalCache, slot: Int32) {
        add(bytes.baseAddress!, bytes.count)
        pins.append((cache, slot))
    }

    private func add(_ from: UnsafeRawPointer, _ bytes: Int) {
        count += bytes
        if let last = pieces.last, last.iov_base + last.iov_len == UnsafeMutableRawPointer(mutating: from) {
            pieces[pieces.count - 1].iov_len += bytes
        } else {
            pieces.append(iovec(iov_base: UnsafeMutableRawPointer(mutating: from), iov_len: bytes))
        }
    }

    /// The bytes in one piece, where they are; nil: they are in several.
    public var single: UnsafeRawBufferPointer? {
        guard pieces.count <= 1 else { return nil }
        return UnsafeRawBufferPointer(start: pieces.first?.iov_base, count: pieces.first?.iov_len ?? 0)
    }

    /// All of it, in memory of its own.
    var bytes: [UInt8] { pieces.flatMap { Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len)) } }

    // MARK: Sending

    private var message: UnsafeMutablePointer<msghdr>?

    /// The most pieces of one send (UIO_MAXIOV, sendmsg(2)).
    private static let most = 1024

    /// What to send next.
    func nextMessage() -> UnsafePointer<msghdr> {
        if message == nil {
            message = .allocate(capacity: 1)
            message!.initialize(to: msghdr())
        }
        let vector = UnsafeMutablePointer<iovec>.allocate(capacity: min(pieces.count, Answer.most))
        for index in 0..<min(pieces.count, Answer.most) { vector[index] = pieces[index] }
        message!.pointee.msg_iov?.deallocate()
        message!.pointee.msg_iov = vector
        message!.pointee.msg_iovlen = min(pieces.count, Answer.most)
        return UnsafePointer(message!)
    }

    /// That many bytes have been sent. Returns whether that was all.
    func sent(_ bytes: Int) -> Bool {
        var left = bytes
        var whole = 0
        while whole < pieces.count, left >= pieces[whole].iov_len {
            left -= pieces[whole].iov_len
            whole += 1
        }
        pieces.removeFirst(whole)
        if left > 0 {
            pieces[0].iov_base += left
            pieces[0].iov_len -= left
        }
        return pieces.isEmpty
    }
}
