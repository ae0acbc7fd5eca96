// Unsafe on purpose: frames are looked at where they were received, and sent from where they were written.

import IO

/// A connection's two directions, as every load and server here has them: one receive at a time into a mirrored buffer, one send at a
/// time. Frames begin with their length, 4 bytes, big endian.
struct FrameStream: ~Copyable {
    private enum Tag {
        static let send: UInt64 = 1
        static let receive: UInt64 = 2
    }

    private let socket: Int32
    private let sockets: RingPort
    private let received: MirroredBuffer
    private var receivedEnd = 0
    private var parsed = 0
    private var isReceiving = false
    private var sending = UnsafeRawBufferPointer(start: nil, count: 0)
    private var isSending = false

    init(_ socket: Int32, _ sockets: RingPort, receiveBytes: Int) throws(LoadError) {
        guard let received = MirroredBuffer(capacity: receiveBytes) else { throw LoadError("no memory for a connection") }
        self.received = received
        self.socket = socket
        self.sockets = sockets
    }

    /// Nothing is under way: the memory that it sends from may be used again.
    var isIdle: Bool { !isSending && !isReceiving }
    /// All that was to be sent has been.
    var hasSent: Bool { sending.isEmpty }

    /// Takes in what has ended. Returns how much; throws where the connection has, when all of that is taken in.
    mutating func takeCompletions() throws(LoadError) -> Int {
        var count = 0
        var failure: Int32?
        while let completion = sockets.next() {
            count += 1
            let moved = Int(max(completion.result, 0))
            if completion.tag == Tag.send {
                isSending = false
                sending = UnsafeRawBufferPointer(rebasing: sending[moved...])
            } else {
                isReceiving = false
                receivedEnd += moved
            }
            if completion.result <= 0 { failure = failure ?? completion.result }
        }
        guard let failure else { return count }
        throw LoadError(failure == 0 ? "the other side has closed a connection" : "a connection: \(describe(errno: -failure))")
    }

    /// Begins to send, where all before is sent. The bytes stay as they are until `hasSent`.
    mutating func send(_ from: UnsafeRawPointer, count: Int) {
        precondition(hasSent, "one send at a time")
        sending = UnsafeRawBufferPointer(start: from, count: count)
    }

    /// Lets the kernel go on, with what is to be sent, and where there is room with receiving.
    mutating func proceed() {
        if !isSending, let from = sending.baseAddress, !sending.isEmpty {
            isSending = true
            sockets.send(socket, from: from, count: sending.count, tag: Tag.send)
        }
        let room = received.capacity - (receivedEnd - parsed)
        if !isReceiving, room > 0 {
            isReceiving = true
            sockets.receive(socket, into: received.pointer(receivedEnd), capacity: room, tag: Tag.receive)
        }
    }

    /// What has been received and not consumed.
    var unread: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: received.pointer(parsed), count: receivedEnd - parsed) }

    mutating func consume(_ count: Int) { parsed += count }

    /// The next whole frame, without its length; nil: it is not there yet. It is good until `proceed`.
    mutating func nextFrame() throws(LoadError) -> UnsafeRawBufferPointer? {
        let unread = unread
        guard unread.count >= 4 else { return nil }
        let length = Int(UInt32(bigEndian: unread.loadUnaligned(as: UInt32.self)))
        guard length <= received.capacity - 4 else { throw LoadError("a frame of \(length) bytes") }
        guard unread.count >= 4 + length else { return nil }
        consume(4 + length)
        return UnsafeRawBufferPointer(rebasing: unread[4..<4 + length])
    }
}
