// Unsafe on purpose: this file is the only one that calls the C ring. The ring belongs to one thread after `attach`;
// only its waker crosses threads, and the C side allows that.

import CIO
import DequeModule
import Glibc
import Host

/// The text of an errno.
public func describe(errno code: Int32) -> String { String(cString: strerror(code)) }

/// The way that a ring takes to the kernel.
public enum RingBackend: String, Sendable, CaseIterable {
    /// Every operation through queues shared with the kernel.
    case ioUring = "io_uring"
    /// Sockets by epoll, files by helper threads: slower, and never refused.
    case epoll
}

/// The host's kernel as an event source: one ring for one thread, shared by the ports of the stages that run there.
public final class Ring: EventSource {
    fileprivate let raw: OpaquePointer
    private var ports: [RingPort] = []
    private let batch: UnsafeMutablePointer<hutong_completion>
    private let batchCapacity = 256
    public let waker: Waker
    public let backend: RingBackend

    private struct Handle: @unchecked Sendable { let raw: OpaquePointer }

    /// - Parameter entries: for how many operations between two submissions there is room; further ones wait.
    public init(_ backend: RingBackend, entries: Int = 1024) throws(IOError) {
        var made: OpaquePointer?
        let result = hutong_ring_create(backend == .ioUring ? HUTONG_IO_URING : HUTONG_EPOLL, UInt32(entries), &made)
        guard result == 0, let made else { throw IOError(code: -result, doing: "setting up \(backend.rawValue)") }
        raw = made
        self.backend = backend
        batch = .allocate(capacity: batchCapacity)
        let handle = Handle(raw: made)
        waker = Waker { hutong_ring_wake(handle.raw) }
    }

    deinit {
        hutong_ring_destroy(raw)
        batch.deallocate()
    }

    /// How often a queue shared with the kernel was full, so that completions or operations had to wait. None is lost.
    public var overflows: UInt64 { hutong_ring_overflows(raw) }

    /// A port for one more stage on this ring's thread; at most 255.
    public func makePort() -> RingPort {
        precondition(ports.count < 255, "a ring has at most 255 ports")
        let port = RingPort(ring: self, number: UInt64(ports.count))
        ports.append(port)
        return port
    }

    public func attach() {
        let result = hutong_ring_enable(raw)
        precondition(result == 0, "enabling the ring: \(describe(errno: -result))")
    }

    public func poll() -> Int {
        must(hutong_ring_poll(raw), "submitting to the ring")
        return distribute()
    }

    public func wait(nanoseconds: UInt64) {
        must(hutong_ring_wait(raw, nanoseconds), "waiting on the ring")
    }

    private func distribute() -> Int {
        var total = 0
        while true {
            let count = Int(hutong_ring_reap(raw, batch, Int32(batchCapacity)))
            for index in 0..<count {
                let each = batch[index]
                ports[Int(each.tag >> 56)].deliver(
                    Completion(tag: each.tag & RingPort.tagMask, result: each.result, more: each.more != 0))
            }
            total += count
            if count < batchCapacity { return total }
        }
    }

    /// A ring that no longer takes operations can't be worked around: nothing could be promised any more.
    fileprivate func must(_ result: Int32, _ doing: StaticString) {
        precondition(result == 0, "\(doing): \(describe(errno: -result))")
    }
}

/// One stage's share of a ring: both its sockets and its files.
public final class RingPort: SocketPort, FilePort {
    static let tagMask: UInt64 = (1 << 56) - 1
    private unowned let ring: Ring
    private let base: UInt64
    private var completions = Deque<Completion>(minimumCapacity: 64)
    private var underWay = 0
    /// How many completions have come.
    public private(set) var delivered = 0
    private var opened: Set<Int32> = []

    fileprivate init(ring: Ring, number: UInt64) {
        self.ring = ring
        base = number << 56
    }

    fileprivate func deliver(_ completion: Completion) {
        if !completion.more { underWay -= 1 }
        completions.append(completion)
        delivered += 1
    }

    public func next() -> Completion? { completions.popFirst() }

    /// How many of them nobody has taken yet.
    public var waiting: Int { completions.count }

    public var isIdle: Bool { underWay == 0 && completions.isEmpty }

    /// The tag of an operation that begins now, as the ring knows it.
    private func began(_ tag: UInt64) -> UInt64 {
        underWay += 1
        return named(tag)
    }

    private func named(_ tag: UInt64) -> UInt64 {
        precondition(tag <= RingPort.tagMask, "a tag has 56 bits")
        return base | tag
    }

    // MARK: Sockets

    public func accept(listener: Int32, tag: UInt64) {
        ring.must(hutong_queue_accept(ring.raw, listener, began(tag)), "queueing an accept")
    }

    public func receive(_ socket: Int32, into: UnsafeMutableRawPointer, capacity: Int, tag: UInt64) {
        let count = UInt32(min(capacity, 1 << 30))
        ring.must(hutong_queue_receive(ring.raw, socket, into, count, began(tag)), "queueing a receive")
    }

    public func send(_ socket: Int32, from: UnsafeRawPointer, count: Int, tag: UInt64) {
        let count = UInt32(min(count, 1 << 30))
        ring.must(hutong_queue_send(ring.raw, socket, from, count, began(tag)), "queueing a send")
    }

    public func send(_ socket: Int32, message: UnsafePointer<msghdr>, tag: UInt64) {
        ring.must(hutong_queue_send_message(ring.raw, socket, message, began(tag)), "queueing a send")
    }

    public func cancel(_ target: UInt64, tag: UInt64) {
        ring.must(hutong_queue_cancel(ring.raw, named(target), began(tag)), "queueing a cancel")
    }

    public func setNoDelay(_ socket: Int32) { _ = hutong_set_no_delay(socket) }

    public func shutdown(_ socket: Int32) { _ = Glibc.shutdown(socket, Int32(SHUT_RDWR)) }

    /// A socket, or a file.
    public func close(_ file: Int32) {
        opened.remove(file)
        _ = Glibc.close(file)
    }

    public func peerName(_ socket: Int32) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 96) { text in
            hutong_peer_name(socket, text.baseAddress!, text.count)
            return String(cString: text.baseAddress!)
        }
    }

    // MARK: Files

    public func open(_ path: String, _ mode: OpenMode) throws(IOError) -> Int32 {
        let file = hutong_open(path, mode.flags)
        if file < 0 { throw IOError(code: -file, doing: "opening \(path)") }
        opened.insert(file)
        return file
    }

    public func hand(_ file: Int32, to other: any FilePort) {
        if opened.remove(file) != nil { other.adopt(file) }
    }

    public func adopt(_ file: Int32) { opened.insert(file) }

    public func closeAll() {
        for file in opened { _ = Glibc.close(file) }
        opened = []
    }

    public func size(_ file: Int32) throws(IOError) -> UInt64 {
        let size = hutong_file_size(file)
        if size < 0 { throw IOError(code: Int32(-size), doing: "asking for a file's size") }
        return UInt64(size)
    }

    public func list(_ directory: String) throws(IOError) -> [String] {
        guard let stream = opendir(directory) else { throw IOError(code: errno, doing: "listing \(directory)") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    public func makeDirectory(_ path: String) throws(IOError) {
        if mkdir(path, 0o750) != 0 && errno != EEXIST { throw IOError(code: errno, doing: "making directory \(path)") }
    }

    public func rename(_ path: String, to: String) throws(IOError) {
        if Glibc.rename(path, to) != 0 { throw IOError(code: errno, doing: "renaming \(path) to \(to)") }
    }

    public func remove(_ path: String) throws(IOError) {
        if unlink(path) != 0 { throw IOError(code: errno, doing: "removing \(path)") }
    }

    public func removeDirectory(_ path: String) throws(IOError) {
        if rmdir(path) != 0 { throw IOError(code: errno, doing: "removing directory \(path)") }
    }

    public func space(_ directory: String) -> FileSystemSpace? {
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { return nil }
        let block = UInt64(status.f_frsize)
        return FileSystemSpace(total: UInt64(status.f_blocks) * block, free: UInt64(status.f_bavail) * block)
    }

    public func read(_ file: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64, tag: UInt64) {
        ring.must(hutong_queue_read(ring.raw, file, into, UInt32(count), offset, began(tag)), "queueing a read")
    }

    public func write(
        _ file: Int32, from: UnsafeRawPointer, count: Int, offset: UInt64, durable: Bool, tag: UInt64
    ) {
        ring.must(
            hutong_queue_write(ring.raw, file, from, UInt32(count), offset, durable ? 1 : 0, began(tag)),
            "queueing a write")
    }

    public func writeAndSync(
        _ file: Int32, from: UnsafeRawPointer, count: Int, offset: UInt64, writeTag: UInt64, syncTag: UInt64
    ) {
        ring.must(
            hutong_queue_write_and_sync(ring.raw, file, from, UInt32(count), offset, began(writeTag), began(syncTag)),
            "queueing a write and its sync")
    }

    public func sync(_ file: Int32, dataOnly: Bool, tag: UInt64) {
        ring.must(hutong_queue_sync(ring.raw, file, dataOnly ? 1 : 0, began(tag)), "queueing a sync")
    }

    public func allocate(_ file: Int32, offset: UInt64, count: UInt64, tag: UInt64) {
        ring.must(hutong_queue_allocate(ring.raw, file, offset, count, began(tag)), "queueing an allocation")
    }

    public func syncNow(_ file: Int32) -> Int32 { hutong_sync_now(file) }
}

extension OpenMode {
    fileprivate var flags: UInt32 {
        switch self {
        case .createDirect: HUTONG_OPEN_CREATE.rawValue | HUTONG_OPEN_DIRECT.rawValue
        case .direct: HUTONG_OPEN_DIRECT.rawValue
        case .readDirect: HUTONG_OPEN_DIRECT.rawValue | HUTONG_OPEN_READ_ONLY.rawValue
        case .create: HUTONG_OPEN_CREATE.rawValue
        case .buffered: 0
        case .read: HUTONG_OPEN_READ_ONLY.rawValue
        case .directory: HUTONG_OPEN_DIRECTORY.rawValue
        }
    }
}
