import Glibc
import IO

/// Sockets that do what the test says.
final class FakeSockets: SocketPort {
    struct Armed {
        var memory: UnsafeMutableRawPointer
        var capacity: Int
        var tag: UInt64
    }

    private var completions: [Completion] = []
    private var acceptTag: UInt64?
    /// The receives that wait for bytes, by socket.
    private(set) var armed: [Int32: Armed] = [:]
    private(set) var closed: [Int32] = []
    private(set) var shut: Set<Int32> = []
    var isAccepting: Bool { acceptTag != nil }

    func next() -> Completion? { completions.isEmpty ? nil : completions.removeFirst() }

    // MARK: What the test does

    /// A client connects.
    func connect(_ socket: Int32) {
        completions.append(Completion(tag: acceptTag!, result: socket, more: true))
    }

    /// As many of the bytes come as there is room for; returns the number.
    func deliver(_ bytes: some Collection<UInt8>, to socket: Int32) -> Int {
        guard let receive = armed.removeValue(forKey: socket) else { return 0 }
        let part = Array(bytes.prefix(receive.capacity))
        part.withUnsafeBytes { receive.memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        completions.append(Completion(tag: receive.tag, result: Int32(part.count)))
        return part.count
    }

    /// Accepting ends with that error.
    func failAccept(_ code: Int32) {
        completions.append(Completion(tag: acceptTag!, result: -code))
        acceptTag = nil
    }

    /// The receive ends with that result: 0 where the client has sent all, or a negative errno.
    func finish(_ socket: Int32, result: Int32) {
        guard let receive = armed.removeValue(forKey: socket) else { return }
        completions.append(Completion(tag: receive.tag, result: result))
    }

    // MARK: SocketPort

    func accept(listener: Int32, tag: UInt64) { acceptTag = tag }

    func receive(_ socket: Int32, into: UnsafeMutableRawPointer, capacity: Int, tag: UInt64) {
        precondition(armed[socket] == nil && capacity > 0 && !closed.contains(socket), "one receive at a time")
        armed[socket] = Armed(memory: into, capacity: capacity, tag: tag)
    }

    func send(_ socket: Int32, from: UnsafeRawPointer, count: Int, tag: UInt64) { preconditionFailure("intake sends nothing") }
    func send(_ socket: Int32, message: UnsafePointer<msghdr>, tag: UInt64) { preconditionFailure("intake sends nothing") }

    func cancel(_ target: UInt64, tag: UInt64) {
        if target == acceptTag {
            acceptTag = nil
            completions.append(Completion(tag: target, result: -ECANCELED))
        }
        for (socket, receive) in armed where receive.tag == target { finish(socket, result: -ECANCELED) }
        completions.append(Completion(tag: tag, result: 0))
    }

    func setNoDelay(_ socket: Int32) {}

    func shutdown(_ socket: Int32) {
        shut.insert(socket)
        finish(socket, result: 0)
    }

    func discard(_ socket: Int32) { preconditionFailure("intake discards nothing") }

    func close(_ socket: Int32) {
        precondition(armed[socket] == nil, "memory is still being received into")
        closed.append(socket)
    }

    func peerName(_ socket: Int32) -> String { "client \(socket)" }
    /// A million sockets come from one address.
    func peerAddress(_ socket: Int32) -> UInt64 { UInt64(socket / 1_000_000) }
}
