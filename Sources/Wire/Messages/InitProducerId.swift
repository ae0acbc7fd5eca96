/// Asks for a producer id, for idempotent and transactional producers (key 22; KIP-98, KIP-360).
public struct InitProducerIdRequest: Request {
    public static let api = APIKey.initProducerId
    public typealias Response = InitProducerIdResponse

    /// Nil: idempotent only.
    public var transactionalId: String?
    /// Milliseconds.
    public var transactionTimeoutMs: Int32 = 0
    /// The id whose epoch is to be raised; -1: a new one.
    public var producerId: Int64 = -1
    public var producerEpoch: Int16 = -1

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.nullableString(&transactionalId)
        try wire.int32(&transactionTimeoutMs)
        try wire.int64(&producerId, 3...)
        try wire.int16(&producerEpoch, 3...)
        try wire.tags()
    }
}

public struct InitProducerIdResponse: Response {
    public static let api = APIKey.initProducerId

    /// Milliseconds.
    public var throttleTimeMs: Int32 = 0
    public var errorCode = ErrorCode.none
    /// -1 with an error.
    public var producerId: Int64 = -1
    public var producerEpoch: Int16 = 0

    public init() {}

    public mutating func fields(_ wire: inout Wire) throws(WireError) {
        try wire.int32(&throttleTimeMs)
        try wire.error(&errorCode)
        try wire.int64(&producerId)
        try wire.int16(&producerEpoch)
        try wire.tags()
    }
}
