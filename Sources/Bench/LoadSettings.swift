import Wire

/// What a produce load does.
public struct LoadSettings: Sendable {
    public var host = "127.0.0.1"
    public var port: UInt16 = 9092
    public var connections = 4
    /// Requests that each connection has under way at once.
    public var outstanding = 1024
    /// Bytes of a record's value.
    public var recordSize = 100
    public var recordsPerRequest = 1
    /// 0: no answers; 1: the leader has it; -1: all in-sync replicas have it.
    public var acks: Int16 = -1
    /// The topics' names, all of one length, and how many partitions each has.
    public var topics: [String] = []
    public var partitions = 4
    /// Idempotent producers of each connection; 0: batches name none.
    public var producers = 1
    /// The producers' ids and epochs, of one connection after the other.
    public var producerIds: [(id: Int64, epoch: Int16)] = []
    /// Requests a second, of all connections together, sent when they are due whether or not earlier ones are answered; nil:
    /// as fast as answers come.
    public var rate: Double?
    /// Seconds before counting begins.
    public var warmup = 1.0
    /// Seconds that are counted.
    public var duration = 10.0
    /// The load ends when so many requests are answered, if that is earlier.
    public var requests: Int?
    public var threads = 1
    /// Whether base offsets are checked; the null server gives none.
    public var checksOffsets = true
    /// The seed of what the records hold.
    public var seed: UInt64 = 1

    public init() {}

    /// Every partition of every topic.
    var targets: [(topic: Int, partition: Int32)] {
        topics.indices.flatMap { topic in (0..<Int32(partitions)).map { (topic, $0) } }
    }

    /// What a connection writes to: its share of the partitions, or one that it shares where there are fewer than connections.
    func targets(of connection: Int) -> [(topic: Int, partition: Int32)] {
        let all = targets
        if all.count < connections { return [all[connection % all.count]] }
        return stride(from: connection, to: all.count, by: connections).map { all[$0] }
    }

    /// Nobody else writes to a connection's partitions, so that each offset is known beforehand.
    var ownsTargets: Bool { topics.count * partitions >= connections }
}

/// That a load could not go on, or that an answer was wrong.
public struct LoadError: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
