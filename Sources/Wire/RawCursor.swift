// Unsafe on purpose: the record paths of Produce and Fetch read raw bytes, several times faster than through spans. Every
// read is checked against the end; one that would pass it yields zero and marks the cursor as failed, for the caller to
// ask once where a structure ends instead of after each field.

/// Reads Kafka's primitive types from raw bytes. Nothing that the bytes say can make it read outside them.
public struct RawCursor {
    public let base: UnsafeRawPointer
    public let end: Int
    /// How far it has read.
    public var offset: Int
    /// A read went past the end, or a length was impossible.
    public var failed = false

    @inlinable
    public init(_ base: UnsafeRawPointer, count: Int, offset: Int = 0) {
        self.base = base
        end = count
        self.offset = offset
    }

    public var remaining: Int { end - offset }

    @inlinable
    public mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) -> T {
        let size = MemoryLayout<T>.size
        guard end - offset >= size else {
            fail()
            return 0
        }
        let value = T(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: T.self))
        offset += size
        return value
    }

    /// An unsigned base-128 number of at most five bytes.
    @inlinable
    public mutating func unsignedVarint() -> UInt32 {
        var value: UInt32 = 0
        for shift in stride(from: UInt32(0), through: 28, by: 7) {
            let byte: UInt8 = integer()
            if failed { return 0 }
            if shift == 28 && byte > 0x0f { break }
            value |= UInt32(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return value }
        }
        fail()
        return 0
    }

    /// A signed base-128 number of at most ten bytes, in zig-zag order.
    @inlinable
    public mutating func varlong() -> Int64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), through: 63, by: 7) {
            let byte: UInt8 = integer()
            if failed { return 0 }
            if shift == 63 && byte > 1 { break }
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 { return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }
        }
        fail()
        return 0
    }

    /// A length: -1 means null. `compact`: a varint of the length plus one.
    @inlinable
    public mutating func length32(compact: Bool) -> Int {
        compact ? Int(unsignedVarint()) - 1 : Int(integer(Int32.self))
    }

    /// As `length32`, for strings, whose length takes two bytes where it isn't compact.
    @inlinable
    public mutating func length16(compact: Bool) -> Int {
        compact ? Int(unsignedVarint()) - 1 : Int(integer(Int16.self))
    }

    /// The next `count` bytes; a negative count is null, and fails unless allowed. Nil when null or failed.
    @inlinable
    public mutating func bytes(_ count: Int, nullable: Bool = false) -> UnsafeRawBufferPointer? {
        if count == -1 && nullable { return nil }
        guard count >= 0, count <= end - offset, !failed else {
            fail()
            return nil
        }
        defer { offset += count }
        return UnsafeRawBufferPointer(start: base + offset, count: count)
    }

    /// An array's count, which can't be more than there are bytes. Null is not allowed.
    @inlinable
    public mutating func arrayCount(compact: Bool) -> Int {
        let count = length32(compact: compact)
        guard count >= 0, count <= end - offset else {
            fail()
            return 0
        }
        return count
    }

    /// Skips a structure's tagged fields.
    @inlinable
    public mutating func skipTags(_ flexible: Bool) {
        guard flexible else { return }
        let count = unsignedVarint()
        guard count <= end - offset else { return fail() }
        for _ in 0..<count where !failed {
            _ = unsignedVarint()
            _ = bytes(Int(unsignedVarint()))
        }
    }

    /// Marks it as failed: the caller found the bytes impossible.
    @inlinable
    public mutating func fail() {
        failed = true
        offset = end
    }
}
