/// A batch that the write stage has put into the journal: one entry for the index, on its way to the read stage.
public struct AppendedBatch: BitwiseCopyable, Sendable {
    public var entry: IndexEntry
    public var partition: UInt32

    public init(entry: IndexEntry, partition: UInt32) {
        self.entry = entry
        self.partition = partition
    }
}
