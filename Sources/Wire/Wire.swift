/// Reads or writes the fields of a Kafka message, so that one declaration serves both directions.
///
/// A ``WireStruct`` hands its fields over in their order, each with the versions that have it. A reading wire fills them in
/// from bytes, a writing one appends them. Field types and encodings are those of the protocol guide's "Protocol Primitive
/// Types"; flexible versions (KIP-482) are written with compact lengths and tagged fields.
///
/// What is read comes from outside: every length is checked against the bytes that remain before anything is allocated, and
/// the elements of all arrays of one message are counted, so that a small request cannot ask for much memory.
///
/// The bytes being read are borrowed through a raw pointer, for a wire lives only within the call that was given them.
public struct Wire: ~Copyable {
    /// The API version whose fields are read or written.
    public let version: Int16
    /// Whether this version has compact lengths and tagged fields.
    public let isFlexible: Bool
    let isReading: Bool

    private let input: UnsafeRawBufferPointer
    /// Where reading stands, in bytes from the start of the input.
    private(set) var position = 0
    /// Where what may be read ends: the input's end, or that of the sized part being read.
    private var end: Int
    var output: [UInt8] = []
    private var elementsLeft: Int

    /// The most elements that all arrays of one message may have together. Far above what clients send in one request
    /// (a request for 100,000 partitions has about as many), far below what would hurt.
    public static let maxElements = 1_000_000

    /// A wire that reads these bytes, which must stay valid and unchanged while it lives.
    public init(reading input: UnsafeRawBufferPointer, version: Int16, isFlexible: Bool, maxElements: Int = Wire.maxElements) {
        self.version = version
        self.isFlexible = isFlexible
        self.isReading = true
        self.input = input
        self.end = input.count
        self.elementsLeft = maxElements
    }

    /// A wire that writes.
    public init(writing version: Int16, isFlexible: Bool) {
        self.version = version
        self.isFlexible = isFlexible
        self.isReading = false
        self.input = UnsafeRawBufferPointer(start: nil, count: 0)
        self.end = 0
        self.elementsLeft = 0
    }

    /// Bytes that have not been read yet.
    var remaining: Int { end - position }

    /// Throws if bytes are left: then the sender's idea of the message is not ours.
    func finish() throws(WireError) {
        guard remaining == 0 else { throw WireError("\(remaining) bytes follow the message's end") }
    }
}

// MARK: - Primitives

extension Wire {
    /// The next bytes of the input, as a view that is valid as long as the input.
    mutating func take(_ count: Int) throws(WireError) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= remaining else {
            throw WireError("\(count) bytes wanted at byte \(position), but \(remaining) remain")
        }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: input[position..<position + count])
    }

    /// A big-endian integer of fixed width.
    mutating func integer<T: FixedWidthInteger>(_ value: inout T) throws(WireError) {
        if isReading {
            value = T(bigEndian: try take(MemoryLayout<T>.size).loadUnaligned(as: T.self))
        } else {
            withUnsafeBytes(of: value.bigEndian) { output.append(contentsOf: $0) }
        }
    }

    /// An unsigned integer in groups of seven bits, the lowest first.
    mutating func unsignedVarint<T: FixedWidthInteger & UnsignedInteger>(_ value: inout T) throws(WireError) {
        guard isReading else {
            var rest = value
            while rest >= 0x80 {
                output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
                rest >>= 7
            }
            output.append(UInt8(truncatingIfNeeded: rest))
            return
        }
        value = 0
        var shift = 0
        while true {
            let byte = try take(1)[0]
            let bits = T(byte & 0x7f)
            guard shift < T.bitWidth, (bits << shift) >> shift == bits else {
                throw WireError("a varint before byte \(position) has more than \(T.bitWidth) bits")
            }
            value |= bits << shift
            guard byte >= 0x80 else { return }
            shift += 7
        }
    }

    /// Reads or writes the count before a string, bytes or an array; nil stands for null.
    ///
    /// - Parameters:
    ///   - short: whether the count has two bytes, not four, in versions that are not flexible (strings).
    ///   - unit: the least number of bytes that each counted thing takes.
    mutating func count(_ count: inout Int?, short: Bool = false, unit: Int = 1) throws(WireError) {
        var wide: Int64 = count.map { Int64($0) } ?? -1
        if !isReading { try checkCount(wide, short: short) }
        if isFlexible {
            var raw = UInt32(truncatingIfNeeded: wide + 1)
            try unsignedVarint(&raw)
            wide = Int64(raw) - 1
        } else if short {
            var raw = Int16(truncatingIfNeeded: wide)
            try integer(&raw)
            wide = Int64(raw)
        } else {
            var raw = Int32(truncatingIfNeeded: wide)
            try integer(&raw)
            wide = Int64(raw)
        }
        guard isReading else { return }
        try checkRemaining(wide, unit: unit)
        count = wide < 0 ? nil : Int(wide)
    }

    /// Throws if a count that was read is negative (other than null's -1) or promises more than the bytes that remain.
    func checkRemaining(_ count: Int64, unit: Int) throws(WireError) {
        guard count >= -1, count <= Int64(remaining / unit) else {
            throw WireError("a count of \(count) before byte \(position), but \(remaining) bytes remain")
        }
    }

    private func checkCount(_ count: Int64, short: Bool) throws(WireError) {
        let most = short ? Int64(Int16.max) : Int64(Int32.max) - 1
        guard count <= most else { throw WireError("\(count) is too long: at most \(most) can be written") }
    }

    /// Takes an array's elements from what one message may have.
    mutating func spendElements(_ count: Int) throws(WireError) {
        guard count <= elementsLeft else {
            throw WireError("an array of \(count) elements before byte \(position) is more than one message may have")
        }
        elementsLeft -= count
    }

    /// Runs `body` over a part whose size in bytes comes before it, encoded by `size`. When reading, the body must read
    /// exactly that many bytes.
    mutating func sized(
        _ size: (inout Wire, inout Int) throws(WireError) -> Void, _ body: (inout Wire) throws(WireError) -> Void
    ) throws(WireError) {
        if isReading {
            var count = 0
            try size(&self, &count)
            guard count >= 0, count <= remaining else {
                throw WireError("a part of \(count) bytes before byte \(position), but \(remaining) remain")
            }
            let outerEnd = end
            end = position + count
            try body(&self)
            try finish()
            end = outerEnd
        } else {
            var outer: [UInt8] = []
            swap(&outer, &output)
            try body(&self)
            swap(&outer, &output)
            var count = outer.count
            try size(&self, &count)
            output.append(contentsOf: outer)
        }
    }
}
