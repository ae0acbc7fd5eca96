// Unsafe on purpose: payloads are written and read in place, within their checked lengths.

/// The payload of the frame with which an epoch begins, little endian: format 1 (4), the leader's node id (4), the position
/// of the frame, which is where the epoch starts (8), zeros (16).
public struct EpochFrame: Sendable {
    public var nodeId: Int32
    public var start: UInt64

    public init(nodeId: Int32, start: UInt64) {
        self.nodeId = nodeId
        self.start = start
    }

    public func encode() -> [UInt8] {
        var bytes: [UInt8] = []
        func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
        put(UInt32(1))
        put(nodeId)
        put(start)
        put(UInt64(0))
        put(UInt64(0))
        return bytes
    }
}

/// The payload of a frame that moves a partition's log start, little endian: format 1 (4), zeros (4), the offset of the first
/// record that is still there (8).
public struct LogStartFrame: Sendable {
    public static let bytes = 16
    public var offset: Int64

    public init(offset: Int64) { self.offset = offset }

    public func write(at base: UnsafeMutableRawPointer) {
        base.storeBytes(of: UInt32(1).littleEndian, as: UInt32.self)
        base.storeBytes(of: 0, toByteOffset: 4, as: UInt32.self)
        base.storeBytes(of: offset.littleEndian, toByteOffset: 8, as: Int64.self)
    }

    /// Nil where the payload is of another format.
    public init?(_ payload: UnsafeRawPointer, count: Int) {
        guard count == LogStartFrame.bytes, UInt32(littleEndian: payload.loadUnaligned(as: UInt32.self)) == 1 else { return nil }
        offset = Int64(littleEndian: payload.loadUnaligned(fromByteOffset: 8, as: Int64.self))
    }
}
