// Unsafe on purpose: the memory that is read and written is raw.

import Foundation
import Glibc

/// One side of the meetings with blocking system calls: a mouth and an ear, each a thread. The mouth alone writes, what it is to
/// answer comes from the ear; so two mouths that wait for each other's ears can't be.
final class BlockingMeeting: @unchecked Sendable {
    // `condition` guards `man`; the buffers belong to one thread each.
    private let form: MeetingForm
    private let socket: Int32
    private let progress: LoadProgress
    private let man: OldMan
    /// That there may be something to say.
    private let condition = NSCondition()

    private static let bufferBytes = 64 << 10

    init(_ man: OldMan, form: MeetingForm, socket: Int32, progress: LoadProgress) {
        self.man = man
        self.form = form
        self.socket = socket
        self.progress = progress
    }

    /// The mouth's life.
    func speak() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: BlockingMeeting.bufferBytes, alignment: 64)
        defer { memory.deallocate() }
        while true {
            var count = 0
            let isOver: Bool = condition.withLock {
                while !man.hasMore && !man.isDone && !progress.isOver { condition.wait() }
                if !man.hasMore { return true }
                if form.batchesWrites {
                    while man.hasMore, count + OldMan.longest <= BlockingMeeting.bufferBytes { count += man.speak(to: memory + count) }
                } else {
                    count = man.speak(to: memory)
                }
                return false
            }
            if isOver { return progress.end(nil) }
            let isWritten = form.writesParts ? write(memory, 0..<4) && write(memory, 4..<8) && write(memory, 8..<count) : write(memory, 0..<count)
            guard isWritten else { return fail(LoadError("the other one has gone")) }
        }
    }

    private func write(_ memory: UnsafeMutableRawPointer, _ range: Range<Int>) -> Bool {
        var done = range.lowerBound
        while done < range.upperBound {
            let count = Glibc.write(socket, memory + done, range.upperBound - done)
            guard count > 0 else { return false }
            done += count
        }
        return true
    }

    /// The ear's life.
    func listen() {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: BlockingMeeting.bufferBytes, alignment: 64)
        defer { memory.deallocate() }
        var start = 0
        var end = 0
        while true {
            let isDone: Bool? = condition.withLock {
                do {
                    while let count = try man.hear(UnsafeRawBufferPointer(start: memory + start, count: end - start)) { start += count }
                } catch {
                    progress.end(error)
                    condition.broadcast()
                    return nil
                }
                condition.broadcast()
                return man.isHeardOut
            }
            guard let isDone else { return }
            if isDone { return }
            if start > 0 {
                memory.copyMemory(from: memory + start, byteCount: end - start)
                end -= start
                start = 0
            }
            // Without a buffer of its own: the length first, then what it announces.
            let wanted = form.buffersReads ? BlockingMeeting.bufferBytes - end : BlockingMeeting.missing(memory, end)
            let count = read(socket, memory + end, wanted)
            guard count > 0 else { return fail(LoadError("the other one has gone")) }
            end += count
        }
    }

    private static func missing(_ memory: UnsafeMutableRawPointer, _ have: Int) -> Int {
        if have < 4 { return 4 - have }
        let count = 4 + Int(UInt32(bigEndian: memory.loadUnaligned(as: UInt32.self)))
        if have < 8 { return 8 - have }
        return max(min(count, OldMan.longest) - have, 1)
    }

    private func fail(_ error: LoadError) {
        condition.withLock {
            if !man.isDone { progress.end(error) }
            condition.broadcast()
        }
    }
}
