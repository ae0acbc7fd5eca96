import Control
import Coordination
import Fetching
import Foundation
import Groups
import Host
import IO
import Intake
import Journal
import Metadata
import Meters
import Replication

/// All that a broker is made from.
public struct BrokerConfiguration: Sendable {
    public var dataDirectory: String
    /// `dataDirectory` as an absolute path.
    var directory: String { URL(fileURLWithPath: dataDirectory).path }
    public var listenHost: String
    public var listenPort: UInt16
    /// What clients are told to connect to; nil: the listening address.
    public var advertisedHost: String?
    public var advertisedPort: UInt16?
    public var nodeId: Int32
    /// The cluster's name, for a data directory that has none yet; nil: a random one.
    public var clusterId: String?
    public var topology: Topology
    public var wishes: PlacementWishes
    public var flushMethod: FlushMethod
    public var ringChoice: RingChoice
    public var journal: JournalOptions
    public var intake: IntakeLimits
    public var reading: ReadLimits
    public var topics: TopicDefaults
    public var groups = GroupSettings()
    /// How many (producer, partition) pairs each partition group remembers.
    public var producerLimit: Int
    /// After how many milliseconds of silence a producer is forgotten.
    public var producerExpiration: Int64
    /// A file for the trace of writes, syncs and answers; nil: none.
    public var traceFile: String?
    /// How long going down may take, in milliseconds.
    public var drainMilliseconds: Int
    /// Nil: the broker is alone.
    public var cluster: ClusterConfiguration?
    /// The settings as clients are told of them.
    public var settings: [DescribedSetting] = []
    /// Kinds of stages that stop working, for tests of what watches a broker.
    public var wedges: [StageKind: Wedge] = [:]

    public init(
        dataDirectory: String, listenHost: String, listenPort: UInt16, advertisedHost: String?, advertisedPort: UInt16?,
        nodeId: Int32, clusterId: String?, topology: Topology, wishes: PlacementWishes, flushMethod: FlushMethod,
        ringChoice: RingChoice, journal: JournalOptions, intake: IntakeLimits, reading: ReadLimits, topics: TopicDefaults,
        producerLimit: Int, producerExpiration: Int64, traceFile: String?, drainMilliseconds: Int = 10_000
    ) {
        self.dataDirectory = dataDirectory
        self.listenHost = listenHost
        self.listenPort = listenPort
        self.advertisedHost = advertisedHost
        self.advertisedPort = advertisedPort
        self.nodeId = nodeId
        self.clusterId = clusterId
        self.topology = topology
        self.wishes = wishes
        self.flushMethod = flushMethod
        self.ringChoice = ringChoice
        self.journal = journal
        self.intake = intake
        self.reading = reading
        self.topics = topics
        self.producerLimit = producerLimit
        self.producerExpiration = producerExpiration
        self.traceFile = traceFile
        self.drainMilliseconds = drainMilliseconds
    }
}

/// What makes a broker one of several.
public struct ClusterConfiguration: Sendable {
    public var etcd: EtcdOptions
    /// Where other brokers connect to; and what they are told. Nil: as clients are.
    public var peerHost: String
    public var peerPort: UInt16
    public var advertisedPeerHost: String?
    public var advertisedPeerPort: UInt16?
    /// How many partition groups there can be.
    public var groups: Int
    /// The replicas of a topic that is created without saying how many; nil: three, or as many as there are brokers.
    public var defaultReplicas: Int?
    public var times: ReplicaTimes

    public init(
        etcd: EtcdOptions, peerHost: String, peerPort: UInt16, advertisedPeerHost: String? = nil, advertisedPeerPort: UInt16? = nil,
        groups: Int, defaultReplicas: Int?, times: ReplicaTimes
    ) {
        self.etcd = etcd
        self.peerHost = peerHost
        self.peerPort = peerPort
        self.advertisedPeerHost = advertisedPeerHost
        self.advertisedPeerPort = advertisedPeerPort
        self.groups = groups
        self.defaultReplicas = defaultReplicas
        self.times = times
    }
}

/// Why the broker can't start, or had to stop: a sentence that says what to do.
public struct BrokerError: Error, CustomStringConvertible {
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
    public var description: String { reason }
}
