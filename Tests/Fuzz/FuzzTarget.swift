import TestSupport

/// A decoder with good inputs to start from, and what must hold whatever it is fed.
final class FuzzTarget {
    let name: String
    /// Its share of the inputs, against the others'.
    let weight: Int
    private let samples: [[UInt8]]
    /// Makes checksums right again behind a change, or half of all changes would test nothing but the checksum.
    private let mend: ((inout [UInt8]) -> Void)?
    /// Feeds the decoder. Returns whether it took the input for a good one.
    let check: (UnsafeRawBufferPointer) throws -> Bool

    init(
        _ name: String, weight: Int = 10, samples: [[UInt8]], mend: ((inout [UInt8]) -> Void)? = nil,
        check: @escaping (UnsafeRawBufferPointer) throws -> Bool
    ) {
        precondition(!samples.isEmpty, "every target has a good input to start from")
        self.name = name
        self.weight = weight
        self.samples = samples
        self.mend = mend
        self.check = check
    }

    /// Input number `number`: the samples themselves first, then damaged ones, pieces of two together, and noise.
    func input(number: Int, seed: UInt64) -> [UInt8] {
        if number < samples.count { return samples[number] }
        var random = SeededRandom(seed: seed &* 0x9e37_79b9_7f4a_7c15 &+ UInt64(number))
        var bytes = samples[random.below(samples.count)]
        switch random.below(16) {
        case 0: return random.bytes(random.below(200))
        case 1: bytes = spliced(bytes, samples[random.below(samples.count)], &random)
        case 2...5: setLength(&bytes, &random)
        case 6:
            setLength(&bytes, &random)
            bytes = bytes.mutated(using: &random)
        default: bytes = bytes.mutated(using: &random)
        }
        if let mend, random.below(4) > 0 { mend(&bytes) }
        return bytes
    }

    private func spliced(_ head: [UInt8], _ tail: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        head.prefix(random.below(head.count + 1)) + tail.suffix(random.below(tail.count + 1))
    }

    /// Writes a number at which lengths and counts go wrong somewhere: 1, 2, 4 or 8 bytes, either end first, or a varint.
    private func setLength(_ bytes: inout [UInt8], _ random: inout SeededRandom) {
        guard !bytes.isEmpty else { return }
        let at = random.below(bytes.count)
        let left = Int64(bytes.count - at)
        let values: [Int64] = [
            0, 1, -1, -2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, .max, .min, left, left - 1,
            left + 1, left - 4, left - 8, 61, 64,
        ]
        let value = values[random.below(values.count)]
        var encoded: [UInt8] = []
        switch random.below(5) {
        case 0: encoded = [UInt8(truncatingIfNeeded: value)]
        case 1: encoded = withUnsafeBytes(of: Int16(truncatingIfNeeded: value).bigEndian) { Array($0) }
        case 2: encoded = withUnsafeBytes(of: Int32(truncatingIfNeeded: value).bigEndian) { Array($0) }
        case 3: encoded = withUnsafeBytes(of: value.bigEndian) { Array($0) }
        default:
            var rest = UInt64(bitPattern: value)
            repeat {
                encoded.append(UInt8(rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
                rest >>= 7
            } while rest > 0
        }
        if random.below(2) == 0 { encoded.reverse() }
        for (offset, byte) in encoded.enumerated() where at + offset < bytes.count { bytes[at + offset] = byte }
    }
}

/// Every target there is.
func allTargets() throws -> [FuzzTarget] {
    try frameTargets() + messageTargets() + versionedTargets() + produceTargets() + recordTargets() + compressionTargets() + journalTargets() + peerTargets()
}
