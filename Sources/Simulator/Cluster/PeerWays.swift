import Host
import IO
import Replication

/// The connections between the brokers of a simulated cluster. What one sends arrives frame by frame: late, twice, in another order, spoilt, or not
/// at all, as faults have it.
final class PeerWays {
    /// Of a hundred frames so many, and of connections.
    struct Faults {
        var drops = 0
        var duplicates = 0
        var delays = 0
        var spoils = 0
    }

    /// From one broker to another.
    struct Direction: Hashable, Comparable {
        var from: Int32
        var to: Int32

        static func < (a: Direction, b: Direction) -> Bool { (a.from, a.to) < (b.from, b.to) }
    }

    private final class Way {
        let direction: Direction
        let sender: SimulatedNetwork
        let receiver: SimulatedNetwork
        /// The socket of the broker that sends, and of the one that receives.
        let out: Int32
        let into: Int32
        /// The beginning of a frame.
        var partial: [UInt8] = []
        var transit: [(due: UInt64, bytes: [UInt8])] = []
        /// When the last frame that was not held up arrives.
        var lastDue: UInt64 = 0
        /// Since when nothing has come through.
        var stuckSince: UInt64?
        var hasEnded = false

        init(_ direction: Direction, _ sender: SimulatedNetwork, _ receiver: SimulatedNetwork) {
            self.direction = direction
            self.sender = sender
            self.receiver = receiver
            out = sender.open()
            into = receiver.connect()
        }
    }

    /// What a host waits for what it has sent to arrive, in nanoseconds: then the connection is given up.
    private static let patience: UInt64 = 2_000_000_000

    private var ways: [Way] = []
    /// Nothing gets through there.
    var cuts: Set<Direction> = []
    var faults = Faults()
    /// How often each kind of fault has come to pass.
    private(set) var fired: [String: Int] = [:]

    private func count(_ what: String) { fired[what, default: 0] += 1 }

    /// A connection; returns the sender's socket.
    func connect(_ direction: Direction, _ sender: SimulatedNetwork, _ receiver: SimulatedNetwork) -> Int32 {
        let way = Way(direction, sender, receiver)
        ways.append(way)
        return way.out
    }

    /// A broker's process has ended: the others' hosts notice.
    func end(_ broker: Int32) {
        for way in ways where way.direction.from == broker || way.direction.to == broker { end(way) }
        ways.removeAll(where: \.hasEnded)
    }

    /// Every connection of that direction breaks.
    func breakOff(_ direction: Direction) {
        for way in ways where way.direction == direction { end(way) }
        ways.removeAll(where: \.hasEnded)
    }

    private func end(_ way: Way) {
        way.hasEnded = true
        way.sender.reset(way.out)
        way.receiver.reset(way.into)
    }

    /// When something arrives next.
    var nextDue: UInt64 { ways.reduce(.max) { $1.transit.reduce($0) { min($0, $1.due) } } }

    /// Moves what there is to move. Returns how much that was.
    func pump(now: UInt64, random: inout SeededRandom) -> Int {
        var moved = 0
        for way in ways {
            moved += take(way, now, &random)
            moved += deliver(way, now)
            if way.receiver.isClosed(way.into) || way.sender.isClosed(way.out) { end(way) }
        }
        ways.removeAll(where: \.hasEnded)
        return moved
    }

    /// Whole frames that were sent begin their journey.
    private func take(_ way: Way, _ now: UInt64, _ random: inout SeededRandom) -> Int {
        let sent = way.sender.read(way.out)
        guard !sent.isEmpty else { return 0 }
        way.partial += sent
        var start = 0
        while case .whole(let length) = way.partial[start...].withUnsafeBytes({ PeerFrame.look($0) }) {
            post(Array(way.partial[start..<start + length]), way, now, &random)
            start += length
        }
        way.partial.removeFirst(start)
        return 1
    }

    private func post(_ frame: [UInt8], _ way: Way, _ now: UInt64, _ random: inout SeededRandom) {
        if random.chance(faults.drops) { return count("drop") }
        var frame = frame
        if random.chance(faults.spoils) {
            count("spoilt")
            frame[random.below(frame.count)] ^= 1 << UInt8(random.below(8))
        }
        let due = now + UInt64(100_000 + random.below(2_000_000))
        if random.chance(faults.delays) {
            // Those behind it overtake it.
            count("delay")
            way.transit.append((due + UInt64(random.below(400)) * 1_000_000, frame))
        } else {
            way.lastDue = max(way.lastDue, due)
            way.transit.append((way.lastDue, frame))
        }
        if random.chance(faults.duplicates) {
            count("duplicate")
            way.transit.append((due + UInt64(random.below(300)) * 1_000_000, frame))
        }
    }

    private func deliver(_ way: Way, _ now: UInt64) -> Int {
        guard !way.transit.isEmpty else { return 0 }
        guard !cuts.contains(way.direction) else {
            way.stuckSince = way.stuckSince ?? now
            if now >= way.stuckSince! + PeerWays.patience { end(way) }
            return 0
        }
        way.stuckSince = nil
        let due = way.transit.filter { $0.due <= now }
        guard !due.isEmpty else { return 0 }
        way.transit.removeAll { $0.due <= now }
        for frame in due.sorted(by: { $0.due < $1.due }) { way.receiver.write(frame.bytes, to: way.into) }
        return due.count
    }
}
