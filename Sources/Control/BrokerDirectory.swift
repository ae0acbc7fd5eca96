import Metadata

/// A broker as clients are told of it.
public struct BrokerAddress: Hashable, Sendable {
    public var nodeId: Int32
    public var host: String
    public var port: Int32

    public init(nodeId: Int32, host: String, port: Int32) {
        self.nodeId = nodeId
        self.host = host
        self.port = port
    }
}

/// Who leads a partition group, and who has it, by node ids.
public struct GroupLeadership: Hashable, Sendable {
    /// Nil: nobody leads now.
    public var leader: Int32?
    /// Whether the leader has begun its epoch: it knows a majority's logs. One that has not may yet have to give up.
    public var hasBegun: Bool
    public var epoch: UInt32
    public var replicas: [Int32]
    /// Those of them that are there.
    public var live: [Int32]
    /// Those that have caught up with the leader, itself among them.
    public var inSync: [Int32]

    public init(leader: Int32?, hasBegun: Bool, epoch: UInt32, replicas: [Int32], live: [Int32], inSync: [Int32]) {
        self.leader = leader
        self.hasBegun = hasBegun
        self.epoch = epoch
        self.replicas = replicas
        self.live = live
        self.inSync = inSync
    }
}

/// What the control stage has to know of the brokers. It is asked by the stage's thread, and answers at once.
public protocol BrokerDirectory: AnyObject {
    /// Whether there can be no other brokers.
    var isAlone: Bool { get }
    /// The brokers that are there, by node id, and which of them clients are to send changes to.
    var brokers: [BrokerAddress] { get }
    var controller: Int32 { get }
    func leadership(of group: UInt16) -> GroupLeadership
    /// The replicas of a topic that is created without saying how many.
    var defaultReplicas: Int { get }
    /// The partition groups for a topic with so many replicas; or why there can be none.
    func groups(replicas: Int) -> Result<[UInt16], DirectoryRefusal>
    /// The replicas of the group.
    func replicas(of group: UInt16) -> Int
    /// The brokers that are to have the group, the one first that is to lead. Who has it may still be others.
    func target(of group: UInt16) -> [Int32]
    /// Puts down what is wanted of groups, together under a token of the caller's; what comes of it is told by `nextOrderOutcome`, whose caller is woken.
    func order(_ orders: [UInt16: GroupOrder], token: UInt64)
    func nextOrderOutcome() -> GroupOrderOutcome?
}

extension BrokerDirectory {
    public var isAlone: Bool { false }
}

/// Why a topic can't have so many replicas: a sentence.
public struct DirectoryRefusal: Error, Sendable {
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
}

/// A broker that is alone: it leads everything, in the epochs that it has begun at its start.
public final class LoneBroker: BrokerDirectory {
    private let address: BrokerAddress
    private let epochs: [UInt32]
    private var outcomes: [GroupOrderOutcome] = []

    /// - Parameter epochs: by partition group.
    public init(_ address: BrokerAddress, epochs: [UInt32]) {
        self.address = address
        self.epochs = epochs
    }

    public var isAlone: Bool { true }
    public var brokers: [BrokerAddress] { [address] }
    public var controller: Int32 { address.nodeId }
    public var defaultReplicas: Int { 1 }
    public func replicas(of group: UInt16) -> Int { 1 }
    public func target(of group: UInt16) -> [Int32] { [address.nodeId] }

    /// All is as it can be wanted.
    public func order(_ orders: [UInt16: GroupOrder], token: UInt64) { outcomes.append(GroupOrderOutcome(token: token, failures: [:])) }
    public func nextOrderOutcome() -> GroupOrderOutcome? { outcomes.isEmpty ? nil : outcomes.removeFirst() }

    public func leadership(of group: UInt16) -> GroupLeadership {
        let epoch = Int(group) < epochs.count ? epochs[Int(group)] : 0
        let own = [address.nodeId]
        return GroupLeadership(leader: address.nodeId, hasBegun: true, epoch: epoch, replicas: own, live: own, inSync: own)
    }

    public func groups(replicas: Int) -> Result<[UInt16], DirectoryRefusal> {
        guard replicas == 1 else { return .failure(DirectoryRefusal("there is one broker, so a topic has 1 replica, not \(replicas)")) }
        return .success((0..<UInt16(epochs.count)).map { $0 })
    }
}
