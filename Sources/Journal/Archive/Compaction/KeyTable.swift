// Unsafe on purpose: a table of fixed size in memory that is zeroed by the kernel as it is touched; every access is within its capacity.

import Glibc

/// The greatest offset of each key, as far as there is room. Of keys it keeps hashes of 128 bits, so that it takes as much for long keys as for short ones.
///
/// The hash is SipHash (Aumasson and Bernstein, "SipHash: a fast short-input PRF") with the process's own random key, twice, so that nobody outside can make two keys
/// that are taken for one; by chance that happens less often than a drive lies.
final class KeyTable {
    private struct Slot {
        var low: UInt64
        var high: UInt64
        /// One more than the offset; 0: the slot is free.
        var end: Int64
    }

    private static let least = 64

    /// For how many keys a table of at most so many bytes has room.
    static func room(bytes: Int) -> Int {
        var capacity = least
        while capacity * 2 * MemoryLayout<Slot>.stride <= bytes { capacity *= 2 }
        return capacity / 4 * 3
    }

    private let slots: UnsafeMutablePointer<Slot>
    private let mask: Int
    private let room: Int
    private(set) var count = 0

    /// - Parameter keys: for how many keys there is to be room, at least.
    init(keys: Int) {
        var capacity = KeyTable.least
        while capacity / 4 * 3 < keys { capacity *= 2 }
        mask = capacity - 1
        room = capacity / 4 * 3
        // Zeroed pages come when they are touched.
        guard let memory = calloc(capacity, MemoryLayout<Slot>.stride) else { preconditionFailure("no memory for the offsets of \(keys) keys") }
        slots = memory.bindMemory(to: Slot.self, capacity: capacity)
    }

    deinit { free(slots) }

    /// Whether as many keys more may come.
    func hasRoom(for keys: Int) -> Bool { count + keys <= room }

    /// The key has a record there, behind all that were noted before. There must be room.
    func note(_ key: UnsafeRawBufferPointer, offset: Int64) {
        let (low, high) = KeyTable.hash(key)
        let place = place(low, high)
        if slots[place].end == 0 {
            precondition(count < room, "there is room")
            count += 1
        }
        slots[place] = Slot(low: low, high: high, end: offset + 1)
    }

    /// The greatest offset of the key; nil: it was not noted.
    func latest(_ key: UnsafeRawBufferPointer) -> Int64? {
        let (low, high) = KeyTable.hash(key)
        let end = slots[place(low, high)].end
        return end == 0 ? nil : end - 1
    }

    private func place(_ low: UInt64, _ high: UInt64) -> Int {
        var place = Int(truncatingIfNeeded: low) & mask
        while slots[place].end != 0, slots[place].low != low || slots[place].high != high { place = (place + 1) & mask }
        return place
    }

    private static func hash(_ key: UnsafeRawBufferPointer) -> (UInt64, UInt64) {
        func half(_ number: UInt8) -> UInt64 {
            var hasher = Hasher()
            hasher.combine(number)
            hasher.combine(bytes: key)
            return UInt64(bitPattern: Int64(hasher.finalize()))
        }
        return (half(0), half(1))
    }
}
