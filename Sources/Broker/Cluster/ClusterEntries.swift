import Foundation
import Metadata
import Replication

/// A broker, as it tells the others of itself, for as long as it lives: the key `brokers/ID`.
struct BrokerRegistration: Codable, Equatable, Sendable {
    /// What clients are told to connect to, and where other brokers do.
    var host: String
    var port: Int32
    var peerHost: String
    var peerPort: UInt16
    /// By partition group the name of its disk.
    var incarnations: [UInt16: UInt64] = [:]
}

/// A partition group: the key `groups/NUMBER`.
struct GroupEntry: Codable, Equatable, Sendable {
    /// Of its journal, wherever it is.
    var key: UInt32
    /// Who is to have it; the first of them is to lead. Only operators change it.
    var brokers: [Int32]
    /// Counts the times that an operator has asked for that one to take over at once; nil: none.
    var elections: UInt32?
    /// Nil until all of them have told the names of their disks for it: a disk that comes later is known to be new.
    var assignment: GroupAssignment?

    var target: GroupTarget { GroupTarget(brokers: brokers, elections: elections ?? 0) }

    /// Whether the broker is to have it, or counts as one who has.
    func names(_ broker: Int32) -> Bool { brokers.contains(broker) || assignment?.replicas.contains { $0.broker == broker } ?? false }
}

/// Who keeps up with a partition group's leader: the key `insync/NUMBER`. Its leader changes it.
struct InSyncEntry: Codable, Equatable, Sendable {
    /// In which the leader says so.
    var epoch: UInt32
    var brokers: [Int32]
}

/// The cluster as a whole: the key `cluster`.
struct ClusterEntry: Codable, Equatable, Sendable {
    var id: String
    /// How many partition groups there can be; every broker has room for each of them.
    var groups: Int
    /// Of the formats of keys and journals.
    var format = 1
}

/// The keys of a cluster in its store.
enum ClusterKey {
    static let cluster = "cluster"
    /// The number of the next change of the metadata: whoever swaps it makes that change.
    static let nextChange = "changes.next"
    static let brokers = "brokers/"
    static let groups = "groups/"
    static let inSync = "insync/"
    static let changes = "changes/"

    static func broker(_ id: Int32) -> String { brokers + String(id) }
    static func group(_ number: UInt16) -> String { groups + String(number) }
    static func inSync(_ group: UInt16) -> String { inSync + String(group) }
    /// In the order of their numbers.
    static func change(_ number: UInt64) -> String {
        let digits = String(number)
        return changes + String(repeating: "0", count: max(20 - digits.count, 0)) + digits
    }

    /// The rest of a key behind its beginning, as a number.
    static func number<Number: FixedWidthInteger>(_ key: String, behind prefix: String) -> Number? {
        key.hasPrefix(prefix) ? Number(key.dropFirst(prefix.count)) : nil
    }
}

/// Values are JSON.
enum ClusterValue {
    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        guard let json = try? encoder.encode(value) else { preconditionFailure("entries are made of plain values") }
        return Array(json)
    }

    /// Nil: it is of another version, or was damaged.
    static func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8]) -> Value? {
        try? JSONDecoder().decode(type, from: Data(bytes))
    }
}
