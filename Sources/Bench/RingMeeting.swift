// Unsafe on purpose: the memory that is sent and received is raw.

import Glibc
import Host
import IO

/// One side of the meetings on the broker's transport: one receive at a time into a mirrored buffer, and whatever there is to say in one
/// send.
struct RingMeeting: Stage, ~Copyable {
    private enum Tag {
        static let send: UInt64 = 1
        static let receive: UInt64 = 2
    }

    private static let bufferBytes = 1 << 18

    private let man: OldMan
    private let socket: Int32
    private let sockets: RingPort
    private let progress: LoadProgress
    private let received: MirroredBuffer
    private var receivedEnd = 0
    private var parsed = 0
    private var isReceiving = false
    private let speech = UnsafeMutableRawPointer.allocate(byteCount: RingMeeting.bufferBytes, alignment: 64)
    private var sendCount = 0
    private var sendDone = 0
    private var isSending = false

    init(_ man: OldMan, socket: Int32, sockets: RingPort, progress: LoadProgress) throws {
        guard let received = MirroredBuffer(capacity: RingMeeting.bufferBytes) else { throw LoadError("no memory") }
        self.received = received
        self.man = man
        self.socket = socket
        self.sockets = sockets
        self.progress = progress
    }

    deinit { speech.deallocate() }

    mutating func step(_ now: Moment) -> Int {
        guard !progress.isOver else { return 0 }
        var count = 0
        do {
            while let completion = sockets.next() {
                count += 1
                guard completion.result > 0 else { throw LoadError("the other one has gone") }
                if completion.tag == Tag.send {
                    isSending = false
                    sendDone += Int(completion.result)
                } else {
                    isReceiving = false
                    receivedEnd += Int(completion.result)
                    try listen()
                }
            }
        } catch {
            progress.end(error)
            return count
        }
        speak()
        if man.isDone && !isSending {
            progress.end(nil)
            return count
        }
        if !isReceiving {
            isReceiving = true
            sockets.receive(
                socket, into: received.pointer(receivedEnd), capacity: received.capacity - (receivedEnd - parsed), tag: Tag.receive)
        }
        return count
    }

    private mutating func listen() throws {
        while let count = try man.hear(UnsafeRawBufferPointer(start: received.pointer(parsed), count: receivedEnd - parsed)) {
            parsed += count
        }
    }

    private mutating func speak() {
        guard !isSending else { return }
        if sendDone == sendCount {
            sendDone = 0
            sendCount = 0
            while man.hasMore, sendCount + OldMan.longest <= RingMeeting.bufferBytes { sendCount += man.speak(to: speech + sendCount) }
        }
        guard sendDone < sendCount else { return }
        isSending = true
        sockets.send(socket, from: speech + sendDone, count: sendCount - sendDone, tag: Tag.send)
    }
}
