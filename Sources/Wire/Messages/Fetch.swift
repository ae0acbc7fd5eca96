/// Reads record batches of partitions (key 1). From version 13 on topics are named by their ids (KIP-516).
public struct FetchRequest: Request {
    public static let api = APIKey.fetch
    public typealias Response = FetchResponse

    public struct Partition: WireStruct {
        public var partition: Int32 = 0
        /// The leader epoch that the reader knows; -1: none, so it is not checked (KIP-320).
        public var currentLeaderEpoch: Int32 = -1
        public var fetchOffset: Int64 = 0
        /// The epoch of the last record that the reader has; -1: not said (KIP-595).
        public var lastFetchedEpoch: Int32 = -1
        /// Used by followers only; -1 from consumers.
        public var logStartOffset: Int64 = -1
        /// Bytes; the first batch may be larger.
        public var partitionMaxBytes: Int32 = 0
        /// Of the log directory of a follower (KIP-858).
        public var replicaDirectoryId: Uuid?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partition)
            try wire.int32(&currentLeaderEpoch, 9...)
            try wire.int64(&fetchOffset)
            try wire.int32(&lastFetchedEpoch, 12...)
            try wire.int64(&logStartOffset, 5...)
            try wire.int32(&partitionMaxBytes)
            try wire.tags(replicaDirectoryId == nil ? [] : [0]) { wire, tag throws(WireError) in
                guard tag == 0 else { return false }
                var id = replicaDirectoryId ?? .zero
                try wire.uuid(&id)
                replicaDirectoryId = id
                return true
            }
        }
    }

    public struct Topic: WireStruct {
        public var topic = ""
        public var topicId = Uuid.zero
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&topic, ...12)
            try wire.uuid(&topicId, 13...)
            try wire.array(&partitions)
            try wire.tags()
        }
    }

    /// Partitions that leave a fetch session (KIP-227).
    public struct ForgottenTopic: WireStruct {
        public var topic = ""
        public var topicId = Uuid.zero
        public var partitions: [Int32] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&topic, ...12)
            try wire.uuid(&topicId, 13...)
            try wire.int32Array(&partitions)
            try wire.tags()
        }
    }

    /// A follower, and which of its lives it is (KIP-903).
    public struct ReplicaState: WireStruct {
        /// -1: a consumer.
        public var replicaId: Int32 = -1
        public var replicaEpoch: Int64 = -1

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&replicaId)
            try wire.int64(&replicaEpoch)
            try wire.tags()
        }
    }

    /// The cluster that the reader means, if it says so.
    public var clusterId: String?
    /// -1: a consumer.
    public var replicaId: Int32 = -1
    /// From version 15 on instead of `replicaId`; nil: a consumer.
    public var replicaState: ReplicaState?
    /// How long the broker may wait for `minBytes`, in milliseconds.
    public var maxWaitMs: Int32 = 0
    public var minBytes: Int32 = 0
    /// Bytes of all partitions together; the first batch may be larger.
    public var maxBytes: Int32 = .max
    /// 0: read uncommitted; 1: read committed.
    public var isolationLevel: Int8 = 0
    public var sessionId: Int32 = 0
    /// -1: no session.
    public var sessionEpoch: Int32 = -1
    public var topics: [Topic] = []
    public var forgottenTopics: [ForgottenTopic] = []
    public var rackId = ""

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&replicaId, ...14)
        try wire.int32(&maxWaitMs)
        try wire.int32(&minBytes)
        try wire.int32(&maxBytes)
        try wire.int8(&isolationLevel)
        try wire.int32(&sessionId, 7...)
        try wire.int32(&sessionEpoch, 7...)
        try wire.array(&topics)
        try wire.array(&forgottenTopics, 7...)
        try wire.string(&rackId, 11...)
        try wire.tags((clusterId == nil ? [] : [0]) + (replicaState == nil ? [] : [1])) { wire, tag throws(WireError) in
            switch tag {
            case 0: try wire.nullableString(&clusterId)
            case 1: try wire.tagged(&replicaState)
            default: return false
            }
            return true
        }
    }
}

public struct FetchResponse: Response {
    public static let api = APIKey.fetch

    /// Where the reader's log and the leader's part (KIP-595).
    public struct EpochEndOffset: WireStruct {
        public var epoch: Int32 = -1
        public var endOffset: Int64 = -1

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&epoch)
            try wire.int64(&endOffset)
            try wire.tags()
        }
    }

    /// A snapshot that the reader has to fetch first (KIP-630).
    public struct SnapshotId: WireStruct {
        public var endOffset: Int64 = -1
        public var epoch: Int32 = -1

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int64(&endOffset)
            try wire.int32(&epoch)
            try wire.tags()
        }
    }

    public struct AbortedTransaction: WireStruct {
        public var producerId: Int64 = 0
        public var firstOffset: Int64 = 0

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int64(&producerId)
            try wire.int64(&firstOffset)
            try wire.tags()
        }
    }

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        public var errorCode = ErrorCode.none
        /// -1 with an error.
        public var highWatermark: Int64 = -1
        public var lastStableOffset: Int64 = -1
        public var logStartOffset: Int64 = -1
        public var divergingEpoch: EpochEndOffset?
        public var currentLeader: LeaderIdAndEpoch?
        public var snapshotId: SnapshotId?
        /// Nil where the reader does not ask for committed data only.
        public var abortedTransactions: [AbortedTransaction]?
        /// -1: the leader.
        public var preferredReadReplica: Int32 = -1
        /// Whole record batches, the last of which may be cut off.
        public var records: [UInt8]?

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.error(&errorCode)
            try wire.int64(&highWatermark)
            try wire.int64(&lastStableOffset)
            try wire.int64(&logStartOffset, 5...)
            try wire.nullableArray(&abortedTransactions)
            try wire.int32(&preferredReadReplica, 11...)
            try wire.records(&records)
            try wire.tags(presentTags) { wire, tag throws(WireError) in
                switch tag {
                case 0: try wire.tagged(&divergingEpoch)
                case 1: try wire.tagged(&currentLeader)
                case 2: try wire.tagged(&snapshotId)
                default: return false
                }
                return true
            }
        }

        private var presentTags: [UInt32] {
            var tags: [UInt32] = []
            if divergingEpoch != nil { tags.append(0) }
            if currentLeader != nil { tags.append(1) }
            if snapshotId != nil { tags.append(2) }
            return tags
        }
    }

    public struct Topic: WireStruct {
        public var topic = ""
        public var topicId = Uuid.zero
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&topic, ...12)
            try wire.uuid(&topicId, 13...)
            try wire.array(&partitions)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    /// An error of the whole request, e.g. of its session.
    public var errorCode = ErrorCode.none
    /// 0: no session.
    public var sessionId: Int32 = 0
    public var topics: [Topic] = []
    /// The brokers that partitions' `currentLeader` names; from version 16 on.
    public var nodeEndpoints: [NodeEndpoint] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.error(&errorCode, 7...)
        try wire.int32(&sessionId, 7...)
        try wire.array(&topics)
        try wire.tags(nodeEndpoints.isEmpty ? [] : [0]) { wire, tag throws(WireError) in
            guard tag == 0 else { return false }
            try wire.array(&nodeEndpoints)
            return true
        }
    }
}
