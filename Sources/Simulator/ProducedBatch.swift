import Codecs
import Wire

/// A batch that a simulated producer sends to one partition.
struct ProducedBatch {
    let model: PartitionModel
    let acks: Int16
    /// Its bytes are spoilt on the way: it must be refused.
    let isBad: Bool
    /// Of its first record; -1: an idempotent producer does not send it, or does not stand by it any more.
    var sequence: Int32 = -1
    var values: [String] = []

    init(_ model: PartitionModel, acks: Int16, isBad: Bool) {
        self.model = model
        self.acks = acks
        self.isBad = isBad
    }

    /// So many bytes of a record's value that mean nothing.
    static func padding(_ count: Int) -> String { String(decoding: repeatElement(UInt8(ascii: "v"), count: max(count, 0)), as: UTF8.self) }

    /// - Parameters:
    ///   - producerId: of an idempotent producer.
    ///   - timestamp: of its records, in milliseconds since 1970.
    func request(producerId: Int64, timestamp: Int64) throws -> ProduceRequest {
        var records = try RecordBatch.build(
            values.map { model.record($0, timestamp: timestamp) },
            producerId: sequence >= 0 ? producerId : RecordBatch.noProducerId,
            producerEpoch: sequence >= 0 ? 0 : RecordBatch.noProducerEpoch, baseSequence: sequence)
        if isBad { records[records.count - 1] ^= 0x40 }
        var request = ProduceRequest()
        request.acks = acks
        request.timeoutMs = 30_000
        request.topics = [.init(name: model.topic, partitions: [.init(index: model.partition, records: records)])]
        return request
    }
}
