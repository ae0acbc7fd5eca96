import Foundation
import Testing

@testable import IO

private let dontWait = Int32(MSG_DONTWAIT)

@Suite struct SocketTests {
    private func connected(_ count: Int, to listener: Listener) throws -> [Int32] {
        try (0..<count).map { _ in try connect(host: "127.0.0.1", port: listener.port) }
    }

    @Test(arguments: backends) func acceptsManyUntilCancelled(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let listener = try Listener(host: "127.0.0.1", port: 0)
        test.port.accept(listener: listener.socket, tag: 1)
        _ = test.ring.poll()
        var clients = try connected(200, to: listener)
        var accepted = test.completions(200)
        clients += try connected(100, to: listener)
        accepted += test.completions(100)
        #expect(accepted.allSatisfy { $0.tag == 1 && $0.result > 0 && $0.more })
        #expect(Set(accepted.map(\.result)).count == 300)
        for socket in accepted.map(\.result) {
            #expect(fcntl(socket, F_GETFD) & FD_CLOEXEC != 0)
            #expect(test.port.peerName(socket).hasPrefix("127.0.0.1:"))
            if backend == .epoll { #expect(fcntl(socket, F_GETFL) & O_NONBLOCK != 0) }
        }
        test.port.cancel(1, tag: 2)
        let ends = test.completions(2).sorted { $0.tag < $1.tag }
        #expect(ends.map(\.result) == [-ECANCELED, 0] && ends.allSatisfy { !$0.more })
        clients += try connected(1, to: listener)
        #expect(test.isQuiet(), "nobody accepts any more")
        for socket in clients + accepted.map(\.result) + [listener.socket] { close(socket) }
    }

    @Test(arguments: backends) func aFailedAcceptEnds(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let (ours, theirs) = socketPair()
        test.port.accept(listener: ours, tag: 1)
        test.port.accept(listener: -1, tag: 2)
        let ends = test.completions(2).sorted { $0.tag < $1.tag }
        #expect(ends.map(\.result) == [-EINVAL, -EBADF] || ends.map(\.result) == [-EOPNOTSUPP, -EBADF])
        #expect(ends.allSatisfy { !$0.more })
        close(ours)
        close(theirs)
    }

    @Test(arguments: backends) func receivesWhatIsThereAndWhatComes(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let (ours, theirs) = socketPair()
        let memory = Memory(64)
        #expect(write(theirs, "there", 5) == 5)
        test.port.receive(ours, into: memory.base, capacity: 64, tag: 1)
        #expect(test.result() == 5 && memory.bytes.prefix(5).elementsEqual("there".utf8))
        test.port.receive(ours, into: memory.base, capacity: 3, tag: 2)
        #expect(test.isQuiet())
        #expect(write(theirs, "coming", 6) == 6)
        #expect(test.result() == 3 && memory.bytes.prefix(3).elementsEqual("com".utf8))
        test.port.receive(ours, into: memory.base, capacity: 64, tag: 3)
        #expect(test.result() == 3 && memory.bytes.prefix(3).elementsEqual("ing".utf8))
        test.port.receive(ours, into: memory.base, capacity: 64, tag: 4)
        _ = test.ring.poll()
        close(theirs)
        #expect(test.result() == 0, "the other side has ended")
        close(ours)
    }

    @Test(arguments: backends) func aBrokenConnectionIsAnError(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let listener = try Listener(host: "127.0.0.1", port: 0)
        let theirs = try connect(host: "127.0.0.1", port: listener.port)
        let ours = accept(listener.socket, nil, nil)
        let memory = Memory(64)
        test.port.receive(ours, into: memory.base, capacity: 64, tag: 1)
        _ = test.ring.poll()
        var lingers = linger(l_onoff: 1, l_linger: 0)
        setsockopt(theirs, SOL_SOCKET, SO_LINGER, &lingers, socklen_t(MemoryLayout<linger>.size))
        close(theirs)
        #expect(test.result() == -ECONNRESET)
        test.port.send(ours, from: memory.base, count: 64, tag: 2)
        #expect(test.result() == -EPIPE, "and no signal")
        for socket in [ours, listener.socket] { close(socket) }
    }

    /// Much more than a socket holds, to someone who takes it in small pieces.
    @Test(arguments: backends, [false, true]) func sendsAllToASlowReader(_ backend: RingBackend, gathered: Bool) throws {
        let test = try TestRing(backend)
        let (ours, theirs) = socketPair()
        let total = 4 << 20
        let memory = Memory(total) { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 11) }
        let reader = SlowReader(theirs)
        var sent = 0, calls = 0
        while sent < total {
            calls += 1
            if gathered {
                let half = (total - sent) / 2
                var pieces = [
                    iovec(iov_base: memory.base + sent, iov_len: half),
                    iovec(iov_base: memory.base + sent + half, iov_len: total - sent - half),
                ]
                let result = pieces.withUnsafeMutableBufferPointer { pieces in
                    var message = msghdr()
                    message.msg_iov = pieces.baseAddress
                    message.msg_iovlen = 2
                    return withUnsafePointer(to: message) { message in
                        test.port.send(ours, message: message, tag: 1)
                        return test.result() ?? 0
                    }
                }
                sent += Int(try #require(result > 0 ? result : nil))
            } else {
                test.port.send(ours, from: memory.base + sent, count: total - sent, tag: 1)
                let result = test.result() ?? 0
                sent += Int(try #require(result > 0 ? result : nil))
            }
        }
        #expect(calls > 1, "the socket took all at once: nothing was tested")
        shutdown(ours, Int32(SHUT_WR))
        #expect(reader.all() == Array(memory.bytes))
        close(ours)
        close(theirs)
    }

    @Test(arguments: backends) func bothDirectionsWait(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let (ours, theirs) = socketPair()
        let out = Memory(1 << 16), into = Memory(16)
        while send(ours, out.base, out.bytes.count, dontWait) > 0 {}
        test.port.receive(ours, into: into.base, capacity: 16, tag: 1)
        test.port.send(ours, from: out.base, count: 1000, tag: 2)
        #expect(test.isQuiet(), "it is full, and has nothing")
        #expect(write(theirs, "x", 1) == 1)
        #expect(test.completions(1).map(\.tag) == [1])
        test.port.receive(ours, into: into.base, capacity: 16, tag: 3)
        #expect(test.isQuiet())
        while recv(theirs, out.base, out.bytes.count, dontWait) > 0 {}
        let sent = test.completions(1)
        #expect(sent.map(\.tag) == [2] && sent.map(\.result) == [1000])
        #expect(write(theirs, "y", 1) == 1)
        #expect(test.completions(1).map(\.tag) == [3])
        close(ours)
        close(theirs)
    }

    @Test(arguments: backends) func aCancelledReceiveTakesNothing(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let (ours, theirs) = socketPair()
        let memory = Memory(16)
        for _ in 0..<20 {
            test.port.receive(ours, into: memory.base, capacity: 16, tag: 7)
            _ = test.ring.poll()
            test.port.cancel(7, tag: 8)
            #expect(test.results(2) == [7: -ECANCELED, 8: 0])
        }
        test.port.receive(ours, into: memory.base, capacity: 16, tag: 7)
        test.port.cancel(7, tag: 8)
        #expect(test.results(2) == [7: -ECANCELED, 8: 0], "queued together")
        test.port.cancel(99, tag: 9)
        #expect(test.results(1) == [9: -ENOENT])
        #expect(write(theirs, "abc", 3) == 3)
        test.port.receive(ours, into: memory.base, capacity: 16, tag: 10)
        #expect(test.results(1) == [10: 3])
        close(ours)
        close(theirs)
    }

    /// As the io stage closes: shut down, wait for the receive, close. The number is taken by the next socket at once.
    @Test(arguments: backends) func shutdownEndsAReceiveAndNumbersComeAgain(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let memory = Memory(16)
        var numbers: Set<Int32> = []
        for round in 0..<100 {
            let (ours, theirs) = socketPair()
            numbers.insert(ours)
            test.port.receive(ours, into: memory.base, capacity: 16, tag: 1)
            _ = test.ring.poll()
            #expect(write(theirs, "ab", 2) == 2)
            #expect(test.result() == 2, "round \(round)")
            test.port.receive(ours, into: memory.base, capacity: 16, tag: 2)
            _ = test.ring.poll()
            test.port.shutdown(ours)
            #expect(test.results(1) == [2: 0], "round \(round)")
            test.port.close(ours)
            close(theirs)
        }
        #expect(numbers.count < 100, "no number came twice: nothing was tested")
    }

    /// A socket that two threads serve, one each way: the one that only sends never hears of the close.
    @Test(arguments: backends) func aNumberComesAgainUnderASecondRing(_ backend: RingBackend) throws {
        let reading = try TestRing(backend), writing = try TestRing(backend)
        let memory = Memory(1 << 16)
        for _ in 0..<50 {
            let (ours, theirs) = socketPair()
            while send(ours, memory.base, 1 << 16, dontWait) > 0 {}
            writing.port.send(ours, from: memory.base, count: 100, tag: 1)
            _ = writing.ring.poll()
            while recv(theirs, memory.base, 1 << 16, dontWait) > 0 {}
            #expect(writing.result() == 100)
            reading.port.receive(ours, into: memory.base, capacity: 10, tag: 2)
            _ = reading.ring.poll()
            close(theirs)
            #expect([0, -ECONNRESET].contains(reading.result()))
            reading.port.close(ours)
        }
    }

    @Test(arguments: backends) func aRingEndsWithOperationsUnderWay(_ backend: RingBackend) throws {
        let listener = try Listener(host: "127.0.0.1", port: 0)
        for _ in 0..<20 {
            let (ours, theirs) = socketPair()
            let memory = Memory(64)
            do {
                let test = try TestRing(backend)
                test.port.accept(listener: listener.socket, tag: 1)
                test.port.receive(ours, into: memory.base, capacity: 64, tag: 2)
                _ = test.ring.poll()
                test.port.receive(theirs, into: memory.base, capacity: 64, tag: 3)
            }
            close(ours)
            close(theirs)
        }
        close(listener.socket)
    }
}

/// Takes what comes a little at a time, on a thread of its own, until the end.
private final class SlowReader: @unchecked Sendable {
    private let done = DispatchSemaphore(value: 0)
    private var bytes: [UInt8] = []

    init(_ socket: Int32) {
        Thread.detachNewThread { [self] in
            var piece = [UInt8](repeating: 0, count: 60_000)
            while true {
                let count = recv(socket, &piece, piece.count, 0)
                guard count > 0 else { break }
                bytes += piece.prefix(count)
                if bytes.count / 1_000_000 != (bytes.count - count) / 1_000_000 { usleep(5000) }
            }
            done.signal()
        }
    }

    func all() -> [UInt8] {
        done.wait()
        return bytes
    }
}
