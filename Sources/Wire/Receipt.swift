/// A tagged field of Hutong's own: in a request's header it asks for a receipt, in Produce's response it is one. Kafka counts its tags up from 0; nobody
/// else is sent this one, and brokers that do not know it ignore it (KIP-482).
public enum ReceiptTag {
    public static let number: UInt32 = 10_001
}

/// What became of a produced batch, and when: nanoseconds from when its request was read by the broker. -1: not known, or not yet when the answer left.
public struct Receipt: WireStruct, Equatable {
    /// Where the batch's frame ends in its partition group's journal.
    public var position: Int64 = -1
    /// It had its offset and lay in the journal cache.
    public var journaled: Int64 = -1
    /// It was on the leader's stable storage.
    public var flushed: Int64 = -1
    /// A majority had it in memory.
    public var replicated: Int64 = -1
    /// A majority had it on stable storage: consumers see it.
    public var committed: Int64 = -1
    /// Its answer was handed to the kernel.
    public var answered: Int64 = -1

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int64(&position)
        try wire.int64(&journaled)
        try wire.int64(&flushed)
        try wire.int64(&replicated)
        try wire.int64(&committed)
        try wire.int64(&answered)
        try wire.tags()
    }

    /// Puts the receipt into the frame of a Produce response (v9 or later) that ends without tagged fields.
    public func add(to frame: inout [UInt8]) {
        var payload: [UInt8] = []
        for value in [position, journaled, flushed, replicated, committed, answered] { Frame.append(value, to: &payload) }
        payload.append(0)
        precondition(frame.last == 0 && payload.count < 0x80, "a frame without tags, and a length of one byte")
        frame[frame.count - 1] = 1
        // The tag is a varint of two bytes.
        frame += [UInt8(ReceiptTag.number & 0x7f | 0x80), UInt8(ReceiptTag.number >> 7), UInt8(payload.count)] + payload
        let length = Int32(frame.count - Frame.prefix)
        withUnsafeBytes(of: length.bigEndian) { frame.replaceSubrange(0..<Frame.prefix, with: $0) }
    }
}
