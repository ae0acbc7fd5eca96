/// How long a connection may keep others' resources without doing anything for it. All times are in nanoseconds.
public struct ConnectionTimeouts: Sendable {
    /// From its opening to its first byte.
    public var firstByte: UInt64
    /// From a request's first byte to its last. Who brings `requestRate` bytes a second on average gets the same time
    /// again, but not more than `ConnectionTimeouts.windows` times: a request must end.
    public var request: UInt64
    /// In bytes a second.
    public var requestRate: Int
    /// Without a byte in either direction and without a request that is owed an answer.
    public var idle: UInt64
    /// Until the client's side takes a byte of what is being sent.
    public var send: UInt64

    /// How often `request` may pass before the slowest request must be whole.
    public static let windows = 20

    public init(
        firstByte: UInt64 = 30_000_000_000, request: UInt64 = 30_000_000_000, requestRate: Int = 1024,
        idle: UInt64 = 600_000_000_000, send: UInt64 = 60_000_000_000
    ) {
        self.firstByte = firstByte
        self.request = request
        self.requestRate = requestRate
        self.idle = idle
        self.send = send
    }

    /// While memory for large requests is short, whoever holds some of it has so many nanoseconds to show that its request
    /// comes with so many bytes a second.
    static let shortMemory: (patience: UInt64, rate: Int) = (2_000_000_000, 64 << 10)

    /// What a request must bring in the time of one window.
    var bytesPerWindow: Int { Int(Double(request) / 1e9 * Double(requestRate)) }
}

/// When a connection last did something, as its deadlines need it.
struct ConnectionActivity {
    /// Of the last byte that came, or the last answer that left.
    var last: UInt64
    /// All bytes that ever came.
    private(set) var bytes = 0
    /// The request that is half there: its number, the windows that it has had, and when the last one began with how many
    /// bytes. Nil: there has been none.
    private var request: UInt32?
    private var windows = 0
    private var since: UInt64 = 0
    private var bytesBefore = 0

    init(opened now: UInt64) { last = now }

    mutating func note(received count: Int, _ now: UInt64) {
        bytes += count
        last = now
    }

    /// The first bytes of request number `request` are there, and more are waited for.
    mutating func noteHalf(_ request: UInt32, _ now: UInt64) {
        guard self.request != request else { return }
        self.request = request
        windows = 0
        beginWindow(now)
    }

    /// The stage itself had read no further for a while: that time is not the client's.
    mutating func noteResumed(_ now: UInt64) {
        beginWindow(now)
        windows -= 1
    }

    private mutating func beginWindow(_ now: UInt64) {
        windows += 1
        since = now
        bytesBefore = bytes
    }

    enum Verdict: Equatable {
        /// Look again at that time.
        case inTime(until: UInt64)
        /// Its time is up; why, for the log.
        case late(String)
    }

    /// Whether it is late.
    /// - Parameters:
    ///   - half: the request that is half there, where its rest is waited for.
    ///   - isInTheWay: whether others wait for the memory that the half request takes.
    ///   - isOwed: whether something is still to be done, or answered, for it.
    mutating func judge(half: UInt32?, isInTheWay: Bool, isOwed: Bool, _ timeouts: ConnectionTimeouts, _ now: UInt64) -> Verdict {
        guard bytes > 0 else {
            let due = last + timeouts.firstByte
            return now < due ? .inTime(until: due) : .late("nothing came for \(seconds(timeouts.firstByte)) after it was opened")
        }
        if let half {
            noteHalf(half, now)
            let (patience, rate) = ConnectionTimeouts.shortMemory
            let needed = Int(Double(now - since) / 1e9 * Double(rate))
            if isInTheWay, now >= since + patience, bytes - bytesBefore < needed {
                return .late("a request was not complete after \(seconds(now - since)), and others want the memory")
            }
            if now >= since + timeouts.request {
                guard bytes - bytesBefore >= timeouts.bytesPerWindow else {
                    return .late("a request was not complete after \(seconds(timeouts.request))")
                }
                guard windows < ConnectionTimeouts.windows else {
                    return .late("a request was not complete after \(ConnectionTimeouts.windows) times \(seconds(timeouts.request))")
                }
                beginWindow(now)
            }
            return .inTime(until: since + timeouts.request)
        }
        if isOwed { return .inTime(until: now + timeouts.idle) }
        let due = last + timeouts.idle
        return now < due ? .inTime(until: due) : .late("it was idle for \(seconds(timeouts.idle))")
    }

    private func seconds(_ nanoseconds: UInt64) -> String { "\(Double(nanoseconds / 1_000_000) / 1000) s" }
}
