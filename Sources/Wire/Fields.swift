// The field types of the protocol. Each takes the versions that have the field; in others it keeps its value and no bytes
// are read or written for it, as with Kafka's ignorable fields.

extension Wire {
    public mutating func bool<V: RangeExpression<Int16>>(_ value: inout Bool, _ versions: V = Int16(0)...) throws(WireError) {
        guard versions.contains(version) else { return }
        var byte: UInt8 = value ? 1 : 0
        try integer(&byte)
        value = byte != 0
    }

    public mutating func int8<V: RangeExpression<Int16>>(_ value: inout Int8, _ versions: V = Int16(0)...) throws(WireError) {
        if versions.contains(version) { try integer(&value) }
    }

    public mutating func int16<V: RangeExpression<Int16>>(_ value: inout Int16, _ versions: V = Int16(0)...) throws(WireError) {
        if versions.contains(version) { try integer(&value) }
    }

    public mutating func int32<V: RangeExpression<Int16>>(_ value: inout Int32, _ versions: V = Int16(0)...) throws(WireError) {
        if versions.contains(version) { try integer(&value) }
    }

    public mutating func int64<V: RangeExpression<Int16>>(_ value: inout Int64, _ versions: V = Int16(0)...) throws(WireError) {
        if versions.contains(version) { try integer(&value) }
    }

    /// An error code; one that ``ErrorCode`` does not know is read as ``ErrorCode/unknownServerError``.
    public mutating func error<V: RangeExpression<Int16>>(
        _ value: inout ErrorCode, _ versions: V = Int16(0)...
    ) throws(WireError) {
        guard versions.contains(version) else { return }
        var code = value.rawValue
        try integer(&code)
        value = ErrorCode(rawValue: code) ?? .unknownServerError
    }

    public mutating func uuid<V: RangeExpression<Int16>>(_ value: inout Uuid, _ versions: V = Int16(0)...) throws(WireError) {
        guard versions.contains(version) else { return }
        try integer(&value.high)
        try integer(&value.low)
    }

    /// A signed integer in zig-zag encoding, so that small magnitudes are short.
    public mutating func varint(_ value: inout Int32) throws(WireError) {
        var raw = UInt32(bitPattern: (value << 1) ^ (value >> 31))
        try unsignedVarint(&raw)
        value = Int32(bitPattern: raw >> 1) ^ -Int32(bitPattern: raw & 1)
    }

    /// As ``varint(_:)``, of 64 bits.
    public mutating func varlong(_ value: inout Int64) throws(WireError) {
        var raw = UInt64(bitPattern: (value << 1) ^ (value >> 63))
        try unsignedVarint(&raw)
        value = Int64(bitPattern: raw >> 1) ^ -Int64(bitPattern: raw & 1)
    }
}

// MARK: - Strings and bytes

extension Wire {
    /// A string that is never null.
    public mutating func string<V: RangeExpression<Int16>>(
        _ value: inout String, _ versions: V = Int16(0)...
    ) throws(WireError) {
        guard versions.contains(version) else { return }
        var optional: String? = value
        try anyString(&optional)
        guard let optional else { throw WireError("null before byte \(position), where a string must be") }
        value = optional
    }

    /// A string that may be null in the versions `nullable` and must not be in the others.
    public mutating func nullableString<V: RangeExpression<Int16>, N: RangeExpression<Int16>>(
        _ value: inout String?, _ versions: V = Int16(0)..., nullable: N = Int16(0)...
    ) throws(WireError) {
        guard versions.contains(version) else { return }
        try anyString(&value)
        guard value != nil || nullable.contains(version) else {
            throw WireError("a null string, which version \(version) does not have")
        }
    }

    /// An array of strings that is never null.
    public mutating func stringArray<V: RangeExpression<Int16>>(
        _ value: inout [String], _ versions: V = Int16(0)...
    ) throws(WireError) {
        guard versions.contains(version) else { return }
        var optional: [String]? = value
        try elements(&optional) { wire, string throws(WireError) in try wire.string(&string) }
        guard let optional else { throw nullArray }
        value = optional
    }

    /// An array of strings that may be null.
    public mutating func nullableStringArray<V: RangeExpression<Int16>>(
        _ value: inout [String]?, _ versions: V = Int16(0)...
    ) throws(WireError) {
        guard versions.contains(version) else { return }
        try elements(&value) { wire, string throws(WireError) in try wire.string(&string) }
    }

    /// Bytes that are never null.
    public mutating func bytes<V: RangeExpression<Int16>>(
        _ value: inout [UInt8], _ versions: V = Int16(0)...
    ) throws(WireError) {
        guard versions.contains(version) else { return }
        var optional: [UInt8]? = value
        try anyBytes(&optional)
        guard let optional else { throw WireError("null before byte \(position), where bytes must be") }
        value = optional
    }

    /// Bytes that may be null.
    public mutating func nullableBytes<V: RangeExpression<Int16>>(
        _ value: inout [UInt8]?, _ versions: V = Int16(0)...
    ) throws(WireError) {
        if versions.contains(version) { try anyBytes(&value) }
    }

    /// Record batches as they are, which may be null. Encoded as bytes are; what they hold is ``RecordBatch``'s.
    public mutating func records<V: RangeExpression<Int16>>(
        _ value: inout [UInt8]?, _ versions: V = Int16(0)...
    ) throws(WireError) {
        try nullableBytes(&value, versions)
    }

    private mutating func anyString(_ value: inout String?) throws(WireError) {
        var count = value?.utf8.count
        try self.count(&count, short: true)
        if isReading {
            guard let count else { return value = nil }
            value = try utf8(count)
        } else if let value {
            output.append(contentsOf: value.utf8)
        }
    }

    private mutating func utf8(_ count: Int) throws(WireError) -> String {
        guard let string = String(validating: try take(count), as: UTF8.self) else {
            throw WireError("a string before byte \(position) is not UTF-8")
        }
        return string
    }

    private mutating func anyBytes(_ value: inout [UInt8]?) throws(WireError) {
        var count = value?.count
        try self.count(&count)
        if isReading {
            guard let count else { return value = nil }
            value = [UInt8](try take(count))
        } else if let value {
            output.append(contentsOf: value)
        }
    }
}

// MARK: - Inside of records

extension Wire {
    /// Bytes after a zig-zag varint of their length, -1 for null, as keys and values of records are.
    mutating func varBytes(_ value: inout [UInt8]?) throws(WireError) {
        guard let count = try varCount(value?.count) else { return value = nil }
        if isReading {
            value = [UInt8](try take(count))
        } else if let value {
            output.append(contentsOf: value)
        }
    }

    /// A string after a zig-zag varint of its length, never null, as the keys of records' headers are.
    mutating func varString(_ value: inout String) throws(WireError) {
        guard let count = try varCount(value.utf8.count) else { throw WireError("a record's header without a key") }
        if isReading {
            value = try utf8(count)
        } else {
            output.append(contentsOf: value.utf8)
        }
    }

    /// An array after a zig-zag varint of its count, never null, as the headers of records are.
    mutating func varArray<T: WireStruct>(_ value: inout [T]) throws(WireError) {
        guard let count = try varCount(value.count) else { throw WireError("a record with null headers") }
        try elements(&value, count: count) { wire, element throws(WireError) in try element.fields(&wire) }
    }

    /// Reads or writes a count as a zig-zag varint; nil stands for null.
    private mutating func varCount(_ count: Int?) throws(WireError) -> Int? {
        guard var raw = Int32(exactly: count ?? -1) else { throw WireError("more than 2 GiB in a record") }
        try varint(&raw)
        if isReading { try checkRemaining(Int64(raw), unit: 1) }
        return raw < 0 ? nil : Int(raw)
    }
}

// MARK: - Arrays

extension Wire {
    /// An array that is never null.
    public mutating func array<T: WireStruct, V: RangeExpression<Int16>>(
        _ value: inout [T], _ versions: V = Int16(0)...
    ) throws(WireError) {
        guard versions.contains(version) else { return }
        var optional: [T]? = value
        try anyArray(&optional)
        guard let optional else { throw nullArray }
        value = optional
    }

    /// An array that may be null in the versions `nullable` and must not be in the others.
    public mutating func nullableArray<T: WireStruct, V: RangeExpression<Int16>, N: RangeExpression<Int16>>(
        _ value: inout [T]?, _ versions: V = Int16(0)..., nullable: N = Int16(0)...
    ) throws(WireError) {
        guard versions.contains(version) else { return }
        try anyArray(&value)
        guard value != nil || nullable.contains(version) else { throw nullArray }
    }

    /// An array of 32-bit integers that is never null.
    public mutating func int32Array<V: RangeExpression<Int16>>(
        _ value: inout [Int32], _ versions: V = Int16(0)...
    ) throws(WireError) {
        guard versions.contains(version) else { return }
        var optional: [Int32]? = value
        try elements(&optional, unit: 4) { wire, element throws(WireError) in try wire.integer(&element) }
        guard let optional else { throw nullArray }
        value = optional
    }

    /// An array of 32-bit integers that may be null.
    public mutating func nullableInt32Array<V: RangeExpression<Int16>>(
        _ value: inout [Int32]?, _ versions: V = Int16(0)...
    ) throws(WireError) {
        guard versions.contains(version) else { return }
        try elements(&value, unit: 4) { wire, element throws(WireError) in try wire.integer(&element) }
    }

    private var nullArray: WireError { WireError("a null array before byte \(position), where version \(version) has none") }

    private mutating func anyArray<T: WireStruct>(_ value: inout [T]?) throws(WireError) {
        try elements(&value) { wire, element throws(WireError) in try element.fields(&wire) }
    }

    private mutating func elements<T: Defaultable>(
        _ value: inout [T]?, unit: Int = 1, _ field: (inout Wire, inout T) throws(WireError) -> Void
    ) throws(WireError) {
        var count = value?.count
        try self.count(&count, unit: unit)
        guard let count else { return value = nil }
        var elements = value ?? []
        try self.elements(&elements, count: count, field)
        value = elements
    }

    private mutating func elements<T: Defaultable>(
        _ value: inout [T], count: Int, _ field: (inout Wire, inout T) throws(WireError) -> Void
    ) throws(WireError) {
        guard isReading else {
            for var element in value { try field(&self, &element) }
            return
        }
        try spendElements(count)
        // Room grows with what is really there, not with what the count promises.
        value = []
        for _ in 0..<count {
            var element = T()
            try field(&self, &element)
            value.append(element)
        }
    }
}

/// What can be made before it is read.
public protocol Defaultable {
    init()
}

extension String: Defaultable {}
extension Int32: Defaultable {}

// MARK: - Tagged fields

extension Wire {
    /// The end of a struct without tagged fields that we know: those of newer senders are skipped, none are written. Does
    /// nothing in versions that are not flexible.
    public mutating func tags() throws(WireError) {
        try tags([]) { _, _ in false }
    }

    /// The end of a struct with tagged fields (KIP-482).
    ///
    /// - Parameters:
    ///   - present: the tags to write, ascending: those whose field has not its default value. Not used when reading.
    ///   - field: reads or writes the field with this tag, and answers whether it knows it.
    public mutating func tags(
        _ present: [UInt32], _ field: (inout Wire, UInt32) throws(WireError) -> Bool
    ) throws(WireError) {
        guard isFlexible else { return }
        var count = UInt32(truncatingIfNeeded: present.count)
        try unsignedVarint(&count)
        for index in 0..<count {
            var tag = isReading ? 0 : present[Int(index)]
            try unsignedVarint(&tag)
            try sized(
                { wire, size throws(WireError) in
                    var raw = UInt32(truncatingIfNeeded: size)
                    try wire.unsignedVarint(&raw)
                    size = Int(raw)
                },
                { wire throws(WireError) in
                    let known = try field(&wire, tag)
                    if wire.isReading, !known { _ = try wire.take(wire.remaining) }
                })
        }
    }
}

extension Wire {
    /// A struct in a tagged field, where nil is its absence.
    public mutating func tagged<T: WireStruct>(_ value: inout T?) throws(WireError) {
        var present = value ?? T()
        try present.fields(&self)
        value = present
    }
}
