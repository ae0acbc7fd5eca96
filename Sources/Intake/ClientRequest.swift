// Unsafe on purpose: a request is passed on as a range of its connection's receive buffer, not as a copy. What makes it
// sound: the io stage keeps the range as it is until every stage that was handed it has given it back (`Release`).

import Host
import Wire

/// A connection of one io stage: a slot in its table, and which of the slot's tenants. What is meant for a tenant that has
/// gone is dropped.
public struct ConnectionID: BitwiseCopyable, Hashable, Sendable {
    public var slot: UInt32
    public var generation: UInt32

    @inlinable @inline(__always)
    public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }
}

/// A request on its way to the stage that will do it.
public struct ClientRequest: BitwiseCopyable, @unchecked Sendable {
    public var connection: ConnectionID
    /// The frame's number in its connection, to give it back by.
    public var frame: UInt32
    /// The number of its answer in its connection; answers leave in this order.
    public var answer: UInt32
    /// The request from its header on.
    public var bytes: UnsafeRawPointer
    public var count: UInt32
    /// Where the body begins in `bytes`.
    public var bodyOffset: UInt32
    public var key: Int16
    public var version: Int16
    public var correlation: Int32
    /// The partition groups that were handed it, a bit each; each answers its part.
    public var groups: UInt64
    /// Whether the client waits for an answer.
    public var wantsAnswer: Bool
    /// Whether it also wants to be told what became of it, and when.
    public var wantsReceipt = false
    /// When it was read, by the monotonic clock.
    public var arrival: UInt64

    @inlinable @inline(__always)
    public init(
        connection: ConnectionID, frame: UInt32, answer: UInt32, bytes: UnsafeRawPointer, count: UInt32,
        bodyOffset: UInt32, key: Int16, version: Int16, correlation: Int32, groups: UInt64, wantsAnswer: Bool,
        arrival: UInt64
    ) {
        self.connection = connection
        self.frame = frame
        self.answer = answer
        self.bytes = bytes
        self.count = count
        self.bodyOffset = bodyOffset
        self.key = key
        self.version = version
        self.correlation = correlation
        self.groups = groups
        self.wantsAnswer = wantsAnswer
        self.arrival = arrival
    }

    /// How many partition groups were handed it.
    @inlinable
    public var parts: UInt8 { isWhole ? 1 : UInt8(groups.nonzeroBitCount) }

    /// Whether one partition group was handed all of it.
    @inlinable
    public var isWhole: Bool { groups & (groups &- 1) == 0 }

    /// The body.
    @inlinable
    public var body: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: bytes + Int(bodyOffset), count: Int(count) - Int(bodyOffset))
    }

    /// The body as a message. Bytes behind its end are ignored, as Kafka's brokers do: librdkafka 2.16 ends a Metadata request for all topics with three that mean nothing.
    public func decode<Message: Request>(_: Message.Type) throws(WireError) -> Message {
        try Message.decode(body, version: version, ignoringRest: true)
    }

    /// What gives the request's bytes back.
    @inlinable
    public var release: Release { Release(connection: connection, frame: frame, count: 1) }
}

/// A stage is done with the bytes of requests that follow one another in their connection.
public struct Release: BitwiseCopyable, Sendable {
    public var connection: ConnectionID
    /// The first; and how many.
    public var frame: UInt32
    public var count: UInt32

    @inlinable @inline(__always)
    public init(connection: ConnectionID, frame: UInt32, count: UInt32) {
        self.connection = connection
        self.frame = frame
        self.count = count
    }

    /// Whether the request has the next frame.
    @inlinable
    public func isFollowed(by request: ClientRequest) -> Bool {
        request.frame == frame &+ count && request.connection == connection
    }
}

/// What the io stage and the respond stage that share a connection tell each other of it.
public struct ConnectionEvent: BitwiseCopyable, Sendable {
    public enum Kind: UInt8, BitwiseCopyable, Sendable {
        // io to respond:
        /// It is there; `socket` is its socket.
        case opened
        /// Nothing more will be read; once `answers` answers have left, it is done.
        case finished
        /// It broke: nothing is to be sent any more.
        case aborted
        // respond to io:
        /// So many answers have been sent, in all.
        case sent
        /// It can't be sent to: read no more.
        case broken
        /// Nothing is being sent, and nothing will be: the socket may be closed.
        case done
    }

    public var kind: Kind
    public var connection: ConnectionID
    public var socket: Int32
    public var answers: UInt32

    public init(_ kind: Kind, _ connection: ConnectionID, socket: Int32 = -1, answers: UInt32 = 0) {
        self.kind = kind
        self.connection = connection
        self.socket = socket
        self.answers = answers
    }
}
