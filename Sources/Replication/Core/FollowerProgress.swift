/// What a leader knows of one follower.
struct FollowerProgress {
    enum State: Equatable {
        /// It was told the leader's history; nothing is known of its log yet.
        case matching
        case streaming
        /// It needs what is no longer in the journal.
        case behind
    }

    var state = State.matching
    /// Another one each time that the leader begins with it: what belongs to an earlier one is stale.
    var session: UInt32 = 0
    var sent: UInt64 = 0
    var received: UInt64 = 0
    var persisted: UInt64 = 0
    /// It does not know how far it had come before.
    var isUnsure = false
    /// When something came from it last; when something was sent; and when it came further last, or began to have something to do.
    var heard: UInt64
    var spoken: UInt64 = 0
    var moved: UInt64 = 0
    /// All that the leader had then, it is known to have persisted; nil: that is not known of any time.
    private(set) var caughtUp: UInt64?
    /// Since when it has kept up without a break.
    private(set) var keepsUpSince: UInt64 = 0
    /// What it has to persist so that it is known to have caught up with that time.
    private var mark: (position: UInt64, time: UInt64) = (0, 0)

    init(heard: UInt64) { self.heard = heard }

    /// It was there a moment ago, and has as long to catch up as it may lag.
    mutating func trust(now: UInt64) {
        caughtUp = now
        keepsUpSince = now
    }

    /// It is streamed to from `end` on, and has nothing behind it.
    mutating func begin(end: UInt64, appended: UInt64, now: UInt64) {
        // What it has said before may no longer be so: it may have lost it.
        if end < persisted { caughtUp = nil }
        persisted = min(persisted, end)
        if caughtUp == nil { mark = (appended, now) }
    }

    /// It has acknowledged something: how far behind it is counts in time, so that the rate of what comes makes no difference.
    mutating func acknowledged(appended: UInt64, patience: UInt64, now: UInt64) {
        guard persisted >= mark.position else { return }
        if !keepsUp(lag: patience, silence: patience, now: now) { keepsUpSince = now }
        caughtUp = persisted >= appended ? now : mark.time
        mark = (appended, now)
    }

    /// Whether it is heard of, and has all that the leader had a time ago.
    func keepsUp(lag: UInt64, silence: UInt64, now: UInt64) -> Bool {
        guard let caughtUp else { return false }
        return now < heard + silence && now < caughtUp + lag
    }

    /// How many bytes are on their way to it.
    var inFlight: UInt64 { sent - received }
}

extension GroupAssignment {
    /// The greatest position that a majority of the replicas has reached.
    func majorityReached(_ position: (ReplicaID) -> UInt64) -> UInt64 {
        guard !replicas.isEmpty else { return 0 }
        return replicas.map(position).sorted(by: >)[replicas.count / 2]
    }
}
