/// Appends record batches to partitions (key 0).
public struct ProduceRequest: Request {
    public static let api = APIKey.produce
    public typealias Response = ProduceResponse

    public struct Partition: WireStruct {
        public var index: Int32 = 0
        /// Record batches of format v2 (``RecordBatch``), as the producer made them.
        public var records: [UInt8]?

        public init() {}

        public init(index: Int32, records: [UInt8]?) {
            self.index = index
            self.records = records
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&index)
            try wire.records(&records)
            try wire.tags()
        }
    }

    public struct Topic: WireStruct {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

        public init(name: String, partitions: [Partition]) {
            self.name = name
            self.partitions = partitions
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.array(&partitions)
            try wire.tags()
        }
    }

    public var transactionalId: String?
    /// 0: no answer; 1: the leader's; -1: all in-sync replicas'.
    public var acks: Int16 = 0
    /// How long the broker may wait for `acks`, in milliseconds.
    public var timeoutMs: Int32 = 0
    public var topics: [Topic] = []

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.nullableString(&transactionalId)
        try wire.int16(&acks)
        try wire.int32(&timeoutMs)
        try wire.array(&topics)
        try wire.tags()
    }
}

public struct ProduceResponse: Response {
    public static let api = APIKey.produce

    /// Why one record of a batch was refused (KIP-467).
    public struct RecordError: WireStruct {
        /// The record's place in its batch, from 0.
        public var batchIndex: Int32 = 0
        public var message: String?

        public init() {}

        public init(batchIndex: Int32, message: String?) {
            self.batchIndex = batchIndex
            self.message = message
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&batchIndex)
            try wire.nullableString(&message)
            try wire.tags()
        }
    }

    public struct Partition: WireStruct {
        public var index: Int32 = 0
        public var errorCode = ErrorCode.none
        /// The offset of the first record; -1 with an error.
        public var baseOffset: Int64 = -1
        /// Milliseconds since 1970; -1 if the topic's timestamps are the producer's.
        public var logAppendTimeMs: Int64 = -1
        public var logStartOffset: Int64 = -1
        public var recordErrors: [RecordError] = []
        public var errorMessage: String?
        /// Who leads now; nil if it need not be said (KIP-951).
        public var currentLeader: LeaderIdAndEpoch?

        public init() {}

        public init(index: Int32, errorCode: ErrorCode = .none, baseOffset: Int64 = -1) {
            self.index = index
            self.errorCode = errorCode
            self.baseOffset = baseOffset
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.int32(&index)
            try wire.error(&errorCode)
            try wire.int64(&baseOffset)
            try wire.int64(&logAppendTimeMs, 2...)
            try wire.int64(&logStartOffset, 5...)
            try wire.array(&recordErrors, 8...)
            try wire.nullableString(&errorMessage, 8...)
            let writesLeader = currentLeader != nil && wire.version >= 10
            try wire.tags(writesLeader ? [0] : []) { wire, tag throws(WireError) in
                guard tag == 0, wire.version >= 10 else { return false }
                try wire.tagged(&currentLeader)
                return true
            }
        }
    }

    public struct Topic: WireStruct {
        public var name = ""
        public var partitions: [Partition] = []

        public init() {}

        public init(name: String, partitions: [Partition]) {
            self.name = name
            self.partitions = partitions
        }

        public mutating func fields(_ wire: inout Wire) throws(WireError) {
            try wire.string(&name)
            try wire.array(&partitions)
            try wire.tags()
        }
    }

    public var topics: [Topic] = []
    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    /// The addresses of the leaders that the partitions name (KIP-951).
    public var nodeEndpoints: [NodeEndpoint] = []
    /// Where it was asked for, of a request with one partition.
    public var receipt: Receipt?

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.array(&topics)
        try wire.int32(&throttleTimeMs, 1...)
        let writesEndpoints = !nodeEndpoints.isEmpty && wire.version >= 10
        try wire.tags((writesEndpoints ? [0] : []) + (receipt == nil ? [] : [ReceiptTag.number])) { wire, tag throws(WireError) in
            switch tag {
            case 0 where wire.version >= 10: try wire.array(&nodeEndpoints)
            case ReceiptTag.number: try wire.tagged(&receipt)
            default: return false
            }
            return true
        }
    }
}
