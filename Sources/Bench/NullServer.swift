// Unsafe on purpose: requests are looked at where they were received, answers written where they are sent from.

import Glibc
import Host
import IO

/// A server on the broker's own transport that answers Produce requests without looking at records, and keeps nothing: what is left of a
/// broker's work when it is no broker. Its answers name topic and partition, no error, and offset 0.
public struct NullServer: Stage, ~Copyable {
    private static let acceptTag: UInt64 = 0
    private let listener: Listener
    private let sockets: RingPort
    private let ring: Ring
    private var connections = OwnedArray<NullConnection>()

    public init(_ listener: Listener, ring: Ring) {
        self.listener = listener
        self.ring = ring
        sockets = ring.makePort()
        sockets.accept(listener: listener.socket, tag: NullServer.acceptTag)
    }

    public mutating func step(_ now: Moment) -> Int {
        var progress = 0
        while let completion = sockets.next() {
            progress += 1
            // Ports are never given back: so many connections, and the server has served its time.
            if completion.result >= 0, connections.count < 250 {
                do { connections.append(try NullConnection(completion.result, ring.makePort())) } catch { sockets.close(completion.result) }
            } else if completion.result >= 0 {
                sockets.close(completion.result)
            }
            if !completion.more { sockets.accept(listener: listener.socket, tag: NullServer.acceptTag) }
        }
        for number in (0..<connections.count).reversed() {
            progress += connections[number].step()
            if connections[number].isClosed { _ = connections.remove(number) }
        }
        return progress
    }
}

private struct SendBuffer {
    private static let bytes = 1 << 20
    /// An answer names its topic, of at most 32,767 bytes.
    private static let longestAnswer = 33 << 10
    let memory = UnsafeMutableRawPointer.allocate(byteCount: SendBuffer.bytes, alignment: 64)
    var count = 0

    var hasRoom: Bool { count + SendBuffer.longestAnswer <= SendBuffer.bytes }
}

private struct NullConnection: ~Copyable {
    private let socket: Int32
    private let sockets: RingPort
    private var stream: FrameStream
    /// One is sent, the other filled.
    private var answers = SendBuffer()
    private var sending = SendBuffer()
    private var isFailed = false

    init(_ socket: Int32, _ sockets: RingPort) throws(LoadError) {
        stream = try FrameStream(socket, sockets, receiveBytes: 1 << 18)
        self.socket = socket
        self.sockets = sockets
        sockets.setNoDelay(socket)
    }

    deinit {
        sockets.close(socket)
        answers.memory.deallocate()
        sending.memory.deallocate()
    }

    var isClosed: Bool { isFailed && stream.isIdle }

    mutating func step() -> Int {
        do {
            let progress = try stream.takeCompletions()
            if isFailed { return progress }
            try answerAll()
            send()
            // What had to wait for room.
            try answerAll()
            stream.proceed()
            return progress
        } catch {
            isFailed = true
            sockets.shutdown(socket)
            return 1
        }
    }

    private mutating func send() {
        guard stream.hasSent, answers.count > 0 else { return }
        swap(&answers, &sending)
        answers.count = 0
        stream.send(sending.memory, count: sending.count)
    }

    private mutating func answerAll() throws(LoadError) {
        // The rest waits until the answers before it are sent.
        while answers.hasRoom, let request = try stream.nextFrame() {
            guard answer(request) else { throw LoadError("a request that is not the load's") }
        }
    }

    /// Produce version 7 with one topic and one partition, as the load sends it.
    private mutating func answer(_ request: UnsafeRawBufferPointer) -> Bool {
        func get<T: FixedWidthInteger>(_ offset: Int, _: T.Type = T.self) -> T? {
            guard offset + MemoryLayout<T>.size <= request.count else { return nil }
            return T(bigEndian: request.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        guard let client: Int16 = get(8) else { return false }
        // Client id; transactional id, which is null; acks; timeout; the topics' number.
        let acksAt = 10 + Int(max(client, 0)) + 2
        let nameAt = acksAt + 2 + 4 + 4
        guard let acks: Int16 = get(acksAt), let name: Int16 = get(nameAt), name >= 0 else { return false }
        let partitionAt = nameAt + 2 + Int(name) + 4
        guard let _: Int32 = get(partitionAt) else { return false }
        if acks == 0 { return true }
        let count = 4 + 4 + 2 + Int(name) + 4 + 4 + 2 + 8 + 8 + 8 + 4
        let base = answers.memory + answers.count
        base.initializeMemory(as: UInt8.self, repeating: 0, count: count + 4)
        func put<T: FixedWidthInteger>(_ value: T, _ at: Int) { base.storeBytes(of: value.bigEndian, toByteOffset: at, as: T.self) }
        put(Int32(count), 0)
        (base + 4).copyMemory(from: request.baseAddress! + 4, byteCount: 4)
        put(Int32(1), 8)
        put(name, 12)
        (base + 14).copyMemory(from: request.baseAddress! + nameAt + 2, byteCount: Int(name))
        put(Int32(1), 14 + Int(name))
        (base + 18 + Int(name)).copyMemory(from: request.baseAddress! + partitionAt, byteCount: 4)
        answers.count += count + 4
        return true
    }
}
