// Unsafe on purpose: the kernel reads the journal's memory where it lies; a pinned slot stays as it is until it is unpinned.

import DequeModule
import Glibc
import IO
import Journal

/// The way to one other broker: what is to be sent, in order, gathered into as few sends as there can be. Where the way breaks, what waits is
/// thrown away: whoever is not answered asks again.
final class PeerLink {
    /// A stretch of bytes to send.
    final class Piece {
        enum Source {
            case bytes(UnsafeMutableRawPointer)
            case pinned(cache: JournalCache, slot: Int32)
            case buffer(AlignedBuffer)
            /// It is being read from a file.
            case loading
        }

        fileprivate(set) var source: Source
        fileprivate var base: UnsafeRawPointer?
        fileprivate(set) var count: Int

        init(_ bytes: [UInt8]) {
            let copy = UnsafeMutableRawPointer.allocate(byteCount: bytes.count, alignment: 8)
            copy.copyMemory(from: bytes, byteCount: bytes.count)
            source = .bytes(copy)
            base = UnsafeRawPointer(copy)
            count = bytes.count
        }

        init(cache: JournalCache, slot: Int32, offset: Int, count: Int) {
            source = .pinned(cache: cache, slot: slot)
            base = UnsafeRawPointer(cache.base(slot: slot) + offset)
            self.count = count
        }

        init(loading count: Int) {
            source = .loading
            self.count = count
        }

        /// It has been read.
        func load(_ buffer: AlignedBuffer, offset: Int) {
            source = .buffer(buffer)
            base = UnsafeRawPointer(buffer.base + offset)
        }

        deinit {
            switch source {
            case .pinned(let cache, let slot): cache.unpin(slot: slot)
            case .bytes(let memory): memory.deallocate()
            case .buffer, .loading: break
            }
        }
    }

    /// A broker that does not answer for so long, in milliseconds, is connected to anew.
    static let patience: Int32 = 4000
    /// The most pieces of one send.
    private static let mostPieces = 64

    let broker: Int32
    let tag: UInt64
    private let sockets: any SocketPort
    private(set) var socket: Int32?
    private var queue: Deque<Piece> = []
    /// What of the first piece has been sent.
    private var sentOfFirst = 0
    /// What the kernel is reading; it outlives the connection where need be.
    private var underWay: [Piece] = []
    private var isSending = false
    private let vectors: UnsafeMutablePointer<iovec>
    private let message: UnsafeMutablePointer<msghdr>
    /// A socket that takes the place of the one whose last send has not ended.
    private var next: Int32?

    init(broker: Int32, sockets: any SocketPort, tag: UInt64) {
        self.broker = broker
        self.sockets = sockets
        self.tag = tag
        vectors = .allocate(capacity: PeerLink.mostPieces)
        message = .allocate(capacity: 1)
        message.initialize(to: msghdr())
    }

    deinit {
        vectors.deallocate()
        message.deallocate()
    }

    var isConnected: Bool { socket != nil }

    /// A connection was made. What was meant for the one before is gone. Returns false where it has to wait for the end of a send.
    func connect(_ new: Int32) -> Bool {
        disconnect()
        guard !isSending else {
            if let older = next { sockets.close(older) }
            next = new
            return false
        }
        sockets.setNoDelay(new)
        sockets.setImpatient(new, milliseconds: PeerLink.patience)
        socket = new
        return true
    }

    func disconnect() {
        if let socket {
            sockets.shutdown(socket)
            if !isSending { sockets.close(socket) }
            if isSending { closing = socket }
        }
        socket = nil
        queue.removeAll()
        sentOfFirst = 0
    }

    private var closing: Int32?

    func put(_ piece: Piece) {
        guard socket != nil else { return }
        queue.append(piece)
    }

    /// Sends what is ready.
    func send() {
        guard let socket, !isSending, !queue.isEmpty else { return }
        var count = 0
        underWay.removeAll(keepingCapacity: true)
        for piece in queue.prefix(PeerLink.mostPieces) {
            guard let base = piece.base else { break }
            let skipped = count == 0 ? sentOfFirst : 0
            vectors[count] = iovec(iov_base: UnsafeMutableRawPointer(mutating: base + skipped), iov_len: piece.count - skipped)
            underWay.append(piece)
            count += 1
        }
        guard count > 0 else { return }
        message.pointee.msg_iov = vectors
        message.pointee.msg_iovlen = count
        isSending = true
        sockets.send(socket, message: message, tag: tag)
    }

    /// What came of a send. False: the way is broken, or was; a new one is needed, unless one is there.
    func sent(_ result: Int32) -> Bool {
        isSending = false
        underWay.removeAll(keepingCapacity: true)
        if let closing { sockets.close(closing) }
        closing = nil
        guard socket != nil else { return false }
        guard result > 0 else {
            disconnect()
            return false
        }
        var left = Int(result)
        while left > 0, let first = queue.first {
            let rest = first.count - sentOfFirst
            if left < rest {
                sentOfFirst += left
                return true
            }
            left -= rest
            sentOfFirst = 0
            queue.removeFirst()
        }
        return true
    }

    /// The connection that was waiting for the end of the one before.
    func takeNext() -> Int32? {
        defer { next = nil }
        return isSending ? nil : next
    }
}
