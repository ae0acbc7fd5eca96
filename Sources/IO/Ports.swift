// What the stages see of input and output. Two implementations: rings on the host's kernel (`Ring`), and simulated
// twins (`SimulatedDisk`, `SimulatedNetwork`). A call through these interfaces is made once for a batch, never for a record.

import CIO
import Glibc

/// The end of an operation, or one of the results of an operation that goes on.
public struct Completion: BitwiseCopyable, Sendable {
    /// The operation's tag, as the stage chose it: below 2^56.
    public var tag: UInt64
    /// What the operation returned, or a negative errno.
    public var result: Int32
    /// Further completions of the same operation will follow.
    public var more: Bool

    public init(tag: UInt64, result: Int32, more: Bool = false) {
        self.tag = tag
        self.result = result
        self.more = more
    }
}

/// An error of the operating system, with what was being done.
public struct IOError: Error, CustomStringConvertible {
    /// A positive errno.
    public let code: Int32
    public let doing: String

    public init(code: Int32, doing: String) {
        self.code = code
        self.doing = doing
    }

    public var description: String { "\(doing): \(describe(errno: code))" }
}

/// Whether an errno says that a drive can't read what is stored: blocks report it in several ways (the kernel's blk_errors).
public func isMediumError(_ code: Int32) -> Bool { [EIO, ENODATA, EILSEQ].contains(code) }

/// A stage's own share of an event source: the completions of what it asked for come back here.
public protocol Port: AnyObject {
    /// The next completion, in the order in which they came.
    func next() -> Completion?
}

/// Operations on sockets. Memory given to an operation stays as it is until the completion.
public protocol SocketPort: Port {
    /// Accepts connections until cancelled; a completion each, whose result is the socket.
    func accept(listener: Int32, tag: UInt64)
    func receive(_ socket: Int32, into: UnsafeMutableRawPointer, capacity: Int, tag: UInt64)
    func send(_ socket: Int32, from: UnsafeRawPointer, count: Int, tag: UInt64)
    /// Sends what the message gathers.
    func send(_ socket: Int32, message: UnsafePointer<msghdr>, tag: UInt64)
    /// Asks for the operation with that tag to end early; it still completes.
    func cancel(_ target: UInt64, tag: UInt64)
    /// What is sent leaves at once instead of waiting for company (TCP_NODELAY); a peer that has vanished is noticed.
    func setNoDelay(_ socket: Int32)
    /// A peer that does not answer for so long is given up: what is sent, or is to be received, fails.
    func setImpatient(_ socket: Int32, milliseconds: Int32)
    /// Ends both directions at once; operations under way complete.
    func shutdown(_ socket: Int32)
    /// As `shutdown`; and what the host has not sent yet is thrown away when the socket is closed.
    func discard(_ socket: Int32)
    func close(_ socket: Int32)
    /// The other side's address, for logs.
    func peerName(_ socket: Int32) -> String
    /// The other side's address, for counting: equal for one IPv4 address, and for one IPv6 network of 64 bits, within which
    /// a host chooses freely. 0 where it can't be had.
    func peerAddress(_ socket: Int32) -> UInt64
}

/// How bytes become durable.
public enum FlushMethod: String, Sendable, CaseIterable {
    /// Each write carries RWF_DSYNC.
    case dsync
    /// A write linked to an fdatasync, both in the ring.
    case linked
    /// A write in the ring; when it has completed, fdatasync on the flush group's own thread.
    case fdatasync
}

/// How large a file system is, in bytes.
public struct FileSystemSpace: Sendable {
    public var total: UInt64
    /// What can still be had of it.
    public var free: UInt64

    public init(total: UInt64, free: UInt64) {
        self.total = total
        self.free = free
    }
}

/// Operations on files. Those that take a tag complete later; the others are rare, quick and done at once.
public protocol FilePort: Port {
    /// Whether no operation is under way, and no completion waits.
    var isIdle: Bool { get }
    /// Closes what was opened through this port, or handed to it, and is still open: the port will be another stage's.
    func closeAll()
    /// The file is another port's from here on.
    func hand(_ file: Int32, to other: any FilePort)
    /// The file is this port's from here on.
    func adopt(_ file: Int32)
    func open(_ path: String, _ mode: OpenMode) throws(IOError) -> Int32
    func size(_ file: Int32) throws(IOError) -> UInt64
    func close(_ file: Int32)
    func list(_ directory: String) throws(IOError) -> [String]
    func makeDirectory(_ path: String) throws(IOError)
    func rename(_ path: String, to: String) throws(IOError)
    func remove(_ path: String) throws(IOError)
    /// An empty directory.
    func removeDirectory(_ path: String) throws(IOError)
    /// How large the directory's file system is; nil where it does not say.
    func space(_ directory: String) -> FileSystemSpace?

    func read(_ file: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64, tag: UInt64)
    /// Writes; where `durable`, the completion means that the bytes are on stable storage.
    func write(_ file: Int32, from: UnsafeRawPointer, count: Int, offset: UInt64, durable: Bool, tag: UInt64)
    /// Writes and then syncs the file's data: two completions, the second of which is -ECANCELED where the first failed
    /// or fell short.
    func writeAndSync(
        _ file: Int32, from: UnsafeRawPointer, count: Int, offset: UInt64, writeTag: UInt64, syncTag: UInt64)
    func sync(_ file: Int32, dataOnly: Bool, tag: UInt64)
    func allocate(_ file: Int32, offset: UInt64, count: UInt64, tag: UInt64)
    /// Syncs the file's data on the calling thread. Returns 0 or a negative errno.
    func syncNow(_ file: Int32) -> Int32
}

/// How to open a file.
public enum OpenMode: Sendable {
    /// A new file past the page cache; it must not exist.
    case createDirect
    /// An existing file past the page cache, to read and write.
    case direct
    /// An existing file past the page cache, to read.
    case readDirect
    /// A new file through the page cache; it must not exist.
    case create
    /// An existing file through the page cache.
    case buffered
    /// An existing file through the page cache, to read.
    case read
    /// A directory, to sync its entries.
    case directory
}

/// The alignment of offsets, lengths and memory for direct files, in bytes: no drive in use asks for more.
public let directAlignment = 4096

@inlinable
public func alignedDown(_ value: UInt64) -> UInt64 { value & ~UInt64(directAlignment - 1) }

@inlinable
public func alignedUp(_ value: UInt64) -> UInt64 { (value + UInt64(directAlignment - 1)) & ~UInt64(directAlignment - 1) }
