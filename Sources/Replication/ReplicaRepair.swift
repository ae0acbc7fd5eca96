// Unsafe on purpose: frames are checked where they lie, in a connection's buffer, within its length.

import Journal

/// What has rotted on this disk where no start looks, while the journal is in use: it is asked of the other replicas in turn, one stretch at a
/// time, and put in its place once it has been checked.
struct ReplicaRepair {
    /// What is being asked for; nil: nothing.
    private(set) var range: Range<UInt64>?
    private var askAt: UInt64 = 0
    private var turn = 0

    /// Takes a stretch on, unless another is under way: what is left will be noticed again.
    mutating func begin(_ damaged: Range<UInt64>) {
        guard range == nil, !damaged.isEmpty else { return }
        range = damaged
        askAt = 0
    }

    mutating func end() { range = nil }

    /// Whom to ask now, and for what. Nil: nobody.
    mutating func ask(_ others: [ReplicaID], _ times: ReplicaTimes, now: UInt64) -> (ReplicaID, Range<UInt64>)? {
        guard let range, now >= askAt, !others.isEmpty else { return nil }
        askAt = now + times.retry
        turn += 1
        return (others[turn % others.count], range.lowerBound..<min(range.upperBound, range.lowerBound + times.read))
    }

    /// How many of the bytes, which have come for the range, are whole frames of this journal at their places.
    static func soundBytes(_ bytes: UnsafeRawBufferPointer, at position: UInt64, of journal: JournalIdentity) -> Int {
        var sound = 0
        while bytes.count - sound >= Frame.headerBytes {
            let read = FrameHeader.read(
                at: bytes.baseAddress! + sound, available: bytes.count - sound, position: position + UInt64(sound), of: journal)
            guard case .success(let header) = read, Frame.stride(Int(header.length)) <= bytes.count - sound else { break }
            sound += Frame.stride(Int(header.length))
        }
        return sound
    }
}
