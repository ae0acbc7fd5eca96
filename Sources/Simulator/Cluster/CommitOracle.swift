// Unsafe on purpose: it compares raw memory, within lengths that it has checked.

import Glibc
import Host
import IO
import Journal

/// What is known of the journals of all partition groups together: which bytes are committed, and who has led.
///
/// A broker that says that its journal is committed up to some position must have the same bytes there as whoever said so first; and who
/// says it first is right only if a majority of the disks has them.
struct CommitOracle {
    private var committed: [[UInt8]]
    private var leaders: [[UInt64: Int32]]
    private let majority: Int
    private let segmentBytes: Int
    private(set) var elections = 0

    init(groups: Int, replicas: Int, segmentBytes: Int) {
        committed = Array(repeating: [], count: groups)
        leaders = Array(repeating: [:], count: groups)
        majority = replicas / 2 + 1
        self.segmentBytes = segmentBytes
    }

    /// How far each group's journal is committed.
    var ends: [UInt64] { committed.map { UInt64($0.count) } }

    /// What a broker says now.
    mutating func look(at broker: ClusterBroker, among simulation: ClusterSimulation) throws {
        guard let life = broker.life else { return }
        for (group, positions) in life.stageSet.positions.enumerated() {
            let epoch = positions.serving.load()
            if epoch != life.served[group] {
                life.served[group] = epoch
                if epoch > 0 { try serves(broker.id, group, epoch, simulation) }
            }
            let end = positions.committed.load()
            // It was opened anew, or is another one.
            life.checked[group] = min(life.checked[group], end)
            guard end > life.checked[group] else { continue }
            // What is archived is held against what was sent when it is read.
            let from = max(life.checked[group], positions.start.load())
            for range in pieces(min(from, end)..<end) {
                if try broker.show(group, range, { try compare($1, at: $0, group, broker.id, simulation) }) { continue }
                if simulation.damaged[broker.id] != nil { break }
                guard hasFrames(broker, group, range) else {
                    throw Violation("broker \(broker.id) has \(range) of group \(group) committed, but not the bytes")
                }
            }
            life.checked[group] = end
        }
    }

    /// The parts of a range that lie in one segment each.
    private func pieces(_ range: Range<UInt64>) -> [Range<UInt64>] {
        let size = UInt64(segmentBytes)
        return stride(from: range.lowerBound / size * size, to: range.upperBound, by: segmentBytes).map { range.clamped(to: $0..<$0 + size) }
    }

    /// Whether a broker has every frame of what was committed before in a part of a segment that it can't read all of: a sector that only padding lies in nobody misses.
    private func hasFrames(_ broker: ClusterBroker, _ group: Int, _ range: Range<UInt64>) -> Bool {
        guard range.upperBound <= ends[group] else { return false }
        return frames(of: group, Int(range.lowerBound)..<Int(range.upperBound)).allSatisfy { frame in
            var isSame = false
            let isThere = broker.show(group, UInt64(frame.lowerBound)..<UInt64(frame.upperBound)) { _, bytes in
                isSame = committed[group].withUnsafeBytes { memcmp($0.baseAddress! + frame.lowerBound, bytes.baseAddress!, frame.count) == 0 }
            }
            return isThere && isSame
        }
    }

    private mutating func serves(_ broker: Int32, _ group: Int, _ epoch: UInt64, _ simulation: ClusterSimulation) throws {
        if leaders[group][epoch] == broker { return }
        if let other = leaders[group][epoch] { throw Violation("group \(group): epoch \(epoch) is led by \(other) and by \(broker)") }
        leaders[group][epoch] = broker
        elections += 1
        simulation.tell("group \(group): broker \(broker) serves in epoch \(epoch)")
    }

    /// - Parameter bytes: whole frames of one segment.
    private mutating func compare(
        _ bytes: UnsafeRawBufferPointer, at position: UInt64, _ group: Int, _ broker: Int32, _ simulation: ClusterSimulation
    ) throws {
        let known = committed[group].count
        guard Int(position) <= known || simulation.damaged[broker] == nil else { return }
        guard Int(position) <= known else { throw Violation("group \(group): a gap in what is committed") }
        let end = Int(position) + bytes.count
        if end > known { committed[group] += bytes[(known - Int(position))...] }
        for frame in frames(of: group, Int(position)..<end) {
            let isSame = committed[group].withUnsafeBytes {
                memcmp($0.baseAddress! + frame.lowerBound, bytes.baseAddress! + frame.lowerBound - Int(position), frame.count) == 0
            }
            // What has rotted where no start looks is found when it is read.
            guard isSame || simulation.damaged[broker] != nil else { throw Violation("group \(group): broker \(broker) has another frame at \(frame.lowerBound) than was committed") }
            guard frame.lowerBound >= known else { continue }
            let holders = simulation.brokers.filter { other in
                simulation.damaged[other.id] != nil
                    || committed[group].withUnsafeBytes { other.holdsDurably(group, UInt64(frame.lowerBound), UnsafeRawBufferPointer(rebasing: $0[frame])) }
            }
            guard holders.count >= majority else {
                throw Violation(
                    "group \(group): broker \(broker) says that the frame at \(frame.lowerBound) is committed, but only \(holders.map(\.id)) have it on stable storage")
            }
        }
    }

    /// Whether a broker has all that is committed and not archived there, byte by byte, to read and on stable storage.
    func isIntact(_ broker: ClusterBroker, _ group: Int) -> Bool {
        var isSame = true
        let start = broker.life?.stageSet.positions[group].start.load() ?? 0
        let isThere = broker.show(group, min(start, ends[group])..<ends[group]) { position, bytes in
            for frame in frames(of: group, Int(position)..<Int(position) + bytes.count) where isSame {
                isSame = committed[group].withUnsafeBytes {
                    memcmp($0.baseAddress! + frame.lowerBound, bytes.baseAddress! + frame.lowerBound - Int(position), frame.count) == 0
                        && broker.holdsDurably(group, UInt64(frame.lowerBound), UnsafeRawBufferPointer(rebasing: $0[frame]))
                }
            }
        }
        return isThere && isSame
    }

    /// Where the last committed frame begins that ends before a position, or there.
    func lastFrame(of group: Int, before end: UInt64) -> UInt64 {
        let end = min(Int(end), committed[group].count)
        let segment = max(end - 1, 0) / segmentBytes * segmentBytes
        return UInt64(frames(of: group, segment..<end).last?.lowerBound ?? segment)
    }

    /// Whether the byte tells that a frame stands there, and how long it is, rather than what it says.
    func isMagic(_ group: Int, _ position: UInt64) -> Bool {
        guard position < committed[group].count else { return true }
        let segment = Int(position) / segmentBytes * segmentBytes
        return frames(of: group, segment..<min(segment + segmentBytes, committed[group].count)).contains { $0.prefix(16).contains(Int(position)) }
    }

    /// The frames within a range of one segment: what lies between them may differ.
    private func frames(of group: Int, _ range: Range<Int>) -> [Range<Int>] {
        var found: [Range<Int>] = []
        committed[group].withUnsafeBytes { bytes in
            let limit = min(range.upperBound, (range.lowerBound / segmentBytes + 1) * segmentBytes)
            var from = range.lowerBound / segmentBytes * segmentBytes
            while from + Frame.headerBytes <= limit {
                let length = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: from + 4, as: UInt32.self)))
                guard length >= Frame.headerBytes, from + length <= limit else { return }
                // What padding bears means nothing.
                let counts = bytes[from + 38] == FrameKind.padding.rawValue ? Frame.headerBytes : length
                if from >= range.lowerBound { found.append(from..<from + counts) }
                from += Frame.stride(length)
            }
        }
        return found
    }
}
