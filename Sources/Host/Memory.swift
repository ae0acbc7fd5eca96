// Unsafe on purpose: this file owns raw memory that lives as long as its class.

import CHost

/// A block of page-aligned zeroed memory, on one NUMA node where that is asked for.
public final class NodeMemory: @unchecked Sendable {
    public let base: UnsafeMutableRawPointer
    public let count: Int

    /// Nil where the host has no such memory to give.
    public init?(count: Int, node: Int?) {
        guard let base = hutong_allocate_on_node(count, Int32(node ?? -1)) else { return nil }
        self.base = base
        self.count = count
    }

    deinit { hutong_free_on_node(base, count) }

    /// Has the kernel provide all of it soon, in the background, instead of at the first touch of each page. It must outlive that.
    public func populate() { hutong_populate_memory(base, count) }

    /// Locks it against paging. Returns 0 or a negative errno.
    public func lock() -> Int32 { hutong_lock_memory(base, count) }
}
