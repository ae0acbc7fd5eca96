import Foundation
import Testing

@testable import IO

@Suite struct FileTests {
    @Test(arguments: backends, [OpenMode.create, .createDirect])
    func writesAndReads(_ backend: RingBackend, mode: OpenMode) throws {
        let test = try TestRing(backend)
        let file = try TestFile(mode)
        let memory = Memory(8192) { UInt8(truncatingIfNeeded: $0 % 251) }
        let back = Memory(12288)
        test.port.write(file.descriptor, from: memory.base, count: 8192, offset: 0, durable: false, tag: 1)
        #expect(test.result() == 8192)
        test.port.write(file.descriptor, from: memory.base, count: 4096, offset: 8192, durable: true, tag: 2)
        #expect(test.result() == 4096)
        test.port.sync(file.descriptor, dataOnly: true, tag: 3)
        test.port.sync(file.descriptor, dataOnly: false, tag: 4)
        #expect(test.results(2) == [3: 0, 4: 0])
        test.port.read(file.descriptor, into: back.base, count: 8192, offset: 4096, tag: 5)
        #expect(test.result() == 8192)
        #expect(back.bytes.prefix(4096).elementsEqual(memory.bytes[4096..<8192]))
        #expect(back.bytes[4096..<8192].elementsEqual(memory.bytes.prefix(4096)))
        test.port.read(file.descriptor, into: back.base, count: 12288, offset: 8192, tag: 6)
        #expect(test.result() == 4096, "the file is shorter")
        test.port.read(file.descriptor, into: back.base, count: 4096, offset: 12288, tag: 7)
        #expect(test.result() == 0, "the end")
    }

    @Test(arguments: backends) func allocatesBlocksAndLength(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let file = try TestFile()
        test.port.allocate(file.descriptor, offset: 0, count: 1 << 20, tag: 1)
        #expect(test.result() == 0 && file.size == 1 << 20)
    }

    @Test(arguments: backends) func theLinkedSyncFollowsAWholeWriteOnly(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let file = try TestFile()
        let memory = Memory(8192) { UInt8(truncatingIfNeeded: $0) }
        func writeAndSync(_ descriptor: Int32, from: UnsafeRawPointer, count: Int) -> [Completion] {
            test.port.writeAndSync(descriptor, from: from, count: count, offset: 0, writeTag: 1, syncTag: 2)
            return test.completions(2)
        }
        let whole = writeAndSync(file.descriptor, from: memory.base, count: 8192)
        #expect(whole.map(\.tag) == [1, 2] && whole.map(\.result) == [8192, 0])

        // The second page can't be read, so one page is written: a short write.
        let pages = mmap(nil, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        mprotect(pages + 4096, 4096, PROT_NONE)
        let short = writeAndSync(file.descriptor, from: pages, count: 8192)
        #expect(short.map(\.tag) == [1, 2] && short.map(\.result) == [4096, -ECANCELED])
        munmap(pages, 8192)

        let full = open("/dev/full", O_WRONLY)
        let noSpace = writeAndSync(full, from: memory.base, count: 4096)
        #expect(noSpace.map(\.tag) == [1, 2] && noSpace.map(\.result) == [-ENOSPC, -ECANCELED])
        close(full)

        let readOnly = open("/dev/null", O_RDONLY)
        let bad = writeAndSync(readOnly, from: memory.base, count: 4096)
        #expect(bad.map(\.tag) == [1, 2] && bad.map(\.result) == [-EBADF, -ECANCELED])
        close(readOnly)
        let closed = writeAndSync(-1, from: memory.base, count: 4096)
        #expect(closed.map(\.tag) == [1, 2] && closed.map(\.result) == [-EBADF, -ECANCELED])
    }

    @Test(arguments: backends) func errorsComeBack(_ backend: RingBackend) throws {
        let test = try TestRing(backend)
        let memory = Memory(4096)
        let (ours, theirs) = socketPair()
        test.port.read(-1, into: memory.base, count: 4096, offset: 0, tag: 1)
        test.port.sync(-1, dataOnly: true, tag: 2)
        test.port.allocate(-1, offset: 0, count: 4096, tag: 3)
        test.port.write(-1, from: memory.base, count: 4096, offset: 0, durable: true, tag: 4)
        test.port.sync(ours, dataOnly: true, tag: 5)
        #expect(test.results(5) == [1: -EBADF, 2: -EBADF, 3: -EBADF, 4: -EBADF, 5: -EINVAL])
        close(ours)
        close(theirs)
    }

    /// Queued without a pause, on a ring that has room for few: each completes once, and all are done.
    @Test(arguments: backends) func manyMoreThanTheRingHasRoomFor(_ backend: RingBackend) throws {
        let test = try TestRing(backend, entries: 8)
        let file = try TestFile()
        let count = 5000
        let memory = Memory(count * 8) { UInt8(truncatingIfNeeded: $0 / 8 &* 7 ^ $0) }
        for index in 0..<count {
            test.port.write(
                file.descriptor, from: memory.base + 8 * index, count: 8, offset: UInt64(8 * index), durable: false,
                tag: UInt64(index))
        }
        let written = test.results(count)
        #expect(written.count == count && written.values.allSatisfy { $0 == 8 })
        let back = Memory(count * 8)
        for index in 0..<count {
            test.port.read(
                file.descriptor, into: back.base + 8 * index, count: 8, offset: UInt64(8 * index), tag: UInt64(index))
        }
        let read = test.results(count)
        #expect(read.count == count && read.values.allSatisfy { $0 == 8 })
        #expect(back.bytes.elementsEqual(memory.bytes))
        #expect(test.isQuiet())
        #expect((test.ring.overflows > 0) == (backend == .ioUring), "with epoll nothing overflows")
    }

    @Test func whatHasNotBegunCanBeCancelled() throws {
        let test = try TestRing(.epoll)
        let file = try TestFile()
        let memory = Memory(1 << 20)
        for tag in 0..<64 {
            test.port.writeAndSync(
                file.descriptor, from: memory.base, count: 1 << 20, offset: UInt64(tag << 20), writeTag: UInt64(tag),
                syncTag: UInt64(1000 + tag))
        }
        test.port.cancel(63, tag: 2000)
        let ends = test.results(64 * 2 + 1)
        #expect(ends[63] == -ECANCELED && ends[1063] == -ECANCELED && ends[2000] == 0)
        #expect((0..<63).allSatisfy { ends[$0] == 1 << 20 && ends[1000 + $0] == 0 })
    }

    /// Those that have begun are waited for: afterwards their memory is the caller's again.
    @Test func anEndWaitsForFilesUnderWay() throws {
        for _ in 0..<10 {
            let file = try TestFile()
            let memory = Memory(1 << 20)
            do {
                let test = try TestRing(.epoll)
                for index in 0..<32 {
                    test.port.write(
                        file.descriptor, from: memory.base, count: 1 << 20, offset: UInt64(index << 20), durable: true,
                        tag: UInt64(index))
                }
                _ = test.ring.poll()
            }
            let size = file.size
            usleep(2000)
            #expect(file.size == size, "something is still writing")
        }
    }
}
