import Host
import Synchronization

/// What is known of consumer groups' lag, asked for anew in the background while somebody wants to know: who does is told what is known already.
final class LagWatch: Sendable {
    private struct State {
        var known: GroupLags?
        /// When it was asked for last, by the monotonic clock; 0: never.
        var askedAt: UInt64 = 0
        var isAsking = false
    }

    /// It is asked for anew after so many nanoseconds, also where nobody could say; and what is as old as that many is not told any more.
    private static let interval: UInt64 = 10_000_000_000
    private static let patience: UInt64 = 60_000_000_000

    private let client: OwnClient
    private let state = Mutex(State())

    init(_ client: OwnClient) { self.client = client }

    func current() -> GroupLags? {
        let now = Moment.now().monotonic
        let (known, asks) = state.withLock { state -> (GroupLags?, Bool) in
            let asks = !state.isAsking && (state.askedAt == 0 || now - state.askedAt >= LagWatch.interval)
            if asks {
                state.isAsking = true
                state.askedAt = now
            }
            return (now - state.askedAt < LagWatch.patience ? state.known : nil, asks)
        }
        if asks {
            Task(priority: .medium) {
                let found = try? await client.ask(GroupLags.ask)
                state.withLock { state in
                    state.known = found
                    state.isAsking = false
                }
            }
        }
        return known
    }
}
