// Unsafe on purpose: this file owns raw memory that lives as long as its class.

import CIO

/// A receive buffer in the form of a ring whose memory is mapped twice in a row: whatever range of the stream it holds
/// lies in one piece, so a frame is never put together from two.
public final class MirroredBuffer {
    public let base: UnsafeMutableRawPointer
    public let capacity: Int

    /// Nil where the host has no memory or no more mappings to give. The capacity is rounded up to whole pages.
    public init?(capacity: Int) {
        let whole = Int(alignedUp(UInt64(capacity)))
        guard let base = hutong_mirror_create(whole) else { return nil }
        self.base = base
        self.capacity = whole
    }

    deinit { hutong_mirror_destroy(base, capacity) }

    /// Where the stream's byte number `position` lies.
    @inlinable
    public func pointer(_ position: Int) -> UnsafeMutableRawPointer { base + position % capacity }
}

/// Memory aligned for direct files.
public final class AlignedBuffer {
    public let base: UnsafeMutableRawPointer
    public let count: Int

    public init(count: Int) {
        self.count = Int(alignedUp(UInt64(max(count, 1))))
        base = .allocate(byteCount: self.count, alignment: directAlignment)
        base.initializeMemory(as: UInt8.self, repeating: 0, count: self.count)
    }

    /// Memory that is to be filled before it is read.
    public init(uninitialized count: Int) {
        self.count = Int(alignedUp(UInt64(max(count, 1))))
        base = .allocate(byteCount: self.count, alignment: directAlignment)
    }

    deinit { base.deallocate() }
}
