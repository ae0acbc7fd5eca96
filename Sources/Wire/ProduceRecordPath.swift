// Unsafe on purpose, like RawCursor: Produce's record path, over raw bytes and without allocation.

/// The part of a Produce request (v3 to v11) before its topics.
public struct ProducePreamble {
    /// Whether there was a transactional id.
    public var isTransactional: Bool
    public var acks: Int16
    public var timeoutMs: Int32

    /// Nil where the bytes end before it does.
    @inlinable
    public init?(_ cursor: inout RawCursor, version: Int16) {
        let flexible = version >= 9
        isTransactional = cursor.bytes(cursor.length16(compact: flexible), nullable: true) != nil
        acks = cursor.integer()
        timeoutMs = cursor.integer()
        if cursor.failed { return nil }
    }
}

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
    @inlinable
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
    @inlinable
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

/// One partition's records in a Produce request. The pointers are into the request.
public struct ProducePartition {
    /// The topic's name, as it came.
    public var topic: UnsafeRawBufferPointer
    /// Counts the topics of the request from zero.
    public var topicNumber: Int
    public var partition: Int32
    /// Nil: null was sent.
    public var records: UnsafeRawBufferPointer?

    @inlinable
    init(topic: UnsafeRawBufferPointer, topicNumber: Int, partition: Int32, records: UnsafeRawBufferPointer?) {
        self.topic = topic
        self.topicNumber = topicNumber
        self.partition = partition
        self.records = records
    }
}

extension RawCursor {
    /// Walks topics and partitions from behind the preamble to the end. False where the bytes are not what they should
    /// be; what was visited before then must not count.
    @inlinable
    public mutating func producePartitions(version: Int16, _ visit: (ProducePartition) -> Void) -> Bool {
        let flexible = version >= 9
        let topics = arrayCount(compact: flexible)
        var topicNumber = 0
        while topicNumber < topics, !failed {
            guard let name = bytes(length16(compact: flexible)) else { return false }
            let partitions = arrayCount(compact: flexible)
            var number = 0
            while number < partitions, !failed {
                let partition: Int32 = integer()
                let records = bytes(length32(compact: flexible), nullable: true)
                skipTags(flexible)
                if failed { return false }
                visit(ProducePartition(topic: name, topicNumber: topicNumber, partition: partition, records: records))
                number += 1
            }
            skipTags(flexible)
            topicNumber += 1
        }
        skipTags(flexible)
        return !failed && remaining == 0
    }
}

/// One partition's outcome in a Produce response.
public struct ProduceOutcome {
    public var partition: Int32
    public var error: ErrorCode
    /// -1 where there is an error.
    public var baseOffset: Int64
    public var logStartOffset: Int64

    @inlinable
    public init(partition: Int32, error: ErrorCode, baseOffset: Int64, logStartOffset: Int64) {
        self.partition = partition
        self.error = error
        self.baseOffset = baseOffset
        self.logStartOffset = logStartOffset
    }
}

/// Writes Produce responses (v0 to v11) into raw memory. The topics of a response are encoded when the outcome is known, the
/// rest around them when the answer leaves; in between they can be turned into failures in place.
public struct ProduceResponseWriter {
    public let base: UnsafeMutableRawPointer
    public let capacity: Int
    public private(set) var count = 0
    let version: Int16
    var flexible: Bool { version >= 9 }

    public init(_ base: UnsafeMutableRawPointer, capacity: Int, version: Int16) {
        self.base = base
        self.capacity = capacity
        self.version = version
    }

    /// The most bytes that a topic's head takes, and that a partition takes.
    public static func topicBytes(name: Int) -> Int { name + 5 + 5 + 1 }
    public static let partitionBytes = 4 + 2 + 8 + 8 + 8 + 4 + 2 + 1
    /// The most bytes around the topics: length, correlation, tags, array count; throttle time, tags.
    public static let frameBytes = 4 + 4 + 1 + 5 + 4 + 1

    mutating func put<T: FixedWidthInteger>(_ value: T) {
        precondition(count + MemoryLayout<T>.size <= capacity, "the caller made room for the response")
        base.storeBytes(of: value.bigEndian, toByteOffset: count, as: T.self)
        count += MemoryLayout<T>.size
    }

    mutating func putVarint(_ value: Int) {
        var rest = UInt32(value)
        while rest >= 0x80 {
            put(UInt8(rest & 0x7f | 0x80))
            rest >>= 7
        }
        put(UInt8(rest))
    }

    mutating func putArrayCount(_ number: Int) { if flexible { putVarint(number + 1) } else { put(Int32(number)) } }

    public mutating func put(bytes: UnsafeRawBufferPointer) {
        precondition(count + bytes.count <= capacity, "the caller made room for the response")
        if let from = bytes.baseAddress { (base + count).copyMemory(from: from, byteCount: bytes.count) }
        count += bytes.count
    }

    /// Before a topic's partitions.
    public mutating func beginTopic(name: UnsafeRawBufferPointer, partitions: Int) {
        if flexible { putVarint(name.count + 1) } else { put(Int16(name.count)) }
        put(bytes: name)
        putArrayCount(partitions)
    }

    public mutating func put(_ outcome: ProduceOutcome) {
        put(outcome.partition)
        put(outcome.error.rawValue)
        put(outcome.baseOffset)
        if version >= 2 { put(Int64(-1)) }  // log append time: the batch's own timestamps stand
        if version >= 5 { put(outcome.logStartOffset) }
        if version >= 8 {
            putArrayCount(0)
            if flexible { putVarint(0) } else { put(Int16(-1)) }
        }
        if flexible { put(UInt8(0)) }
    }

    /// After a topic's partitions.
    public mutating func endTopic() { if flexible { put(UInt8(0)) } }

    /// Everything up to the topics. `topicsBytes` is the length of all topics' encoding.
    public mutating func begin(correlation: Int32, topics: Int, topicsBytes: Int) {
        let start = count
        put(Int32(0))
        put(correlation)
        if flexible { put(UInt8(0)) }
        putArrayCount(topics)
        let tail = (version >= 1 ? 4 : 0) + (flexible ? 1 : 0)
        let length = Int32(count - start - 4 + topicsBytes + tail)
        base.storeBytes(of: length.bigEndian, toByteOffset: start, as: Int32.self)
    }

    /// Everything behind the topics.
    public mutating func end() {
        if version >= 1 { put(Int32(0)) }  // throttle time
        if flexible { put(UInt8(0)) }
    }

    /// Writes the encoding of one topic with one partition: as `beginTopic`, `put` and `endTopic`, at one go. Returns its length.
    public static func putSingle(
        _ outcome: ProduceOutcome, topic: UnsafeRawBufferPointer, to base: UnsafeMutableRawPointer, capacity: Int, version: Int16
    ) -> Int {
        precondition(topicBytes(name: topic.count) + partitionBytes <= capacity, "the caller made room for the response")
        var at = 0
        func put<T: FixedWidthInteger>(_ value: T) {
            base.storeBytes(of: value.bigEndian, toByteOffset: at, as: T.self)
            at += MemoryLayout<T>.size
        }
        guard version >= 5, version < 9 else {
            var writer = ProduceResponseWriter(base, capacity: capacity, version: version)
            writer.beginTopic(name: topic, partitions: 1)
            writer.put(outcome)
            writer.endTopic()
            return writer.count
        }
        put(Int16(truncatingIfNeeded: topic.count))
        if let name = topic.baseAddress { (base + 2).copyMemory(from: name, byteCount: topic.count) }
        at += topic.count
        put(Int32(1))
        put(outcome.partition)
        put(outcome.error.rawValue)
        put(outcome.baseOffset)
        put(Int64(-1))
        put(outcome.logStartOffset)
        if version == 8 {
            put(Int32(0))
            put(Int16(-1))
        }
        return at
    }

    /// Puts topics that several parts of an answer name into one each: clients keep the last of equal names only. `topics` are
    /// as the parts encoded them, one behind the other.
    public static func merge(_ topics: [UInt8], topicCount: Int, version: Int16) -> (topics: [UInt8], topicCount: Int) {
        let flexible = version >= 9
        var names: [[UInt8]] = []
        var partitions: [[UInt8]: (count: Int, bytes: [UInt8])] = [:]
        topics.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            var cursor = RawCursor(base, count: bytes.count)
            for _ in 0..<topicCount {
                let name = Array(cursor.bytes(cursor.length16(compact: flexible)) ?? .init(start: nil, count: 0))
                let count = cursor.arrayCount(compact: flexible)
                let start = cursor.offset
                for _ in 0..<count { skipPartition(&cursor, version: version) }
                if partitions[name] == nil { names.append(name) }
                partitions[name, default: (0, [])].count += count
                partitions[name]!.bytes += bytes[start..<cursor.offset]
                cursor.skipTags(flexible)
            }
            precondition(!cursor.failed, "the topics were encoded here")
        }
        var merged = [UInt8](repeating: 0, count: topics.count + 8 * names.count)
        let count = merged.withUnsafeMutableBytes { room in
            guard let base = room.baseAddress else { return 0 }
            var writer = ProduceResponseWriter(base, capacity: room.count, version: version)
            for name in names {
                let mine = partitions[name]!
                name.withUnsafeBytes { writer.beginTopic(name: $0, partitions: mine.count) }
                mine.bytes.withUnsafeBytes { writer.put(bytes: $0) }
                writer.endTopic()
            }
            return writer.count
        }
        merged.removeLast(merged.count - count)
        return (merged, names.count)
    }

    private static func skipPartition(_ cursor: inout RawCursor, version: Int16) {
        let flexible = version >= 9
        _ = cursor.bytes(4 + 2 + 8 + (version >= 2 ? 8 : 0) + (version >= 5 ? 8 : 0))
        if version >= 8 { _ = cursor.bytes(flexible ? 2 : 6) }
        cursor.skipTags(flexible)
    }

    /// Turns the outcomes in encoded topics into failures, but for those that have failed already.
    public static func fail(
        _ topics: UnsafeMutableRawPointer, count: Int, topicCount: Int, version: Int16, error: ErrorCode
    ) {
        let flexible = version >= 9
        var cursor = RawCursor(topics, count: count)
        for _ in 0..<topicCount {
            _ = cursor.bytes(cursor.length16(compact: flexible))
            for _ in 0..<cursor.arrayCount(compact: flexible) {
                let errorAt = cursor.offset + 4
                skipPartition(&cursor, version: version)
                precondition(!cursor.failed, "the topics were encoded here")
                if topics.loadUnaligned(fromByteOffset: errorAt, as: Int16.self) == 0 {
                    topics.storeBytes(of: error.rawValue.bigEndian, toByteOffset: errorAt, as: Int16.self)
                    topics.storeBytes(of: Int64(-1), toByteOffset: errorAt + 2, as: Int64.self)
                }
            }
            cursor.skipTags(flexible)
        }
        precondition(!cursor.failed, "the topics were encoded here")
    }
}
