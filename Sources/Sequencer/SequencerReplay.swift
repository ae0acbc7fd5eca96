import Journal

/// Makes the write stage's state again from the journal.
public final class SequencerReplay: JournalReplay {
    public private(set) var state: SequencerState
    private let producerLimit: Int

    private let partitions: UInt32

    /// - Parameters:
    ///   - producerLimit: how many (producer, partition) pairs are remembered.
    ///   - partitions: how many partition numbers the group has given out.
    public init(producerLimit: Int, partitions: UInt32) {
        self.producerLimit = producerLimit
        self.partitions = partitions
        state = SequencerState(producerLimit: producerLimit)
    }

    public func restore(_ bytes: [UInt8]) -> Bool {
        guard let restored = SequencerState(decoding: bytes, producerLimit: producerLimit) else { return false }
        state = restored
        return true
    }

    public func apply(_ header: FrameHeader, payload: UnsafeRawPointer) -> IndexEntry? {
        state.apply(header, payload: payload)
    }

    public func damaged(_ range: Range<UInt64>) { state.noteDamage(range, partitions: partitions) }

    public func finish() { state.skipLostOffsets() }

    public var offsets: [Int64] { state.offsets }
    public var starts: [Int64] { state.starts }

    public func encode() -> [UInt8] { state.encode() }
}
