// Unsafe on purpose, like RawCursor: Produce's record path as most requests go it, with no more than one look at each byte.

/// The beginning of a Produce request, as far as the io stage has to know it: read at one go where header and preamble are as
/// clients write them.
public struct ProduceFront {
    /// The versions that it reads.
    public static let versions: ClosedRange<Int16> = 3...11

    public var version: Int16
    public var correlation: Int32
    /// Where the body begins, in bytes from the start of the header.
    public var bodyOffset: Int
    public var acks: Int16

    /// Nil: it is no Produce request, or one that has to be read field by field: with a transactional id, with tags, or malformed.
    @inlinable @inline(__always)
    public init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 24, let base = bytes.baseAddress else { return nil }
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
            T(bigEndian: base.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        version = get(2)
        guard get(0, Int16.self) == APIKey.produce.rawValue, ProduceFront.versions.contains(version) else { return nil }
        correlation = get(4)
        let client = Int(get(8, Int16.self))
        let at = 10 + max(client, 0)
        guard client >= -1, bytes.count >= at + 4 else { return nil }
        // No tags and no transactional id are two bytes in flexible versions, and no transactional id in the others.
        let isFlexible = version >= 9
        guard get(at, UInt16.self) == (isFlexible ? 0 : .max) else { return nil }
        bodyOffset = isFlexible ? at + 1 : at
        acks = get(at + 2)
    }
}

/// A Produce request's body with one partition of one topic, as most have, read at one go.
public struct SingleProduce {
    public var acks: Int16
    public var timeoutMs: Int32
    public var topic: UnsafeRawBufferPointer
    public var partition: Int32
    public var records: UnsafeRawBufferPointer

    /// Nil: there are several or none, or it has to be read field by field for another reason, such as being malformed.
    @inlinable @inline(__always)
    public init?(_ body: UnsafeRawBufferPointer, version: Int16) {
        guard let base = body.baseAddress, body.count >= 26 else { return nil }
        func get<T: FixedWidthInteger>(_ at: Int, _: T.Type = T.self) -> T {
            T(bigEndian: base.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        if version < 9 {
            guard get(0, Int16.self) == -1, get(8, Int32.self) == 1 else { return nil }
            acks = get(2)
            timeoutMs = get(4)
            let name = Int(get(12, Int16.self))
            let at = 14 + name
            guard name >= 0, at + 12 <= body.count, get(at, Int32.self) == 1 else { return nil }
            topic = UnsafeRawBufferPointer(start: base + 14, count: name)
            partition = get(at + 4)
            let count = Int(get(at + 8, Int32.self))
            guard count >= 0, at + 12 + count == body.count else { return nil }
            records = UnsafeRawBufferPointer(start: base + at + 12, count: count)
        } else {
            // Compact: lengths and counts are one more than they say, and here of one byte, but for the records' length.
            guard body[0] == 0, body[7] == 2, body[8] > 0, body[8] < 0x80 else { return nil }
            acks = get(1)
            timeoutMs = get(3)
            let name = Int(body[8]) - 1
            let at = 9 + name
            guard at + 10 <= body.count, body[at] == 2 else { return nil }
            topic = UnsafeRawBufferPointer(start: base + 9, count: name)
            partition = get(at + 1)
            var length = 0
            var offset = at + 5
            var shift = 0
            var byte: UInt8
            repeat {
                guard offset < body.count, shift < 35 else { return nil }
                byte = body[offset]
                length |= Int(byte & 0x7f) << shift
                shift += 7
                offset += 1
            } while byte & 0x80 != 0
            // Behind the records no tags of the partition, the topic, the request.
            guard length > 0, offset + length - 1 + 3 == body.count, get(body.count - 4, UInt32.self) & 0xff_ffff == 0 else { return nil }
            records = UnsafeRawBufferPointer(start: base + offset, count: length - 1)
        }
    }
}

/// The answer to a Produce request with one partition, written at one go.
public enum SingleProduceAnswer {
    /// The longest topic's name that it is for, in bytes: one whose length takes a byte in flexible versions.
    public static let longestName = 126
    /// The most bytes that it takes, without the topic's name.
    public static var bytes: Int {
        ProduceResponseWriter.frameBytes + ProduceResponseWriter.topicBytes(name: 0) + ProduceResponseWriter.partitionBytes
    }

    /// Writes the whole frame (v3 to v11) to memory that has room for it. Returns its length.
    @inlinable @inline(__always)
    public static func write(
        _ outcome: ProduceOutcome, topic: UnsafeRawBufferPointer, correlation: Int32, version: Int16, to base: UnsafeMutableRawPointer
    ) -> Int {
        precondition(topic.count <= longestName, "a longer name takes another form")
        let isFlexible = version >= 9
        var at = base + 4
        func put<T: FixedWidthInteger>(_ value: T) {
            at.storeBytes(of: value.bigEndian, as: T.self)
            at += MemoryLayout<T>.size
        }
        put(correlation)
        if isFlexible {
            put(UInt16(0x0002))  // no tags; one topic
            put(UInt8(truncatingIfNeeded: topic.count + 1))
        } else {
            put(Int32(1))
            put(Int16(truncatingIfNeeded: topic.count))
        }
        if let name = topic.baseAddress { at.copyMemory(from: name, byteCount: topic.count) }
        at += topic.count
        if isFlexible { put(UInt8(2)) } else { put(Int32(1)) }
        put(outcome.partition)
        put(outcome.error.rawValue)
        put(outcome.baseOffset)
        put(outcome.logAppendTime)
        if version >= 5 { put(outcome.logStartOffset) }
        if isFlexible {
            put(UInt32(0x0100_0000))  // no record errors, no message; no tags of the partition and of the topic
            put(Int32(0))  // throttle time
            put(UInt8(0))
        } else {
            if version >= 8 {
                put(Int32(0))
                put(Int16(-1))
            }
            put(Int32(0))  // throttle time
        }
        base.storeBytes(of: Int32(truncatingIfNeeded: at - base - 4).bigEndian, as: Int32.self)
        return at - base
    }

    /// Where in a frame of so many bytes the topics' encoding is.
    public static func topics(in bytes: Int, version: Int16) -> Range<Int> {
        version >= 9 ? 10..<bytes - 5 : 12..<bytes - 4
    }
}
