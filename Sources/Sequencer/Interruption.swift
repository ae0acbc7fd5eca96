import Host
import Wire

/// For a while after batches could be refused for a reason that passes, one that was sent behind such a batch can come before it: clients have up to
/// five on their way at once, over connections that break, and wait for different times before they send each again. In that while a gap in a
/// producer's sequence is answered with the reason itself, upon which clients try again.
struct Interruption {
    /// Nanoseconds: as long as clients wait at most before they connect again (librdkafka's reconnect.backoff.max.ms). No longer, because where something
    /// is missing for good, as it may be with qualities below durable, producers learn of it only afterwards.
    static let span: UInt64 = 10_000_000_000

    private(set) var error = ErrorCode.none
    /// By the monotonic clock.
    private var end: UInt64 = 0

    func holds(_ now: Moment) -> Bool { now.monotonic < end }

    mutating func note(_ error: ErrorCode, _ now: Moment) {
        self.error = error
        end = now.monotonic + Interruption.span
    }
}
