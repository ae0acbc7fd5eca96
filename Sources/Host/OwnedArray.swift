// Unsafe on purpose: it owns raw memory for elements that can't be copied.

/// A list of elements that can't be copied, such as the ends of channels; or of elements that can, where a hot path can't pay for
/// asking at each access whether the list has another owner.
///
/// swift-collections has its like (`UniqueArray`), but its module can't be compiled with the thread sanitizer in release by
/// Swift 6.3.1 (the compiler's verifier stops), and without that sanitizer the channels can't be trusted.
@frozen
public struct OwnedArray<Element: ~Copyable>: ~Copyable {
    @usableFromInline var elements: UnsafeMutablePointer<Element>
    @usableFromInline var capacity: Int
    @usableFromInline var used = 0

    @inlinable
    public var count: Int { used }

    public init(minimumCapacity: Int = 1) {
        capacity = max(minimumCapacity, 1)
        elements = .allocate(capacity: capacity)
    }

    deinit {
        elements.deinitialize(count: used)
        elements.deallocate()
    }

    @inlinable
    public mutating func append(_ element: consuming Element) {
        if used == capacity { grow() }
        (elements + used).initialize(to: element)
        used += 1
    }

    /// Takes an element out; the last one takes its place.
    @inlinable
    public mutating func remove(_ index: Int) -> Element {
        let element = pointer(index).move()
        used -= 1
        if index < used { (elements + index).moveInitialize(from: elements + used, count: 1) }
        return element
    }

    @inlinable
    public mutating func forEach(_ body: (inout Element) throws -> Void) rethrows {
        for index in 0..<used { try body(&elements[index]) }
    }

    /// Leaves it empty, with the memory that it has.
    @inlinable
    public mutating func removeAll() {
        elements.deinitialize(count: used)
        used = 0
    }

    @inlinable
    public subscript(index: Int) -> Element {
        @inline(__always) unsafeAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: used), "out of bounds")
            return UnsafePointer(elements + index)
        }
        @inline(__always) unsafeMutableAddress {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: used), "out of bounds")
            return elements + index
        }
    }

    /// Where an element is, until the list grows.
    @inlinable @inline(__always)
    public mutating func pointer(_ index: Int) -> UnsafeMutablePointer<Element> {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: used), "out of bounds")
        return elements + index
    }

    @usableFromInline
    mutating func grow() {
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: 2 * capacity)
        larger.moveInitialize(from: elements, count: used)
        elements.deallocate()
        elements = larger
        capacity *= 2
    }
}

extension OwnedArray where Element: Copyable {
    /// At least so many elements; those that it lacks are like that one.
    @inlinable
    public mutating func extend(to count: Int, with element: Element) {
        while used < count { append(element) }
    }
}

extension OwnedArray: @unchecked Sendable where Element: Sendable & ~Copyable {}
