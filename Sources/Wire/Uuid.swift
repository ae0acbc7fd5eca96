/// A 16-byte id, as topics have since Metadata 10 (KIP-516).
public struct Uuid: Hashable, Sendable {
    public var high: UInt64
    public var low: UInt64

    /// The id of nothing.
    public static let zero = Uuid(high: 0, low: 0)

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A random id of version 4 (RFC 9562). It is neither ``zero`` nor 1, which Kafka keeps for its metadata topic.
    public static func random() -> Uuid {
        var generator = SystemRandomNumberGenerator()
        return random(using: &generator)
    }

    /// As ``random()``, from a generator of the caller's, so that a simulated run can be repeated.
    public static func random(using generator: inout some RandomNumberGenerator) -> Uuid {
        Uuid(
            high: generator.next() & ~0xf000 | 0x4000,
            low: generator.next() & ~(3 << 62) | (2 << 62))
    }
}

extension Uuid: CustomStringConvertible {
    /// The text form of Kafka's tools: 22 characters of base64url (RFC 4648, section 5) without padding.
    public var description: String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        let bytes = [high, low].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) } }
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << (8 * UInt32(3 - group.count))
            for index in 0...group.count {
                text.append(alphabet[Int(bits >> (18 - 6 * UInt32(index)) & 63)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
