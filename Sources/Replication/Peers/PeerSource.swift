// Unsafe on purpose: the kernel writes into its buffers, and frames are read where they lie.

import IO

/// A connection from another broker: what comes, frame by frame. Memory that frames lie in is not written again: who still needs some of it
/// holds on to its buffer.
final class PeerSource {
    private static let bufferBytes = 2 << 20
    /// With less room than that a new buffer is begun.
    private static let leastRoom = 64 << 10

    let socket: Int32
    let tag: UInt64
    private let sockets: any SocketPort
    private(set) var buffer = AlignedBuffer(uninitialized: PeerSource.bufferBytes)
    private var start = 0
    private var end = 0
    private(set) var isReceiving = false
    private(set) var isClosed = false

    init(socket: Int32, sockets: any SocketPort, tag: UInt64) {
        self.socket = socket
        self.sockets = sockets
        self.tag = tag
    }

    func receive() {
        guard !isReceiving, !isClosed else { return }
        isReceiving = true
        sockets.receive(socket, into: buffer.base + end, capacity: buffer.count - end, tag: tag)
    }

    /// What came of a receive; false: the connection is over.
    func received(_ result: Int32) -> Bool {
        isReceiving = false
        guard result > 0, !isClosed else { return false }
        end += Int(result)
        return true
    }

    /// The next whole frame, in `buffer`; nil: more must come first. An error: these are no frames.
    func next() throws(PeerMalformed) -> UnsafeRawBufferPointer? {
        let bytes = UnsafeRawBufferPointer(start: buffer.base + start, count: end - start)
        switch PeerFrame.look(bytes) {
        case .malformed: throw PeerMalformed()
        case .whole(let length):
            start += length
            return UnsafeRawBufferPointer(rebasing: bytes[..<length])
        case .more(let needed):
            makeRoom(needed)
            return nil
        }
    }

    /// Room for a frame of that length from `start` on, and for some bytes at all.
    private func makeRoom(_ needed: Int) {
        guard !isReceiving, start + needed > buffer.count || buffer.count - end < PeerSource.leastRoom else { return }
        let larger = AlignedBuffer(uninitialized: max(PeerSource.bufferBytes, needed))
        larger.base.copyMemory(from: buffer.base + start, byteCount: end - start)
        buffer = larger
        end -= start
        start = 0
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        sockets.shutdown(socket)
    }
}

/// What came from a connection is not what brokers send.
struct PeerMalformed: Error, CustomStringConvertible {
    var description: String { "no frame of brokers" }
}
