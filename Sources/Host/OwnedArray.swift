// Unsafe on purpose: it owns raw memory for elements that can't be copied.

/// A list of elements that can't be copied, such as the ends of channels; its capacity is fixed when it is made.
///
/// swift-collections has its like (`UniqueArray`), but its module can't be compiled with the thread sanitizer in release by
/// Swift 6.3.1 (the compiler's verifier stops), and without that sanitizer the channels can't be trusted.
public struct OwnedArray<Element: ~Copyable>: ~Copyable {
    private let elements: UnsafeMutablePointer<Element>
    private let capacity: Int
    public private(set) var count = 0

    public init(minimumCapacity: Int) {
        capacity = max(minimumCapacity, 1)
        elements = .allocate(capacity: capacity)
    }

    deinit {
        elements.deinitialize(count: count)
        elements.deallocate()
    }

    public mutating func append(_ element: consuming Element) {
        precondition(count < capacity, "the capacity is fixed")
        (elements + count).initialize(to: element)
        count += 1
    }

    public subscript(index: Int) -> Element {
        unsafeAddress {
            precondition(index >= 0 && index < count, "out of bounds")
            return UnsafePointer(elements + index)
        }
        unsafeMutableAddress {
            precondition(index >= 0 && index < count, "out of bounds")
            return elements + index
        }
    }
}

extension OwnedArray: @unchecked Sendable where Element: Sendable & ~Copyable {}
