// Unsafe on purpose: like the kernel, it reads and writes the memory that operations name.

import DequeModule
import Glibc

/// The simulated twin of the host's sockets: connections between clients that a test drives and the stages of a broker.
/// Everything happens on the caller's thread, when `poll` is called.
public final class SimulatedNetwork {
    final class Link {
        var toBroker: [UInt8] = []
        var toClient: [UInt8] = []
        var clientHasEnded = false
        var brokerHasEnded = false
        /// The other side is gone: what is sent fails.
        var isReset = false
        var receive: (port: SimulatedSocketPort, into: UnsafeMutableRawPointer, capacity: Int, tag: UInt64)?
        var send: (port: SimulatedSocketPort, bytes: [UInt8], tag: UInt64)?
    }

    private var links: [Int32: Link] = [:]
    /// The sockets of all links, in the order in which they were made.
    private var order: [Int32] = []
    private var waiting: Deque<Int32> = []
    private var acceptors: [(port: SimulatedSocketPort, tag: UInt64)] = []
    private var nextSocket: Int32 = 1000
    private var stalledReaders: Set<Int32> = []
    /// The most bytes that one receive or send moves: small, to cut frames anywhere.
    public var pieceLimit = Int.max

    public init() {}

    public func makePort() -> SimulatedSocketPort { SimulatedSocketPort(network: self) }

    // MARK: The clients' side

    /// A new connection to the broker; returns its number.
    public func connect() -> Int32 {
        let socket = open()
        waiting.append(socket)
        return socket
    }

    /// A new connection that the broker has made; returns its socket.
    public func open() -> Int32 {
        nextSocket += 1
        links[nextSocket] = Link()
        order.append(nextSocket)
        return nextSocket
    }

    public func write(_ bytes: [UInt8], to connection: Int32) { links[connection]?.toBroker += bytes }

    /// What the broker has sent since the last call.
    public func read(_ connection: Int32) -> [UInt8] {
        guard let link = links[connection] else { return [] }
        defer { link.toClient = [] }
        return link.toClient
    }

    /// The client says that it will send no more.
    public func end(_ connection: Int32) { links[connection]?.clientHasEnded = true }

    /// The client, or the way to it, is gone without a word: what the broker sends from now on fails.
    public func reset(_ connection: Int32) {
        links[connection]?.clientHasEnded = true
        links[connection]?.isReset = true
    }

    /// Whether the broker has closed the connection.
    public func isClosed(_ connection: Int32) -> Bool { links[connection]?.brokerHasEnded ?? true }

    /// That client takes nothing more, either; nil: all do again.
    public func stalls(reader connection: Int32?) {
        if let connection { stalledReaders.insert(connection) } else { stalledReaders = [] }
    }

    /// How many bytes of the client's the broker has not read yet.
    public func unread(_ connection: Int32) -> Int { links[connection]?.toBroker.count ?? 0 }

    // MARK: The broker's side

    /// Moves bytes and completes what can complete. Returns how much was done.
    public func poll() -> Int {
        var count = 0
        if let acceptor = acceptors.first {
            while let socket = waiting.popFirst() {
                acceptor.port.deliver(Completion(tag: acceptor.tag, result: socket, more: true))
                count += 1
            }
        }
        var hasEnded = false
        for socket in order {
            let link = links[socket]!
            count += receive(link)
            if link.brokerHasEnded || link.isReset || !stalledReaders.contains(socket) { count += send(link) }
            let isRead = link.toClient.isEmpty || link.isReset
            if link.brokerHasEnded && link.clientHasEnded && isRead && link.receive == nil && link.send == nil {
                links[socket] = nil
                hasEnded = true
            }
        }
        if hasEnded { order.removeAll { links[$0] == nil } }
        return count
    }

    private func receive(_ link: Link) -> Int {
        guard let receive = link.receive else { return 0 }
        if link.brokerHasEnded || link.isReset || (link.toBroker.isEmpty && link.clientHasEnded) {
            link.receive = nil
            receive.port.deliver(Completion(tag: receive.tag, result: 0))
            return 1
        }
        let moved = min(link.toBroker.count, receive.capacity, pieceLimit)
        guard moved > 0 else { return 0 }
        link.toBroker.withUnsafeBytes { receive.into.copyMemory(from: $0.baseAddress!, byteCount: moved) }
        link.toBroker.removeFirst(moved)
        link.receive = nil
        receive.port.deliver(Completion(tag: receive.tag, result: Int32(moved)))
        return 1
    }

    private func send(_ link: Link) -> Int {
        guard let send = link.send else { return 0 }
        link.send = nil
        let moved = min(send.bytes.count, pieceLimit)
        if link.brokerHasEnded || link.isReset {
            send.port.deliver(Completion(tag: send.tag, result: -EPIPE))
        } else {
            link.toClient += send.bytes.prefix(moved)
            send.port.deliver(Completion(tag: send.tag, result: Int32(moved)))
        }
        return 1
    }

    func accept(_ port: SimulatedSocketPort, _ tag: UInt64) { acceptors.append((port, tag)) }

    func link(_ socket: Int32) -> Link? { links[socket] }

    func cancel(_ target: UInt64, _ port: SimulatedSocketPort) {
        acceptors.removeAll { acceptor in
            guard acceptor.port === port, acceptor.tag == target else { return false }
            port.deliver(Completion(tag: target, result: -ECANCELED))
            return true
        }
    }
}

/// One stage's share of a simulated network.
public final class SimulatedSocketPort: SocketPort {
    /// Its links hold on to ports.
    private weak var network: SimulatedNetwork?
    private var completions: Deque<Completion> = []

    init(network: SimulatedNetwork) { self.network = network }

    func deliver(_ completion: Completion) { completions.append(completion) }

    public func next() -> Completion? { completions.popFirst() }
    public func accept(listener: Int32, tag: UInt64) { network?.accept(self, tag) }

    public func receive(_ socket: Int32, into: UnsafeMutableRawPointer, capacity: Int, tag: UInt64) {
        network?.link(socket)?.receive = (self, into, capacity, tag)
    }

    public func send(_ socket: Int32, from: UnsafeRawPointer, count: Int, tag: UInt64) {
        network?.link(socket)?.send = (self, Array(UnsafeRawBufferPointer(start: from, count: count)), tag)
    }

    public func send(_ socket: Int32, message: UnsafePointer<msghdr>, tag: UInt64) {
        var bytes: [UInt8] = []
        for index in 0..<Int(message.pointee.msg_iovlen) {
            let piece = message.pointee.msg_iov[index]
            bytes += UnsafeRawBufferPointer(start: piece.iov_base, count: piece.iov_len)
        }
        network?.link(socket)?.send = (self, bytes, tag)
    }

    public func cancel(_ target: UInt64, tag: UInt64) {
        network?.cancel(target, self)
        deliver(Completion(tag: tag, result: 0))
    }

    public func setNoDelay(_ socket: Int32) {}
    public func setImpatient(_ socket: Int32, milliseconds: Int32) {}
    public func shutdown(_ socket: Int32) { network?.link(socket)?.brokerHasEnded = true }
    public func close(_ socket: Int32) { network?.link(socket)?.brokerHasEnded = true }
    public func peerName(_ socket: Int32) -> String { "simulated:\(socket)" }
    public func peerAddress(_ socket: Int32) -> UInt64 { 1 }
    public func discard(_ socket: Int32) { shutdown(socket) }
}
