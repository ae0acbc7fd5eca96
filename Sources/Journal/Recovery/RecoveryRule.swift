/// What stands where the journal's next frame should begin.
public enum Finding: String, CaseIterable, Sendable {
    /// A sound frame, of this place, in the chain, and of the right epoch.
    case frame
    /// A sound frame of this place that is not in the chain, or of an epoch that was over here: what an earlier life had cut
    /// off, which a lost write has left.
    case foreign
    /// What says that it belongs elsewhere: a recycled segment's old content, or a misdirected write.
    case otherPlace
    /// No frame: zeros of a new segment, or anything else.
    case nothing
    /// A frame's beginning, but a checksum or length that does not fit: torn, or rotten.
    case broken
    /// The drive can't read it.
    case unreadable
    /// A sound frame of a kind that this version does not know.
    case laterVersion
}

/// What recovery does about a finding.
public enum Verdict: String, Sendable {
    /// It belongs to the journal.
    case take
    /// Acknowledged data is damaged: the range to the next sound frame is refused to readers, the rest is served.
    case damaged
    /// The journal ends here. Nothing was lost: what stands here was never part of it.
    case end
    /// The journal ends here, and what was being written when it stopped is cut off. It had not been promised to anyone.
    case cutOff
    /// The start is refused, with nothing changed.
    case refuse
}

/// Recovery's decisions, as a table: by what is found, and by whether the place lies below the greatest position that is known
/// to have been on stable storage.
public enum RecoveryRule {
    public static func verdict(_ finding: Finding, isDurable: Bool) -> Verdict {
        switch finding {
        case .frame: .take
        case .laterVersion: .refuse
        case .foreign, .otherPlace, .nothing: isDurable ? .damaged : .end
        case .broken, .unreadable: isDurable ? .damaged : .cutOff
        }
    }
}

/// Where each epoch of a partition group began: its leader recorded it before the epoch's first frame.
public struct EpochHistory: Sendable {
    public struct Start: Sendable, Hashable, Codable {
        public var epoch: UInt32
        public var position: UInt64

        public init(epoch: UInt32, position: UInt64) {
            self.epoch = epoch
            self.position = position
        }
    }

    /// Ascending.
    public let starts: [Start]

    public init(_ starts: [Start] = []) { self.starts = starts }

    /// The least epoch that a frame at that position can be of.
    public func least(at position: UInt64) -> UInt32 {
        let behind = starts.firstIndex(bisecting: { $0.position > position })
        return behind > 0 ? starts[behind - 1].epoch : 0
    }
}
