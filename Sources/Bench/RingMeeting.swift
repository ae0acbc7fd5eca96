// Unsafe on purpose: the memory that is sent and received is raw.

import Glibc
import Host
import IO

/// One side of the meetings on the broker's transport: one receive at a time into a mirrored buffer, and whatever there is to say in one
/// send.
struct RingMeeting: Stage, ~Copyable {
    private static let bufferBytes = 1 << 18

    private let man: OldMan
    private var stream: FrameStream
    private let progress: LoadProgress
    private let speech = UnsafeMutableRawPointer.allocate(byteCount: RingMeeting.bufferBytes, alignment: 64)

    init(_ man: OldMan, socket: Int32, sockets: RingPort, progress: LoadProgress) throws {
        stream = try FrameStream(socket, sockets, receiveBytes: RingMeeting.bufferBytes)
        self.man = man
        self.progress = progress
    }

    deinit { speech.deallocate() }

    mutating func step(_ now: Moment) -> Int {
        guard !progress.isOver else { return 0 }
        let count: Int
        do {
            count = try stream.takeCompletions()
            while let heard = try man.hear(stream.unread) { stream.consume(heard) }
        } catch {
            progress.end(error)
            return 0
        }
        if stream.hasSent { speak() }
        if man.isDone && stream.hasSent {
            progress.end(nil)
        } else {
            stream.proceed()
        }
        return count
    }

    private mutating func speak() {
        var count = 0
        while man.hasMore, count + OldMan.longest <= RingMeeting.bufferBytes { count += man.speak(to: speech + count) }
        stream.send(speech, count: count)
    }
}
