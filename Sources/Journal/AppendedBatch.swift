/// A frame that the write stage has put into the journal, and that the read stage is to know of: a batch with its index entry,
/// or a new log start, whose offset is the entry's base offset.
public struct AppendedBatch: BitwiseCopyable, Sendable {
    public var entry: IndexEntry
    public var partition: UInt32
    public var kind: FrameKind

    public init(entry: IndexEntry, partition: UInt32, kind: FrameKind = .batch) {
        self.entry = entry
        self.partition = partition
        self.kind = kind
    }
}

/// A partition's log is to start at the offset: what is before is deleted.
public struct LogStartRequest: BitwiseCopyable, Sendable {
    public var partition: UInt32
    public var offset: Int64

    public init(partition: UInt32, offset: Int64) {
        self.partition = partition
        self.offset = offset
    }
}
