// Unsafe on purpose: frames are checked where they lie, in a connection's buffer, within its length.

import Journal

/// What has rotted on this disk where no start looks, while the journal is in use: it is asked of the other replicas in turn, one stretch at a
/// time, and put in its place once it has been checked.
struct ReplicaRepair {
    /// What is left, ascending.
    private var ranges: [Range<UInt64>] = []
    private var askAt: UInt64 = 0
    private var turn = 0
    /// Who does not have what is being asked for, and where their journals begin.
    private var refused: [ReplicaID: UInt64] = [:]

    /// What is being asked for; nil: nothing.
    var range: Range<UInt64>? { ranges.first }

    /// Takes a segment on, unless another is under way: it will be noticed again.
    mutating func begin(_ damaged: [Range<UInt64>]) {
        guard ranges.isEmpty else { return }
        ranges = damaged
        refused = [:]
        askAt = 0
    }

    /// That much of what was asked for is in its place, or can't be put there.
    mutating func end(_ done: Range<UInt64>) {
        guard let first = ranges.first, first.lowerBound == done.lowerBound else { return }
        // Where no header fits any more, nothing is missing.
        if done.upperBound + UInt64(Frame.headerBytes) <= first.upperBound {
            ranges[0] = done.upperBound..<first.upperBound
        } else {
            ranges.removeFirst()
        }
        refused = [:]
        askAt = 0
    }

    /// One can't give what was asked for, whose journal begins at `start`.
    mutating func refuse(_ replica: ReplicaID, start: UInt64) { refused[replica] = start }

    /// Who needs nothing of what is asked for, because it has been archived there, once all of them were asked in vain. Nil: nobody.
    func healthy(among others: [ReplicaID]) -> ReplicaID? {
        guard let range, !others.isEmpty, others.allSatisfy({ refused[$0] != nil }) else { return nil }
        return others.first { refused[$0]! > range.lowerBound }
    }

    /// Whom to ask now, and for what. Nil: nobody.
    mutating func ask(_ others: [ReplicaID], _ times: ReplicaTimes, now: UInt64) -> (ReplicaID, Range<UInt64>)? {
        guard let range, now >= askAt, !others.isEmpty else { return nil }
        askAt = now + times.retry
        turn += 1
        return (others[turn % others.count], range.lowerBound..<min(range.upperBound, range.lowerBound + times.read))
    }

    /// How many of the bytes, which have come for the range, are whole frames of this journal at their places, of the epochs that they belong to.
    static func soundBytes(
        _ bytes: UnsafeRawBufferPointer, at position: UInt64, of journal: JournalIdentity, epochs: EpochHistory
    ) -> Int {
        var sound = 0
        while bytes.count - sound >= Frame.headerBytes {
            let read = FrameHeader.read(
                at: bytes.baseAddress! + sound, available: bytes.count - sound, position: position + UInt64(sound), of: journal)
            guard case .success(let header) = read, Frame.stride(Int(header.length)) <= bytes.count - sound,
                header.epoch == epochs.least(at: header.position)
            else { break }
            sound += Frame.stride(Int(header.length))
        }
        return sound
    }
}
