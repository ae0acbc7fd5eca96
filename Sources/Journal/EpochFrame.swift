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
