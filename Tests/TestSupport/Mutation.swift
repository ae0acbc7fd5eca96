extension Array where Element == UInt8 {
    /// Bytes that nearly are these: one to three of changed, cut off, put in, taken out or moved.
    public func mutated(using random: inout SeededRandom) -> [UInt8] {
        var bytes = self
        for _ in 0...random.below(3) {
            guard !bytes.isEmpty else { return random.bytes(1 + random.below(8)) }
            let place = random.below(bytes.count)
            switch random.below(8) {
            case 0: bytes[place] ^= 1 << UInt8(random.below(8))
            case 1: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            // What lengths and varints are most easily got wrong by.
            case 2: bytes[place] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)]
            case 3: for at in place..<Swift.min(place + 4, bytes.count) { bytes[at] = 0xff }
            case 4: bytes.removeLast(bytes.count - place)
            case 5: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
            case 6: bytes.remove(at: place)
            default:
                let other = random.below(bytes.count)
                bytes.swapAt(place, other)
            }
        }
        return bytes
    }
}
