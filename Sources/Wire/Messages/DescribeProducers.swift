/// Asks partitions' leaders for the producers that they know of (key 61; KIP-664).
public struct DescribeProducersRequest: Request {
    public static let api = APIKey.describeProducers
    public typealias Response = DescribeProducersResponse

    public struct Topic: WireStruct {
        public var name = ""
        public var partitionIndexes: [Int32] = []

        public init() {}

        public init(name: String, partitionIndexes: [Int32]) {
            self.name = name
            self.partitionIndexes = partitionIndexes
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.int32Array(&partitionIndexes)
            try wire.tags()
        }
    }

    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.array(&topics)
        try wire.tags()
    }
}

public struct DescribeProducersResponse: Response {
    public static let api = APIKey.describeProducers

    /// What is remembered of one producer.
    public struct Producer: WireStruct {
        public var producerId: Int64 = 0
        public var producerEpoch: Int32 = 0
        /// The sequence number of its last record; -1: unknown.
        public var lastSequence: Int32 = -1
        /// When its last batch was made, in milliseconds since 1970; -1: unknown.
        public var lastTimestamp: Int64 = -1
        /// The epoch of the coordinator that ended its last transaction; -1: there was none.
        public var coordinatorEpoch: Int32 = -1
        /// The offset of the first record of its open transaction; -1: none is open.
        public var currentTxnStartOffset: Int64 = -1

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int64(&producerId)
            try wire.int32(&producerEpoch)
            try wire.int32(&lastSequence)
            try wire.int64(&lastTimestamp)
            try wire.int32(&coordinatorEpoch)
            try wire.int64(&currentTxnStartOffset)
            try wire.tags()
        }
    }

    public struct Partition: WireStruct {
        public var partitionIndex: Int32 = 0
        public var errorCode = ErrorCode.none
        public var errorMessage: String?
        public var activeProducers: [Producer] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&partitionIndex)
            try wire.error(&errorCode)
            try wire.nullableString(&errorMessage)
            try wire.array(&activeProducers)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.array(&partitions)
            try wire.tags()
        }
    }

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.array(&topics)
        try wire.tags()
    }
}
