import CHost
import Foundation
import Testing

@testable import IO

/// What this host can run the tests on: both, or where it refuses io_uring, epoll alone.
let backends = RingBackend.allCases.filter { (try? Ring($0)) != nil }

/// A ring with one port, owned by the test's thread.
final class TestRing {
    let ring: Ring
    let port: RingPort

    init(_ backend: RingBackend, entries: Int = 256) throws {
        ring = try Ring(backend, entries: entries)
        port = ring.makePort()
        ring.attach()
    }

    /// So many completions, in the order in which they came; fewer only after a minute, far beyond what any test needs.
    func completions(_ count: Int) -> [Completion] {
        var found: [Completion] = []
        let end = hutong_monotonic_ns() + 60_000_000_000
        while found.count < count && hutong_monotonic_ns() < end {
            while let completion = port.next() { found.append(completion) }
            if found.count < count && ring.poll() == 0 { ring.wait(nanoseconds: 1_000_000_000) }
        }
        return found
    }

    /// The result of the only completion that is due.
    func result() -> Int32? { completions(1).first?.result }

    /// The results by tag, where each tag completes once.
    func results(_ count: Int) -> [UInt64: Int32] {
        var found: [UInt64: Int32] = [:]
        for completion in completions(count) {
            #expect(found.updateValue(completion.result, forKey: completion.tag) == nil, "\(completion.tag) completed twice")
        }
        return found
    }

    /// Whether nothing more comes in a tenth of a second.
    func isQuiet() -> Bool {
        let end = hutong_monotonic_ns() + 100_000_000
        while hutong_monotonic_ns() < end {
            _ = ring.poll()
            if port.next() != nil { return false }
            ring.wait(nanoseconds: 10_000_000)
        }
        return true
    }
}

/// Runs the body on a thread of its own, to which faults may be done for good. Returns its error.
func onOwnThread(_ body: @escaping @Sendable () throws -> Void) throws {
    let done = DispatchSemaphore(value: 0)
    nonisolated(unsafe) var result = Result<Void, any Error>.success(())
    let thread = Thread {
        result = Result(catching: body)
        done.signal()
    }
    thread.stackSize = 4 << 20
    thread.start()
    done.wait()
    try result.get()
}

/// Two connected sockets of this host.
func socketPair() -> (ours: Int32, theirs: Int32) {
    var pair: [Int32] = [-1, -1]
    precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
    return (pair[0], pair[1])
}

/// Memory that lives as long as the object.
final class Memory {
    let bytes: UnsafeMutableRawBufferPointer
    var base: UnsafeMutableRawPointer { bytes.baseAddress! }

    init(_ count: Int, filledBy byte: (Int) -> UInt8 = { _ in 0 }) {
        bytes = .allocate(byteCount: count, alignment: 4096)
        for index in 0..<count { bytes[index] = byte(index) }
    }

    deinit { bytes.deallocate() }
}

/// A file with a name of its own, gone with the object.
final class TestFile {
    let path: String
    let descriptor: Int32

    /// `mode` is one that makes files.
    init(_ mode: OpenMode = .create) throws {
        path = FileManager.default.temporaryDirectory.path + "/hutong-io-\(UUID().uuidString)"
        let ring = try Ring(.epoll)
        let port = ring.makePort()
        descriptor = try port.open(path, mode)
        try port.remove(path)
    }

    deinit { close(descriptor) }

    var size: Int {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? Int(status.st_size) : -1
    }
}
