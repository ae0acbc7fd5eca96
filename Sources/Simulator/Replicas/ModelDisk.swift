import Journal
import Replication

/// A frame of a journal in the model, where each takes one position.
struct ModelFrame: Hashable, Sendable {
    var epoch: UInt32
    var id: UInt64
    /// The frame before: what a checksum over the predecessor's does in a journal.
    var previous: UInt64
}

/// What a replica's disk has, in the model.
struct ModelDisk {
    var incarnation: UInt64
    var record = ReplicaRecord()
    /// By position; nil: nothing was ever written there. What was cut off stays until it is written over.
    var frames: [ModelFrame?] = []
    var damaged: Set<Int> = []
    /// What comes before is in archives: whoever lacks it needs a snapshot.
    var start = 0

    mutating func write(_ frame: ModelFrame, at position: Int) {
        while frames.count <= position { frames.append(nil) }
        frames[position] = frame
        damaged.remove(position)
    }

    /// The log as it is found at a start, with frames of no meaning where there is damage.
    /// A log whose end is damaged is found up to the first frame of that, and nobody knows how far it had come.
    mutating func recover() -> (log: [ModelFrame], damaged: [Range<UInt64>]) {
        let epochs = EpochHistory(record.history.starts)
        var log: [ModelFrame] = []
        var ranges: [Range<UInt64>] = []
        for position in frames.indices {
            let epoch = epochs.least(at: UInt64(position))
            if damaged.contains(position) {
                let next = UInt64(position)
                if let last = ranges.last, last.upperBound == next {
                    ranges[ranges.count - 1] = last.lowerBound..<next + 1
                } else {
                    ranges.append(next..<next + 1)
                }
                log.append(ModelFrame(epoch: epoch, id: .max, previous: .max))
                continue
            }
            // What is of an epoch that is not recorded was never acknowledged.
            guard let frame = frames[position], frame.epoch == epoch else { break }
            let isChained = log.last.map { $0.id == .max || $0.id == frame.previous } ?? (frame.previous == 0)
            guard isChained else { break }
            log.append(frame)
        }
        if let last = ranges.last, last.upperBound == UInt64(log.count) {
            record.isUnsure = true
            log.removeLast(Int(last.upperBound - last.lowerBound) - 1)
            ranges[ranges.count - 1] = last.lowerBound..<last.lowerBound + 1
        }
        return (log, ranges)
    }
}

/// The metadata store of the model: one value, swapped by revision, with what operators want beside it; and leases.
struct ModelStore {
    var value: GroupAssignment
    var target: GroupTarget
    var revision: Int64 = 1
    var isAway = false
    /// When each broker's lease ends, and the incarnation that it was given with.
    var leases: [Int32: (end: UInt64, incarnation: UInt64)] = [:]

    /// False where the value is not of that revision any more.
    mutating func swap(_ new: GroupAssignment, revision expected: Int64) -> Bool {
        guard revision == expected else { return false }
        value = new
        revision += 1
        return true
    }

    /// An operator changes what is wanted.
    mutating func want(_ new: GroupTarget) {
        target = new
        revision += 1
    }

    /// Whether the broker is to have a replica, or has one.
    func names(_ broker: Int32) -> Bool { target.brokers.contains(broker) || value.replicas.contains { $0.broker == broker } }

    func live(now: UInt64) -> [Int32: UInt64] { leases.filter { $0.value.end > now }.mapValues(\.incarnation) }
}
