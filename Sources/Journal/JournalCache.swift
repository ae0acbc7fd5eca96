// Unsafe on purpose: the journal's memory is written by the write stage and read by flush, replicate and read stages at the
// same time. What makes it sound: bytes below the appended position don't change while their segment is loaded, readers
// stay below it, and a slot is given to another segment only when nobody pins it.

import Host
import Synchronization

/// A segment of the journal with a place in memory: what the loader hands to the writer, the writer to flush, flush back
/// to the loader.
public struct LoadedSegment: BitwiseCopyable, Sendable {
    /// Its number: position divided by the segments' size.
    public var number: UInt64
    /// Its slot in the cache.
    public var slot: Int32
    /// Its open file.
    public var file: Int32

    public init(number: UInt64, slot: Int32, file: Int32) {
        self.number = number
        self.slot = slot
        self.file = file
    }
}

/// The journal's memory: a fixed number of slots, each of which holds one whole segment. The newest segments are here, so
/// that flush, followers and most readers never touch the disk for them.
public final class JournalCache: @unchecked Sendable {
    public let segmentBytes: Int
    public let slotCount: Int
    private let memory: NodeMemory
    private let slots: UnsafeMutablePointer<Slot>

    struct Slot: ~Copyable {
        /// The segment's number plus one; 0: none.
        let tenant = Atomic<UInt64>(0)
        let pins = Atomic<Int>(0)
        private let padding: (Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int) =
            (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    }

    /// Nil where the host has not that much memory.
    public init?(segmentBytes: Int, slots count: Int, node: Int?) {
        precondition(count >= 3, "one slot is written, one flushed, one made ready")
        guard let memory = NodeMemory(count: segmentBytes * count, node: node) else { return nil }
        self.memory = memory
        self.segmentBytes = segmentBytes
        slotCount = count
        slots = .allocate(capacity: count)
        for slot in 0..<count { (slots + slot).initialize(to: Slot()) }
    }

    deinit {
        slots.deinitialize(count: slotCount)
        slots.deallocate()
    }

    /// Has the kernel provide the memory now, in the background, so that the writer does not wait for it. The cache must be kept.
    public func populate() { memory.populate() }

    /// Locks the memory against paging. Returns 0 or a negative errno.
    public func lock() -> Int32 { memory.lock() }

    public func base(slot: Int32) -> UnsafeMutableRawPointer {
        precondition(slot >= 0 && slot < slotCount, "no such slot")
        return memory.base + Int(slot) * segmentBytes
    }

    /// The number of the segment that holds the position.
    public func segment(of position: UInt64) -> UInt64 { position / UInt64(segmentBytes) }

    public func offset(of position: UInt64) -> Int { Int(position % UInt64(segmentBytes)) }

    // MARK: The loader's side

    /// From here on the slot is the segment's, and readers find it.
    func admit(_ number: UInt64, slot: Int32) { slots[Int(slot)].tenant.store(number + 1, ordering: .sequentiallyConsistent) }

    /// From here on no reader finds the segment; those that pinned it before go on.
    func evict(slot: Int32) { slots[Int(slot)].tenant.store(0, ordering: .sequentiallyConsistent) }

    /// Whether a reader still uses the slot's memory. After `evict` it is final when false.
    func isPinned(slot: Int32) -> Bool { slots[Int(slot)].pins.load(ordering: .sequentiallyConsistent) > 0 }

    /// No reader finds anything any more.
    func evictAll() { for slot in 0..<Int32(slotCount) { evict(slot: slot) } }

    // MARK: The readers' side

    /// Keeps the segment's memory as it is until `unpin`, and tells its slot; nil where it is not loaded. Never waits.
    public func pin(segment number: UInt64) -> Int32? {
        for slot in 0..<slotCount where slots[slot].tenant.load(ordering: .acquiring) == number + 1 {
            slots[slot].pins.add(1, ordering: .sequentiallyConsistent)
            // The loader may have taken it away between the look and the pin.
            if slots[slot].tenant.load(ordering: .sequentiallyConsistent) == number + 1 { return Int32(slot) }
            slots[slot].pins.subtract(1, ordering: .sequentiallyConsistent)
        }
        return nil
    }

    /// Whether there is a slot that nobody has pinned.
    public var hasUnpinnedSlot: Bool { (0..<slotCount).contains { slots[$0].pins.load(ordering: .relaxed) == 0 } }

    /// How many slots are pinned now.
    public var pinnedSlots: Int {
        (0..<slotCount).reduce(0) { $0 + (slots[$1].pins.load(ordering: .relaxed) > 0 ? 1 : 0) }
    }

    /// How many slots sends may keep pinned: so many that the writer, flush and the loader always have theirs.
    public var pinnableSlots: Int { max(slotCount - 4, 0) }

    public func unpin(slot: Int32) { slots[Int(slot)].pins.subtract(1, ordering: .releasing) }
}
