// Unsafe on purpose: it points at bytes that came from another broker and that stay in place until the order is given back.

/// What the replicate stage wants of the write stage.
public struct WriteOrder: BitwiseCopyable {
    public enum Kind: UInt8, BitwiseCopyable {
        /// Whole frames of the leader's, checked, go to the journal's end.
        case take
        /// The epoch begins here: its frame is appended, and then what producers send.
        case lead
        /// The epoch is over: what is pending is void, and nothing is appended any more.
        case stop
    }

    public var kind: Kind
    public var epoch: UInt32
    /// Of `take`: the frames, and the position of the first.
    public var bytes: UnsafeRawPointer?
    public var count: Int
    public var position: UInt64

    private init(kind: Kind, epoch: UInt32, bytes: UnsafeRawPointer?, count: Int, position: UInt64) {
        self.kind = kind
        self.epoch = epoch
        self.bytes = bytes
        self.count = count
        self.position = position
    }

    public static func take(_ bytes: UnsafeRawPointer, count: Int, position: UInt64) -> WriteOrder {
        WriteOrder(kind: .take, epoch: 0, bytes: bytes, count: count, position: position)
    }

    public static func lead(epoch: UInt32) -> WriteOrder { WriteOrder(kind: .lead, epoch: epoch, bytes: nil, count: 0, position: 0) }
    public static func stop(epoch: UInt32) -> WriteOrder { WriteOrder(kind: .stop, epoch: epoch, bytes: nil, count: 0, position: 0) }
}
