// What Produce's and Fetch's answers share: who leads a partition now, so that a client need not ask Metadata (KIP-951).

/// A partition's leader and its epoch.
public struct LeaderIdAndEpoch: WireStruct {
    /// -1: unknown.
    public var leaderId: Int32 = -1
    /// -1: unknown.
    public var leaderEpoch: Int32 = -1

    public init() {}

    public init(leaderId: Int32, leaderEpoch: Int32) {
        self.leaderId = leaderId
        self.leaderEpoch = leaderEpoch
    }

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&leaderId)
        try wire.int32(&leaderEpoch)
        try wire.tags()
    }
}

/// A broker's address.
public struct NodeEndpoint: WireStruct {
    public var nodeId: Int32 = 0
    public var host = ""
    public var port: Int32 = 0
    public var rack: String?

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&nodeId)
        try wire.string(&host)
        try wire.int32(&port)
        try wire.nullableString(&rack)
        try wire.tags()
    }
}
