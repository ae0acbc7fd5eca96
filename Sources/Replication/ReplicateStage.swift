import Host
import Journal

/// How far a follower has come, as it says itself. Positions are of the journal; what it has said before still holds.
public struct FollowerAck: BitwiseCopyable, Sendable {
    /// It has the journal in memory up to here.
    public var received: UInt64
    /// It has the journal on stable storage up to here.
    public var persisted: UInt64

    public init(received: UInt64, persisted: UInt64) {
        self.received = received
        self.persisted = persisted
    }
}

/// The way to one follower.
public protocol FollowerLink: AnyObject {
    /// Sends the journal's bytes of these positions. Returns how far it took them: less where its own limits say so.
    func send(_ range: Range<UInt64>) -> UInt64
    /// What the follower has said since the last call; nil: nothing.
    func acknowledged() -> FollowerAck?
}

/// Streams the journal to the followers and takes their acknowledgements: advances **replicated**, which a majority has in
/// memory, and **committed**, which a majority has on stable storage. Alone, the leader is the majority.
public struct ReplicateStage: Stage, ~Copyable {
    private struct Follower {
        var link: any FollowerLink
        var sent: UInt64
        var received: UInt64
        var persisted: UInt64
    }

    private let positions: JournalPositions
    private var followers: [Follower]
    private var sorted: [UInt64] = []
    private let meter: StageMeter
    private var probe = LatencyProbe()

    /// - Parameter followers: the ways to the other replicas.
    public init(positions: JournalPositions, followers: [any FollowerLink] = [], meter: StageMeter = .unwatched) {
        self.meter = meter
        self.positions = positions
        let start = positions.committed.load()
        self.followers = followers.map { Follower(link: $0, sent: start, received: start, persisted: start) }
        setInSync(reached: start)
    }

    /// Whoever it has a way to.
    private func setInSync(reached: UInt64) {
        positions.setInSync(followers.count + 1, majority: (followers.count + 1) / 2 + 1, reached: reached)
    }

    public mutating func step(_ now: Moment) -> Int {
        // Flushed first: it must not seem to be ahead of appended.
        let flushed = positions.flushed.load()
        let appended = positions.appended.load()
        var progress = 0
        for index in followers.indices {
            if followers[index].sent < appended {
                let sent = followers[index].link.send(followers[index].sent..<appended)
                if sent > followers[index].sent { progress += 1 }
                followers[index].sent = sent
            }
            while let ack = followers[index].link.acknowledged() {
                followers[index].received = max(followers[index].received, ack.received)
                followers[index].persisted = max(followers[index].persisted, ack.persisted)
                progress += 1
            }
        }
        probe.begin(flushed, now.monotonic)
        let replicated = majority(own: appended) { max($0.received, $0.persisted) }
        if replicated > positions.replicated.load() {
            positions.replicated.advance(to: replicated)
            progress += 1
        }
        let committed = majority(own: flushed) { $0.persisted }
        if committed > positions.committed.load() {
            positions.committed.advance(to: committed)
            if let took = probe.reached(committed, now.monotonic) { meter.record(latency: took) }
            progress += 1
        }
        if !followers.isEmpty { setInSync(reached: followers.reduce(min(committed, flushed)) { min($0, $1.persisted) }) }
        return progress
    }

    public var isDrained: Bool {
        positions.failure != nil || positions.committed.load() == positions.appended.load()
    }

    /// The greatest position that more than half of all replicas have reached.
    private mutating func majority(own: UInt64, _ position: (Follower) -> UInt64) -> UInt64 {
        if followers.isEmpty { return own }
        sorted.removeAll(keepingCapacity: true)
        sorted.append(own)
        for follower in followers { sorted.append(position(follower)) }
        sorted.sort(by: >)
        return sorted[sorted.count / 2]
    }
}
