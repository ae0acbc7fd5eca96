// Unsafe on purpose: a queue between two threads is memory that both touch. What makes it sound stands at each access:
// a slot belongs to the sender until `tail` passes it (release), then to the receiver until `head` does.

import Synchronization

/// A counter alone on its cache lines, so that its writer and another counter's don't disturb each other. 128 bytes,
/// because processors fetch lines in pairs.
public struct PaddedCounter: ~Copyable, Sendable {
    @usableFromInline let value: Atomic<Int>
    @usableFromInline let padding: (Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int) =
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

    @inlinable
    public init(_ initial: Int = 0) { value = Atomic(initial) }
}

/// A bounded queue from one thread to one other, whose capacity is fixed when it is made. Both ends batch: what is
/// pushed is seen after `publish`, what is popped makes room after `release`.
public final class Channel<Element: BitwiseCopyable>: @unchecked Sendable {
    @usableFromInline let before = PaddedCounter()
    @usableFromInline let head = PaddedCounter()
    @usableFromInline let tail = PaddedCounter()
    @usableFromInline let senderWaits = PaddedCounter()
    @usableFromInline let slots: UnsafeMutablePointer<Element>
    @usableFromInline let mask: Int
    // Set once, before the threads start.
    @usableFromInline var receiverWaker: Waker?
    @usableFromInline var senderWaker: Waker?

    private let taken = Atomic<Int>(0)

    /// A channel with room for at least `capacity` elements.
    public init(capacity: Int) {
        var size = 1
        while size < capacity { size *= 2 }
        slots = .allocate(capacity: size)
        mask = size - 1
    }

    /// As `init(capacity:)`, connected.
    public convenience init(capacity: Int, from sender: Waker, to receiver: Waker) {
        self.init(capacity: capacity)
        connect(sender: sender, receiver: receiver)
    }

    deinit { slots.deallocate() }

    /// What was sent before this number is void: nobody waits for it to come true any more. By the sender.
    @usableFromInline let voided = Atomic<Int>(0)

    /// Its one sending end. Where there was one before, it goes on behind what that one has published.
    public func sender() -> Sender<Element> {
        precondition(taken.bitwiseOr(1, ordering: .acquiring).oldValue & 1 == 0, "a channel has one sender at a time")
        return Sender(self)
    }

    /// Its one receiving end. Where there was one before, it goes on behind what that one has released.
    public func receiver() -> Receiver<Element> {
        precondition(taken.bitwiseOr(2, ordering: .acquiring).oldValue & 2 == 0, "a channel has one receiver at a time")
        return Receiver(self)
    }

    fileprivate func giveBack(_ end: Int) { taken.bitwiseAnd(~end, ordering: .releasing) }

    /// How many elements have been published, and how many given back, since the beginning: for whoever watches.
    public var published: Int { tail.value.load(ordering: .relaxed) }
    public var consumed: Int { head.value.load(ordering: .relaxed) }

    /// How many elements it has room for.
    public var capacity: Int { mask + 1 }

    /// Says whom to wake: the receiver when something came, the sender when there is room again. Before the threads
    /// start; ends on one and the same thread wake nobody.
    public func connect(sender: Waker, receiver: Waker) {
        guard sender !== receiver else { return }
        senderWaker = sender
        receiverWaker = receiver
    }
}

/// The end that puts in. Owned by one thread.
public struct Sender<Element: BitwiseCopyable>: ~Copyable, Sendable {
    public let channel: Channel<Element>
    @usableFromInline var tail = 0
    @usableFromInline var published = 0
    @usableFromInline var knownHead = 0

    init(_ channel: Channel<Element>) {
        self.channel = channel
        tail = channel.tail.value.load(ordering: .acquiring)
        published = tail
        knownHead = channel.head.value.load(ordering: .acquiring)
    }

    deinit { channel.giveBack(1) }

    /// All that was sent up to now is void.
    public mutating func void() {
        channel.voided.store(tail, ordering: .releasing)
        channel.receiverWaker?.ring()
    }

    /// The number, since the beginning, of the first element that the receiver has not given back.
    public var consumed: Int { channel.head.value.load(ordering: .acquiring) }

    /// Whether `count` more elements fit. Where not, the sender's thread is woken when there is room.
    @inlinable @inline(__always)
    public mutating func hasRoom(for count: Int = 1) -> Bool {
        tail &- knownHead &+ count <= channel.mask &+ 1 || findsRoom(for: count)
    }

    @inlinable @inline(never)
    mutating func findsRoom(for count: Int) -> Bool {
        knownHead = channel.head.value.load(ordering: .acquiring)
        if tail &- knownHead &+ count <= channel.mask &+ 1 { return true }
        channel.senderWaits.value.store(1, ordering: .relaxed)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        knownHead = channel.head.value.load(ordering: .acquiring)
        return tail &- knownHead &+ count <= channel.mask &+ 1
    }

    /// Puts the element in; false, and nothing done, where the channel is full.
    @inlinable @inline(__always)
    public mutating func push(_ element: Element) -> Bool {
        guard hasRoom() else { return false }
        channel.slots[tail & channel.mask] = element
        tail &+= 1
        return true
    }

    /// Where the element so many behind the next one goes: for who has seen that there is room, and calls `advance` when it is filled.
    @inlinable @inline(__always)
    public func place(_ number: Int) -> UnsafeMutablePointer<Element> { channel.slots + ((tail &+ number) & channel.mask) }

    /// So many elements have been put where `place` said.
    @inlinable @inline(__always)
    public mutating func advance(_ count: Int) {
        precondition(tail &- knownHead &+ count <= channel.mask &+ 1, "the caller has seen that there is room")
        tail &+= count
    }

    /// Shows the receiver what was pushed, and wakes it if it sleeps.
    @inlinable @inline(__always)
    public mutating func publish() {
        guard tail != published else { return }
        published = tail
        channel.tail.value.store(tail, ordering: .releasing)
        channel.receiverWaker?.ring()
    }

    /// Pushes and publishes.
    @inlinable
    public mutating func send(_ element: Element) -> Bool {
        guard push(element) else { return false }
        publish()
        return true
    }

    /// The number, since the beginning, of the next element.
    @inlinable
    public var next: Int { tail }
}

/// The end that takes out. Owned by one thread.
public struct Receiver<Element: BitwiseCopyable>: ~Copyable, Sendable {
    public let channel: Channel<Element>
    @usableFromInline var head = 0
    @usableFromInline var released = 0
    @usableFromInline var knownTail = 0

    init(_ channel: Channel<Element>) {
        self.channel = channel
        head = channel.head.value.load(ordering: .acquiring)
        released = head
        knownTail = head
    }

    deinit { channel.giveBack(2) }

    /// What was sent before this number is void.
    @inlinable
    public var voided: Int { channel.voided.load(ordering: .acquiring) }

    /// How many elements wait, as of a fresh look.
    @inlinable
    public mutating func available() -> Int {
        knownTail = channel.tail.value.load(ordering: .acquiring)
        return knownTail &- head
    }

    /// The element next in line, left there. Nil where there is none.
    @inlinable @inline(__always)
    public mutating func peek() -> Element? {
        if head == knownTail && available() == 0 { return nil }
        return channel.slots[head & channel.mask]
    }

    /// Takes so many elements, which `element` has shown.
    @inlinable @inline(__always)
    public mutating func skip(_ count: Int) {
        precondition(knownTail &- head >= count, "only what waits can be taken")
        head &+= count
    }

    /// Takes the element next in line.
    @inlinable @inline(__always)
    public mutating func pop() -> Element? {
        guard let element = peek() else { return nil }
        head &+= 1
        return element
    }

    /// Gives the room of what was popped back to the sender, and wakes it if it waits for that.
    @inlinable @inline(__always)
    public mutating func release() {
        guard head != released else { return }
        released = head
        channel.head.value.store(head, ordering: .releasing)
        guard let waker = channel.senderWaker else { return }
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        if channel.senderWaits.value.load(ordering: .relaxed) != 0 {
            channel.senderWaits.value.store(0, ordering: .relaxed)
            waker.ring()
        }
    }

    /// The number, since the beginning, of the element next in line.
    @inlinable
    public var next: Int { head }

    /// The end of what is known to wait; `available()` looks afresh.
    @inlinable
    public var end: Int { knownTail }

    /// The waiting element with that number, in place: what is popped only later may be marked meanwhile.
    @inlinable @inline(__always)
    public func element(_ number: Int) -> UnsafeMutablePointer<Element> {
        precondition(number &- head >= 0 && knownTail &- number > 0, "not a waiting element")
        return channel.slots + (number & channel.mask)
    }
}
