import Host

/// A channel's sending end in a class: what checks a test's expectations takes only what can be copied.
public final class Outlet<Element: BitwiseCopyable> {
    private var end: Sender<Element>

    public init(_ channel: Channel<Element>) { end = channel.sender() }

    public func hasRoom(for count: Int = 1) -> Bool { end.hasRoom(for: count) }
    public func push(_ element: Element) -> Bool { end.push(element) }
    public func publish() { end.publish() }
    public func send(_ element: Element) -> Bool { end.send(element) }
    public var next: Int { end.next }
}

/// A channel's receiving end in a class.
public final class Inlet<Element: BitwiseCopyable> {
    private var inner: Receiver<Element>

    public init(_ channel: Channel<Element>) { inner = channel.receiver() }

    public func available() -> Int { inner.available() }
    public func peek() -> Element? { inner.peek() }
    public func pop() -> Element? { inner.pop() }
    public func release() { inner.release() }
    public var next: Int { inner.next }
    public var end: Int { inner.end }
    public func element(_ number: Int) -> UnsafeMutablePointer<Element> { inner.element(number) }
}
