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
    /// When the leader wrote the batch, in milliseconds since 1970, where its records have that time; else -1.
    public var logAppendTime: Int64

    @inlinable
    public init(partition: Int32, error: ErrorCode, baseOffset: Int64, logStartOffset: Int64, logAppendTime: Int64 = -1) {
        self.logAppendTime = logAppendTime
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
    public static var partitionBytes: Int { 4 + 2 + 8 + 8 + 8 + 4 + 2 + 1 }
    /// The most bytes around the topics: length, correlation, tags, array count; throttle time, tags.
    public static var frameBytes: Int { 4 + 4 + 1 + 5 + 4 + 1 }

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
        if version >= 2 { put(outcome.logAppendTime) }
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

    /// Turns the outcomes in encoded topics into failures, but for those that have failed for good already.
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
                let before = ErrorCode(rawValue: Int16(bigEndian: topics.loadUnaligned(fromByteOffset: errorAt, as: Int16.self)))
                if before == ErrorCode.none || before?.isTentative == true {
                    topics.storeBytes(of: error.rawValue.bigEndian, toByteOffset: errorAt, as: Int16.self)
                    topics.storeBytes(of: Int64(-1), toByteOffset: errorAt + 2, as: Int64.self)
                    if version >= 2 { topics.storeBytes(of: Int64(-1), toByteOffset: errorAt + 10, as: Int64.self) }
                }
            }
            cursor.skipTags(flexible)
        }
        precondition(!cursor.failed, "the topics were encoded here")
    }
}
