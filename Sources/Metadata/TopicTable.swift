// Unsafe on purpose: names are looked up by the raw bytes of a request, without making a string of each, in memory that a table owns
// and never changes: this is why it may be shared.

import Wire

/// Where a partition's records are: its partition group, and its number there. Numbers are never used again.
public struct PartitionPlace: BitwiseCopyable, Hashable, Sendable, Codable {
    public var group: UInt16
    public var number: UInt32

    public init(group: UInt16, number: UInt32) {
        self.group = group
        self.number = number
    }
}

extension [PartitionPlace] {
    /// In a topic's places, where the partition of that number is, as a client says it; nil: the topic has no such partition.
    public func place(of partition: Int32) -> PartitionPlace? {
        indices.contains(Int(partition)) ? self[Int(partition)] : nil
    }
}

/// The qualities of service, by what an answer means (DESIGN.md calls them 0 to 4).
public enum QualityOfService: UInt8, BitwiseCopyable, Sendable, Comparable, CaseIterable {
    /// There is no answer.
    case oneWay = 0
    /// The leader has it in its journal cache, at its final offset.
    case received = 1
    /// The leader has it on stable storage.
    case persisted = 2
    /// A majority has it in memory.
    case replicated = 3
    /// A majority has it on stable storage: it is committed, and consumers can see it.
    case durable = 4
    /// It is durable, and all replicas that are in sync have it on stable storage, of which there are as many as the topic's
    /// min.insync.replicas: what acks=-1 means where that asks for more than a majority.
    case inSync = 5

    public static func < (a: QualityOfService, b: QualityOfService) -> Bool { a.rawValue < b.rawValue }

    /// Its name in settings.
    public var name: String {
        switch self {
        case .oneWay: "oneWay"
        case .received: "received"
        case .persisted: "persisted"
        case .replicated: "replicated"
        case .durable: "durable"
        case .inSync: "inSync"
        }
    }

    /// What an answer of that quality says of a record: where it is.
    public var meaning: String {
        switch self {
        case .oneWay: "there is no answer"
        case .received: "in the leader's memory"
        case .persisted: "on the leader's stable storage"
        case .replicated: "in a majority's memory"
        case .durable: "on a majority's stable storage"
        case .inSync: "on the stable storage of all replicas in sync"
        }
    }

    public init?(name: String) {
        guard let match = QualityOfService.allCases.first(where: { $0.name == name }) else { return nil }
        self = match
    }
}

/// What can be set for a topic, in the form in which the stages use it.
public struct TopicSettings: BitwiseCopyable, Sendable, Equatable {
    /// What acks=1 means: received or persisted.
    public var qosLeader: QualityOfService
    /// What acks=-1 means: replicated or durable.
    public var qosAll: QualityOfService
    /// How many replicas, the leader among them, must be in sync for acks=-1; what is less than a majority is a majority.
    public var minInsyncReplicas: UInt8
    /// The longest record batch, in bytes.
    public var maxMessageBytes: Int
    /// How long a record is kept after its timestamp, in milliseconds; -1: for ever.
    public var retentionMs: Int64
    /// What each partition may take on disk, in bytes; -1: whatever it takes.
    public var retentionBytes: Int64
    /// What becomes of old records. The two before count only where they are deleted.
    public var cleanup: CleanupPolicy
    /// Counts where they are compacted.
    public var compaction: CompactionSettings
    /// Records have the time at which the leader wrote them (LogAppendTime), not their producer's.
    public var usesAppendTime: Bool

    public init(
        qosLeader: QualityOfService = .persisted, qosAll: QualityOfService = .durable, minInsyncReplicas: UInt8 = 1,
        maxMessageBytes: Int = 1_048_588, retentionMs: Int64 = -1, retentionBytes: Int64 = -1, cleanup: CleanupPolicy = .delete,
        compaction: CompactionSettings = CompactionSettings(), usesAppendTime: Bool = false
    ) {
        self.usesAppendTime = usesAppendTime
        self.cleanup = cleanup
        self.compaction = compaction
        self.minInsyncReplicas = minInsyncReplicas
        self.retentionMs = retentionMs
        self.retentionBytes = retentionBytes
        self.qosLeader = qosLeader
        self.qosAll = qosAll
        self.maxMessageBytes = maxMessageBytes
    }
}

/// A topic as every stage knows it.
public struct Topic: Sendable {
    public let name: String
    public let id: Uuid
    public let partitions: [PartitionPlace]
    public let settings: TopicSettings
    /// The settings that were given for it, as given.
    public let configs: [String: String]

    public init(name: String, id: Uuid, partitions: [PartitionPlace], settings: TopicSettings, configs: [String: String]) {
        self.name = name
        self.id = id
        self.partitions = partitions
        self.settings = settings
        self.configs = configs
    }
}

/// A topic as the produce path looks at it: in its table's own memory, as long as there is the table.
public struct TopicEntry: BitwiseCopyable {
    let name: UnsafeRawBufferPointer
    let places: UnsafeMutableBufferPointer<PartitionPlace>
    public let settings: TopicSettings
    /// Brokers alone write to it.
    public let isInternal: Bool

    fileprivate init(_ topic: Topic) {
        isInternal = TopicName.isInternal(topic.name)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: topic.name.utf8.count, alignment: 8)
        bytes.copyBytes(from: topic.name.utf8)
        name = UnsafeRawBufferPointer(bytes)
        places = .allocate(capacity: topic.partitions.count)
        _ = places.initialize(from: topic.partitions)
        settings = topic.settings
    }

    fileprivate func deallocate() {
        name.deallocate()
        places.deallocate()
    }

    /// The partition's place; nil where it does not exist.
    public func place(of partition: Int32) -> PartitionPlace? {
        // A negative number is a large one.
        UInt(bitPattern: Int(partition)) < UInt(bitPattern: places.count) ? places[Int(partition)] : nil
    }

    /// Word by word, the last one perhaps overlapping the one before it: names are short, and a call takes longer.
    @inline(__always)
    func isNamed(_ other: UnsafeRawBufferPointer) -> Bool {
        guard name.count == other.count else { return false }
        func differ<T: FixedWidthInteger & BitwiseCopyable>(_ at: Int, _: T.Type) -> Bool {
            name.loadUnaligned(fromByteOffset: at, as: T.self) != other.loadUnaligned(fromByteOffset: at, as: T.self)
        }
        if name.count < 4 { return (0..<name.count).allSatisfy { name[$0] == other[$0] } }
        if name.count < 8 { return !differ(0, UInt32.self) && !differ(name.count - 4, UInt32.self) }
        let last = name.count - 8
        var at = 0
        while at < last {
            if differ(at, UInt64.self) { return false }
            at += 8
        }
        return !differ(last, UInt64.self)
    }
}

/// All topics at one moment. It never changes: the control stage makes a new one and sends it round.
public final class TopicTable: @unchecked Sendable {
    /// Sorted by name.
    public let topics: [Topic]
    /// For each partition group, how many partition numbers it has given out.
    public let partitionNumbers: [UInt32]
    private let entries: UnsafeMutableBufferPointer<TopicEntry>
    /// Open addressing: a topic's number, or -1. As many as a power of two.
    private let buckets: UnsafeMutableBufferPointer<Int32>
    private let numbersById: [Uuid: Int]

    public init(topics: [Topic], partitionNumbers: [UInt32]) {
        let sorted = topics.sorted { $0.name < $1.name }
        self.topics = sorted
        self.partitionNumbers = partitionNumbers
        entries = .allocate(capacity: sorted.count)
        _ = entries.initialize(from: sorted.map(TopicEntry.init))
        numbersById = Dictionary(uniqueKeysWithValues: sorted.enumerated().map { ($1.id, $0) })
        var size = 16
        while size < 2 * sorted.count { size *= 2 }
        buckets = .allocate(capacity: size)
        buckets.initialize(repeating: -1)
        for number in sorted.indices {
            var bucket = TopicTable.hash(entries[number].name) & (size - 1)
            while buckets[bucket] >= 0 { bucket = (bucket + 1) & (size - 1) }
            buckets[bucket] = Int32(number)
        }
    }

    deinit {
        for entry in entries { entry.deallocate() }
        entries.deallocate()
        buckets.deallocate()
    }

    /// A word at a time, as FNV-1a does a byte at a time: names are short, and topics are not made by attackers who gain by
    /// collisions: only probing gets longer.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        var at = 0
        while bytes.count - at >= 8 {
            hash = (hash ^ bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) &* 0x9e37_79b9_7f4a_7c15
            hash ^= hash >> 32
            at += 8
        }
        for byte in bytes[at...] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash &*= 0x9e37_79b9_7f4a_7c15
        return Int(truncatingIfNeeded: hash >> 32)
    }

    /// The number in `topics` of the topic of that name; nil: there is none. Allocates nothing.
    /// - Parameter likely: where that is the number, it is found sooner.
    public func number(of name: UnsafeRawBufferPointer, likely: Int = 0) -> Int? {
        if likely < entries.count && entries[likely].isNamed(name) { return likely }
        let mask = buckets.count - 1
        var bucket = TopicTable.hash(name) & mask
        while buckets[bucket] >= 0 {
            let number = Int(buckets[bucket])
            if entries[number].isNamed(name) { return number }
            bucket = (bucket + 1) & mask
        }
        return nil
    }

    /// The topic of that number, which is one in `topics`.
    @inline(__always)
    public func entry(_ number: Int) -> UnsafePointer<TopicEntry> {
        precondition(entries.indices.contains(number), "there is no such topic")
        return UnsafePointer(entries.baseAddress! + number)
    }

    public func topic(named name: String) -> Topic? {
        var name = name
        return name.withUTF8 { number(of: UnsafeRawBufferPointer($0)) }.map { topics[$0] }
    }

    public func topic(id: Uuid) -> Topic? { numbersById[id].map { topics[$0] } }

    /// The partition's place; nil where topic or partition don't exist.
    public func place(of partition: Int32, topic number: Int?) -> PartitionPlace? {
        number.flatMap { entry($0).pointee.place(of: partition) }
    }
}
