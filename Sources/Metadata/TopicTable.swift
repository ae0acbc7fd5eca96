// Unsafe on purpose: names are looked up by the raw bytes of a request, without making a string of each.

import Glibc
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

/// The qualities of service, by what an answer means (DESIGN.md calls them 0 to 4).
public enum QualityOfService: UInt8, Sendable, Comparable, CaseIterable {
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

    public static func < (a: QualityOfService, b: QualityOfService) -> Bool { a.rawValue < b.rawValue }

    /// Its name in settings.
    public var name: String {
        switch self {
        case .oneWay: "oneWay"
        case .received: "received"
        case .persisted: "persisted"
        case .replicated: "replicated"
        case .durable: "durable"
        }
    }

    public init?(name: String) {
        guard let match = QualityOfService.allCases.first(where: { $0.name == name }) else { return nil }
        self = match
    }
}

/// What can be set for a topic, in the form in which the stages use it.
public struct TopicSettings: Sendable, Equatable {
    /// What acks=1 means: received or persisted.
    public var qosLeader: QualityOfService
    /// What acks=-1 means: replicated or durable.
    public var qosAll: QualityOfService
    /// The longest record batch, in bytes.
    public var maxMessageBytes: Int
    /// How long a record is kept after its timestamp, in milliseconds; -1: for ever.
    public var retentionMs: Int64
    /// What each partition may take on disk, in bytes; -1: whatever it takes.
    public var retentionBytes: Int64

    public init(
        qosLeader: QualityOfService = .persisted, qosAll: QualityOfService = .durable, maxMessageBytes: Int = 1_048_588,
        retentionMs: Int64 = -1, retentionBytes: Int64 = -1
    ) {
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

/// All topics at one moment. It never changes: the control stage makes a new one and sends it round.
public final class TopicTable: Sendable {
    /// Sorted by name.
    public let topics: [Topic]
    /// For each partition group, how many partition numbers it has given out.
    public let partitionNumbers: [UInt32]
    private let buckets: [Int32]
    private let names: [[UInt8]]
    private let numbersById: [Uuid: Int]

    public init(topics: [Topic], partitionNumbers: [UInt32]) {
        let sorted = topics.sorted { $0.name < $1.name }
        self.topics = sorted
        self.partitionNumbers = partitionNumbers
        names = sorted.map { Array($0.name.utf8) }
        numbersById = Dictionary(uniqueKeysWithValues: sorted.enumerated().map { ($1.id, $0) })
        var size = 16
        while size < 2 * sorted.count { size *= 2 }
        var buckets = [Int32](repeating: -1, count: size)
        for (number, name) in names.enumerated() {
            var bucket = name.withUnsafeBytes { Int(truncatingIfNeeded: TopicTable.hash($0)) } & (size - 1)
            while buckets[bucket] >= 0 { bucket = (bucket + 1) & (size - 1) }
            buckets[bucket] = Int32(number)
        }
        self.buckets = buckets
    }

    /// FNV-1a: names are short, and topics are not made by attackers who gain by collisions: only probing gets longer.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return hash ^ (hash >> 29)
    }

    /// As `number(of:)`; quicker where it is the likely one.
    public func number(of name: UnsafeRawBufferPointer, likely: Int) -> Int? {
        likely < names.count && isName(name, of: likely) ? likely : number(of: name)
    }

    private func isName(_ name: UnsafeRawBufferPointer, of number: Int) -> Bool {
        names[number].withUnsafeBytes { candidate in
            guard candidate.count == name.count else { return false }
            guard let left = candidate.baseAddress, let right = name.baseAddress else { return true }
            return memcmp(left, right, name.count) == 0
        }
    }

    /// The number in `topics` of the topic of that name; nil: there is none. Allocates nothing.
    public func number(of name: UnsafeRawBufferPointer) -> Int? {
        let mask = buckets.count - 1
        var bucket = Int(truncatingIfNeeded: TopicTable.hash(name)) & mask
        while true {
            let number = Int(buckets[bucket])
            if number < 0 { return nil }
            if isName(name, of: number) { return number }
            bucket = (bucket + 1) & mask
        }
    }

    public func topic(named name: String) -> Topic? {
        var name = name
        return name.withUTF8 { number(of: UnsafeRawBufferPointer($0)) }.map { topics[$0] }
    }

    public func topic(id: Uuid) -> Topic? { numbersById[id].map { topics[$0] } }

    /// The partition's place; nil where topic or partition don't exist.
    public func place(of partition: Int32, topic number: Int?) -> PartitionPlace? {
        guard let number, partition >= 0, Int(partition) < topics[number].partitions.count else { return nil }
        return topics[number].partitions[Int(partition)]
    }
}
