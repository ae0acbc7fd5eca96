/// One of the assignors that a member can use, and what that one is to be told of the member: its subscription, mostly.
public struct GroupProtocol: Hashable, Sendable {
    public var name: String
    public var metadata: [UInt8]

    public init(name: String, metadata: [UInt8]) {
        self.name = name
        self.metadata = metadata
    }
}

/// A member of a consumer group, as the group's coordinator knows it.
public struct GroupMember: Sendable {
    public let id: String
    /// Of a static member (KIP-345): it keeps its place, under another id, when its process is started again.
    public let instanceId: String?
    public var clientId: String
    public var clientHost: String
    /// How long others wait for it to join again, and how long it may not be heard of; in nanoseconds.
    public var rebalanceTimeout: UInt64
    public var sessionTimeout: UInt64
    /// In the order in which it likes them.
    public var protocols: [GroupProtocol]
    public var assignment: [UInt8] = []
    /// The requests of it that wait for an answer: a JoinGroup, for the others; a SyncGroup, for the leader's assignment.
    var joining: UInt64?
    var syncing: UInt64?
    /// It has joined in this generation, and not asked for its assignment yet.
    var owesSync = false
    /// Not heard of by then, by the monotonic clock, it is gone.
    var expiresAt: UInt64 = .max
    /// Who comes first: of those who have joined, the one that came first leads.
    var order: UInt64 = 0

    public init(
        id: String, instanceId: String?, clientId: String, clientHost: String, rebalanceTimeout: UInt64, sessionTimeout: UInt64,
        protocols: [GroupProtocol]
    ) {
        self.id = id
        self.instanceId = instanceId
        self.clientId = clientId
        self.clientHost = clientHost
        self.rebalanceTimeout = rebalanceTimeout
        self.sessionTimeout = sessionTimeout
        self.protocols = protocols
    }

    /// The same member under another id: its process was started again.
    func renamed(_ id: String) -> GroupMember {
        var other = GroupMember(
            id: id, instanceId: instanceId, clientId: clientId, clientHost: clientHost, rebalanceTimeout: rebalanceTimeout,
            sessionTimeout: sessionTimeout, protocols: protocols)
        other.assignment = assignment
        other.expiresAt = expiresAt
        other.order = order
        other.owesSync = owesSync
        return other
    }

    public func metadata(for name: String?) -> [UInt8] { protocols.first { $0.name == name }?.metadata ?? [] }
}
