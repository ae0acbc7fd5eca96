import Synchronization
import TestSupport
import Testing

@testable import Host

@Suite struct ChannelTests {
    @Test func keepsOrderAndShowsOnlyWhatIsPublished() {
        let channel = Channel<Int>(capacity: 8)
        let sender = Outlet(channel)
        let receiver = Inlet(channel)
        #expect(receiver.pop() == nil && receiver.available() == 0)
        for number in 0..<3 { #expect(sender.push(number)) }
        #expect(receiver.pop() == nil, "nothing is published")
        sender.publish()
        #expect(sender.push(3))
        #expect(receiver.available() == 3)
        #expect(receiver.peek() == 0 && receiver.peek() == 0, "peek takes nothing")
        #expect(receiver.pop() == 0 && receiver.pop() == 1 && receiver.pop() == 2 && receiver.pop() == nil)
        sender.publish()
        #expect(receiver.pop() == 3)
        #expect(sender.next == 4 && receiver.next == 4)
    }

    @Test(arguments: [(1, 1), (2, 2), (3, 4), (5, 8), (1000, 1024)])
    func capacityIsRoundedUpToAPowerOfTwo(asked: Int, given: Int) {
        let channel = Channel<Int>(capacity: asked)
        #expect(channel.capacity == given)
        let sender = Outlet(channel)
        for number in 0..<given { #expect(sender.push(number)) }
        #expect(!sender.push(-1) && !sender.hasRoom())
        #expect(sender.next == given, "what was refused has no number")
    }

    @Test func anEndIsMadeAnewWhereTheLastOneLeftOff() {
        let channel = Channel<Int>(capacity: 4)
        do {
            let sender = Outlet(channel)
            for number in 0..<3 { #expect(sender.send(number)) }
            #expect(sender.push(99), "never shown, so never sent")
        }
        do {
            let receiver = Inlet(channel)
            #expect(receiver.pop() == 0)
            receiver.release()
            #expect(receiver.pop() == 1, "taken, and not given back: the next one takes it again")
        }
        let sender = Outlet(channel)
        let receiver = Inlet(channel)
        #expect(sender.next == 3 && receiver.next == 1)
        #expect(sender.send(3) && sender.send(4) && !sender.send(5), "there is room for four")
        #expect((0..<4).map { _ in receiver.pop() } == [1, 2, 3, 4])
    }

    @Test func whatWasSentBeforeIsVoid() {
        let channel = Channel<Int>(capacity: 4)
        var sender = channel.sender()
        var receiver = channel.receiver()
        _ = sender.send(0)
        _ = sender.send(1)
        #expect(receiver.voided == 0)
        sender.void()
        _ = sender.send(2)
        #expect(receiver.voided == 2 && receiver.next == 0, "who takes it judges by its number")
        _ = receiver.pop()
        #expect(sender.consumed == 0)
        receiver.release()
        #expect(sender.consumed == 1)
    }

    @Test func roomComesBackWithRelease() {
        let channel = Channel<Int>(capacity: 4)
        let sender = Outlet(channel)
        let receiver = Inlet(channel)
        for number in 0..<4 { #expect(sender.send(number)) }
        #expect(receiver.pop() == 0 && receiver.pop() == 1)
        #expect(!sender.hasRoom(), "popped, but not released")
        receiver.release()
        #expect(sender.hasRoom(for: 2) && !sender.hasRoom(for: 3))
        #expect(sender.send(4) && sender.send(5) && !sender.send(6))
        #expect((2..<6).allSatisfy { receiver.pop() == $0 } && receiver.pop() == nil)
    }

    @Test func waitingElementsMayBeMarkedInPlace() {
        let channel = Channel<Int>(capacity: 4)
        let sender = Outlet(channel)
        let receiver = Inlet(channel)
        for number in 0..<6 {
            #expect(sender.send(number))
            if number < 3 {
                #expect(receiver.pop() == number)
                receiver.release()
            }
        }
        #expect(receiver.available() == 3 && receiver.next == 3 && receiver.end == 6)
        #expect((3..<6).allSatisfy { receiver.element($0).pointee == $0 })
        receiver.element(4).pointee = 44
        #expect(receiver.pop() == 3 && receiver.pop() == 44 && receiver.pop() == 5)
    }

    /// Random pushes, publishes, pops and releases against an array; the ring goes round many times.
    @Test func followsAModel() {
        var random = SeededRandom(seed: 1)
        let channel = Channel<UInt64>(capacity: 16)
        let sender = Outlet(channel)
        let receiver = Inlet(channel)
        var sent: [UInt64] = []
        var published = 0
        var popped = 0
        var released = 0
        for _ in 0..<100_000 {
            switch random.below(4) {
            case 0:
                for _ in 0..<random.below(8) {
                    let element = random.next()
                    let pushed = sender.push(element)
                    #expect(pushed == (sent.count - released < 16))
                    if pushed { sent.append(element) }
                }
            case 1:
                sender.publish()
                published = sent.count
            case 2:
                for _ in 0..<random.below(8) {
                    let element = receiver.pop()
                    #expect(element == (popped < published ? sent[popped] : nil))
                    if element != nil { popped += 1 }
                }
            default:
                receiver.release()
                released = popped
            }
        }
        #expect(released > 10_000, "the ring went round")
    }

    @Test func onlyAFullChannelsReleaseWakesTheSender() {
        let sending = Counter(), receiving = Counter()
        let senderWaker = Waker { sending.value.add(1, ordering: .relaxed) }
        let receiverWaker = Waker { receiving.value.add(1, ordering: .relaxed) }
        let channel = Channel<Int>(capacity: 2)
        channel.connect(sender: senderWaker, receiver: receiverWaker)
        let sender = Outlet(channel)
        let receiver = Inlet(channel)

        #expect(sender.send(0))
        #expect(receiving.now == 0, "awake: no system call")
        receiverWaker.announce()
        #expect(sender.send(1))
        #expect(receiving.now == 1, "asleep: woken")
        sender.publish()
        #expect(receiving.now == 1, "nothing new: not woken")

        senderWaker.announce()
        #expect(receiver.pop() == 0)
        receiver.release()
        #expect(sending.now == 0, "it did not wait")
        #expect(sender.send(2) && !sender.send(3))
        #expect(receiver.pop() == 1)
        #expect(sending.now == 0, "no room yet")
        receiver.release()
        #expect(sending.now == 1, "it waited for room")
        senderWaker.announce()
        #expect(receiver.pop() == 2)
        receiver.release()
        #expect(sending.now == 1, "it no longer waits")
    }

    @Test func endsOnOneThreadWakeNobody() {
        let rung = Counter()
        let waker = Waker { rung.value.add(1, ordering: .relaxed) }
        let channel = Channel<Int>(capacity: 1)
        channel.connect(sender: waker, receiver: waker)
        let sender = Outlet(channel)
        let receiver = Inlet(channel)
        waker.announce()
        #expect(sender.send(1) && !sender.send(2))
        #expect(receiver.pop() == 1)
        receiver.release()
        #expect(rung.now == 0)
    }

    /// Each side sleeps on its waker whenever it can do nothing, so a lost wake-up would hang it.
    @Test(arguments: [1, 64, 4096]) func aMillionElementsPassBetweenTwoThreads(capacity: Int) {
        let total = 1_000_000
        let channel = Channel<Int>(capacity: capacity)
        let sending = SleepingSource(), receiving = SleepingSource()
        channel.connect(sender: sending.waker, receiver: receiving.waker)
        let inOrder = Promise()
        let sender = TestThread {
            var end = channel.sender()
            var random = SeededRandom(seed: 7)
            var next = 0
            while next < total {
                for _ in 0..<min(1 + random.below(100), total - next) {
                    guard end.push(next) else { break }
                    next += 1
                }
                end.publish()
                if end.hasRoom() { continue }
                sending.waker.announce()
                if !end.hasRoom() { sending.wait(nanoseconds: .max) }
                sending.waker.retract()
            }
        }
        let receiver = TestThread {
            var end = channel.receiver()
            var random = SeededRandom(seed: 8)
            var next = 0
            while next < total {
                for _ in 0..<1 + random.below(100) {
                    guard let element = end.pop() else { break }
                    if element != next { inOrder.fail() }
                    next += 1
                }
                end.release()
                if end.available() > 0 || next == total { continue }
                receiving.waker.announce()
                if end.available() == 0 { receiving.wait(nanoseconds: .max) }
                receiving.waker.retract()
            }
        }
        #expect(sender.join() && receiver.join())
        #expect(inOrder.holds)
    }
}

/// Holds until it fails.
final class Promise: Sendable {
    private let failed = Atomic<Bool>(false)
    func fail() { failed.store(true, ordering: .releasing) }
    var holds: Bool { !failed.load(ordering: .acquiring) }
}
