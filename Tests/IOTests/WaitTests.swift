import CHost
import Foundation
import Synchronization
import Testing

@testable import Host
@testable import IO

@Suite struct WaitTests {
    /// A wait may end too early (the kernel interrupts threads for its own ends), but not again and again.
    @Test(arguments: backends) func aWaitEndsInTime(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        for nanoseconds: UInt64 in [0, 1, 300_000, 900_000, 1_500_000, 30_000_000] {
            let start = hutong_monotonic_ns()
            var waits = 0, waited: UInt64 = 0
            repeat {
                test.ring.wait(nanoseconds: nanoseconds - waited)
                waited = hutong_monotonic_ns() - start
                waits += 1
            } while waited < nanoseconds
            #expect(waits <= 5, "\(nanoseconds) ns")
        }
        #expect(test.ring.poll() == 0)
    }

    @Test(arguments: backends) func aWakeEndsTheWaitOrTheNextOne(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        for _ in 0..<50 {
            test.ring.waker.announce()
            test.ring.waker.ring()
            test.ring.wait(nanoseconds: .max)
            #expect(test.ring.poll() == 0, "a wake is no completion")
        }
    }

    @Test(arguments: backends) func threadsWakeIt(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let work = Work()
        let waker = test.ring.waker
        let threads = 4, each = 2000
        let ended = DispatchGroup()
        for _ in 0..<threads {
            ended.enter()
            Thread.detachNewThread {
                for round in 0..<each {
                    work.done.add(1, ordering: .releasing)
                    waker.ring()
                    if round % 50 == 0 { usleep(200) }
                }
                ended.leave()
            }
        }
        var sleeps = 0
        while work.done.load(ordering: .acquiring) < threads * each {
            waker.announce()
            let before = work.done.load(ordering: .acquiring)
            _ = test.ring.poll()
            if before == work.done.load(ordering: .acquiring) && before < threads * each {
                test.ring.wait(nanoseconds: .max)
                sleeps += 1
            }
            waker.retract()
        }
        ended.wait()
        #expect(sleeps > 0)
    }

    /// Completions that nobody has taken yet stay, in order, while others join them.
    @Test(arguments: backends) func completionsPileUp(_ backend: RingBackend) throws {
        let test = try TestRing(backend, entries: 8)
        var next: UInt64 = 0
        func ask(_ count: UInt64) {
            for tag in next..<next + count { test.port.cancel(1 << 40, tag: tag) }
            next += count
        }
        ask(40)
        #expect(test.completions(40).map(\.tag) == Array(0..<40))
        ask(50)
        test.ring.wait(nanoseconds: .max)
        ask(300)
        let ends = test.completions(350)
        #expect(ends.map(\.tag) == Array(40..<390) && ends.allSatisfy { $0.result == -ENOENT })
    }

    @Test(arguments: backends) func bothEndsOfAWriteAndSyncHaveRoom(_ backend: RingBackend) throws {
        let test = try TestRing(backend, entries: 8)
        let file = try TestFile()
        let memory = Memory(16)
        for tag in 0..<UInt64(64) {
            test.port.writeAndSync(file.descriptor, from: memory.base, count: 16, offset: 0, writeTag: tag, syncTag: 100 + tag)
        }
        usleep(300_000)  // so that all have ended before the first is taken
        let ends = test.results(128)
        #expect((0..<64).allSatisfy { ends[$0] == 16 && ends[100 + $0] == 0 })
    }

    /// No sleep outlasts the end of an operation, be it on a socket or on a file.
    @Test(arguments: backends) func operationsEndTheWait(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let file = try TestFile()
        let (ours, theirs) = socketPair()
        let memory = Memory(4096)
        for round in 0..<500 {
            let isFile = round % 3 == 0
            if isFile {
                test.port.write(file.descriptor, from: memory.base, count: 4096, offset: 0, durable: false, tag: 1)
            } else {
                test.port.receive(ours, into: memory.base, capacity: 16, tag: 1)
                if round % 3 == 1 { _ = test.ring.poll() }
                #expect(write(theirs, "z", 1) == 1)
            }
            var result: Int32?
            while result == nil {
                test.ring.wait(nanoseconds: .max)
                _ = test.ring.poll()
                result = test.port.next()?.result
            }
            #expect(result == (isFile ? 4096 : 1))
        }
        close(ours)
        close(theirs)
    }
}

private final class Work: Sendable {
    let done = Atomic<Int>(0)
}
