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
    /// The last time of which it is known that it had all there was of the log then on stable storage; nil: none in this epoch.
    var caughtUp: UInt64?
    /// Where the log ended, and when: once the follower has come there, it had caught up at that time.
    var mark: (end: UInt64, at: UInt64)?

    init(heard: UInt64) { self.heard = heard }

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
