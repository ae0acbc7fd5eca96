import CFaults
import Foundation
import Testing

@testable import IO

private let setup: Int32 = 425, enter: Int32 = 426, register: Int32 = 427

@Suite struct RingChoiceTests {
    @Test(arguments: [setup, enter, register], [EPERM, ENOSYS, EACCES])
    func autoTakesEpollWhereAnyCallIsRefused(_ call: Int32, error: Int32) throws {
        try onOwnThread {
            #expect(faults_refuse(call, error) == 0)
            let chosen = try RingSet(.auto, count: 3)
            #expect(chosen.backend == .epoll && chosen.rings.count == 3)
            #expect(chosen.rings.allSatisfy { $0.backend == .epoll })
            #expect(chosen.refusal?.code == error)
            #expect(throws: RingRefusal.self) { try RingSet(.ioUring, count: 1) }
            #expect(try RingSet(.epoll, count: 1).refusal == nil)
        }
    }

    /// What the host does here is either allowed or explained.
    @Test func autoTakesTheBest() throws {
        let chosen = try RingSet(.auto, count: 1)
        #expect((chosen.backend == .ioUring) == (chosen.refusal == nil))
        #expect(backends.contains(.epoll) && backends.contains(chosen.backend))
    }

    @Test(arguments: [
        (EPERM, 2, false, "kernel.io_uring_disabled is 2"), (EPERM, 1, true, "kernel.io_uring_disabled is 1"),
        (EPERM, 0, true, "seccomp profile"), (EPERM, nil, true, "seccomp profile"), (ENOSYS, nil, true, "seccomp profile"),
        (ENOSYS, nil, false, "this kernel has no io_uring"), (EACCES, 0, false, "security policy"),
        (ENOMEM, 0, true, "memory may be locked"),
    ] as [(Int32, Int?, Bool, String)])
    func theLikelyReasonIsNamed(_ code: Int32, sysctl: Int?, isFiltered: Bool, words: String) {
        let text = RingRefusal(code: code, sysctl: sysctl, isFiltered: isFiltered).description
        #expect(text.contains(words) && text.contains(describe(errno: code)) && text.contains("To allow it"), "\(text)")
    }

    @Test func otherErrorsAreNoRefusals() {
        #expect(RingRefusal(IOError(code: EMFILE, doing: "")) == nil)
        #expect(RingRefusal(IOError(code: EINVAL, doing: "")) == nil)
    }
}

@Suite struct FullQueueTests {
    /// The kernel takes nothing as long as nobody waits for completions (as kernels do whose completion queue is full):
    /// what doesn't fit in the submission queue waits, in order, and nothing is lost. The one that asks for a completion
    /// at once is let through, so that there is an end.
    @Test(arguments: backends, [EBUSY, EAGAIN])
    func whatTheKernelDoesNotTakeWaits(_ backend: RingBackend, error: Int32) throws {
        try onOwnThread {
            let test = try TestRing(backend, entries: 8)
            #expect(faults_refuse_argument(enter, 2, 0, error) == 0)
            let file = try TestFile()
            let count = 300
            let memory = Memory(count * 16) { UInt8(truncatingIfNeeded: $0 / 16 &* 13 ^ $0) }
            for index in 0..<count {
                let from = memory.base + 16 * index, offset = UInt64(16 * index)
                if index % 3 == 0 {
                    test.port.write(file.descriptor, from: from, count: 16, offset: offset, durable: false, tag: UInt64(index))
                } else {
                    test.port.writeAndSync(
                        file.descriptor, from: from, count: 16, offset: offset, writeTag: UInt64(index),
                        syncTag: UInt64(1000 + index))
                }
                if index % 50 == 0 { _ = test.ring.poll() }
            }
            #expect((test.ring.overflows > 0) == (backend == .ioUring), "with epoll there is no such queue")
            let ends = test.results(count + count * 2 / 3)
            #expect((0..<count).allSatisfy { ends[UInt64($0)] == 16 })
            #expect((0..<count).allSatisfy { $0 % 3 == 0 || ends[UInt64(1000 + $0)] == 0 })
            let back = Memory(count * 16)
            #expect(pread(file.descriptor, back.base, count * 16, 0) == count * 16)
            #expect(back.bytes.elementsEqual(memory.bytes))
            #expect(test.isQuiet())
        }
    }

    /// As above, where what the kernel has taken lasts for ever: a sleep must not outlast the chance to hand it the rest.
    @Test(arguments: backends) func nobodySleepsOverWhatWaits(_ backend: RingBackend) throws {
        try onOwnThread {
            let test = try TestRing(backend, entries: 8)
            #expect(faults_refuse_argument(enter, 2, 0, EBUSY) == 0)
            let file = try TestFile()
            let memory = Memory(16)
            let pairs = (0..<20).map { _ in socketPair() }
            for (index, pair) in pairs.enumerated() {
                test.port.receive(pair.ours, into: memory.base, capacity: 16, tag: UInt64(index))
            }
            test.port.write(file.descriptor, from: memory.base, count: 16, offset: 0, durable: false, tag: 100)
            // Should it oversleep, it is woken at some time, but by the wrong operation.
            let done = DispatchSemaphore(value: 0)
            let last = pairs[0].theirs
            Thread.detachNewThread {
                if done.wait(timeout: .now() + 20) == .timedOut { shutdown(last, Int32(SHUT_RDWR)) }
            }
            var first: Completion?
            while first == nil {
                test.ring.wait(nanoseconds: .max)
                _ = test.ring.poll()
                first = test.port.next()
            }
            done.signal()
            #expect(first?.tag == 100 && first?.result == 16)
            for pair in pairs { test.port.shutdown(pair.ours) }
            #expect(test.results(20).values.allSatisfy { $0 == 0 })
            for pair in pairs { [pair.ours, pair.theirs].forEach { close($0) } }
        }
    }
}
