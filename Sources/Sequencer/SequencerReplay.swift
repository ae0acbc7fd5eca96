import Journal

/// Makes the write stage's state again from the journal.
public final class SequencerReplay: JournalReplay {
    public private(set) var state: SequencerState
    private let producerLimit: Int

    /// - Parameter producerLimit: how many (producer, partition) pairs are remembered.
    public init(producerLimit: Int) {
        self.producerLimit = producerLimit
        state = SequencerState(producerLimit: producerLimit)
    }

    public func restore(_ bytes: [UInt8]) -> Bool {
        guard let restored = SequencerState(decoding: bytes, producerLimit: producerLimit) else { return false }
        state = restored
        return true
    }

    public func apply(_ header: FrameHeader, batch: UnsafeRawPointer, isKnown: Bool) -> IndexEntry {
        isKnown ? SequencerState.entry(header, batch: batch) : state.apply(header, batch: batch)
    }

    public var offsets: [Int64] { state.offsets }

    public func encode() -> [UInt8] { state.encode() }
}
