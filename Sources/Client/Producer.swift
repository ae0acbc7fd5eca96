import Codecs
import Wire

/// Gathers records into batches, one per partition, and sends them one after the other.
public final class Producer {
    public struct Options {
        public var compression = CompressionType.none
        /// 0, 1 or -1 (all).
        public var acks: Int16 = -1
        public var idempotent = false
        /// Nil: by the key's hash, as the Java client does; records without a key go to one partition after the other.
        public var partition: Int32?
        /// Bytes of keys and values after which a batch is sent.
        public var batchBytes = 256 << 10
        /// Called for each batch that was acknowledged: where it went, the offset of its first record, the number of records, and what the broker says of what
        /// became of it (nil: nothing). Nil: the broker is not asked.
        public var receipt: ((KafkaClient.TopicPartition, Int64, Int, Receipt?) -> Void)?

        public init() {}
    }

    private let client: KafkaClient
    private let topic: String
    private let options: Options
    private let partitionCount: Int32
    private let producer: (id: Int64, epoch: Int16)
    private var pending: [Int32: (records: [Record], bytes: Int)] = [:]
    private var sequences: [Int32: Int32] = [:]
    /// Where records without a key go until their batch is full.
    private var keylessPartition: Int32 = 0

    /// Creates the topic if the broker is set to.
    public init(_ client: KafkaClient, topic: String, options: Options = Options()) throws {
        self.client = client
        self.topic = topic
        self.options = options
        partitionCount = try client.partitionCount(of: topic, create: true)
        guard partitionCount > 0 else { throw ClientError.protocolMismatch("The topic \(topic) has no partitions.") }
        if let partition = options.partition, !(0..<partitionCount).contains(partition) {
            throw ClientError.protocolMismatch(
                "The topic \(topic) has the partitions 0 to \(partitionCount - 1), not \(partition).")
        }
        producer = options.idempotent ? try client.initProducerId() : (RecordBatch.noProducerId, RecordBatch.noProducerEpoch)
        keylessPartition = .random(in: 0..<partitionCount)
    }

    /// Takes a record, and sends its batch if that is full now.
    public func add(_ record: Record) throws {
        let partition = options.partition ?? record.key.map(partition(ofKey:)) ?? keylessPartition
        pending[partition, default: ([], 0)].records.append(record)
        pending[partition]?.bytes += (record.key?.count ?? 0) + (record.value?.count ?? 0)
        if let bytes = pending[partition]?.bytes, bytes >= options.batchBytes { try send(partition) }
    }

    /// Sends all that was taken.
    public func flush() throws {
        for partition in pending.keys.sorted() { try send(partition) }
    }

    private func send(_ partition: Int32) throws {
        guard let records = pending.removeValue(forKey: partition)?.records, !records.isEmpty else { return }
        let sequence = sequences[partition] ?? 0
        let batch = try RecordBatch.build(
            records, compression: options.compression, producerId: producer.id, producerEpoch: producer.epoch,
            baseSequence: options.idempotent ? sequence : RecordBatch.noSequence)
        var receipt: Receipt?
        let offset = try client.produce(
            batch, to: .init(topic, partition), acks: options.idempotent ? -1 : options.acks, resend: options.idempotent,
            receipt: options.receipt == nil ? nil : { receipt = $0 })
        options.receipt?(.init(topic, partition), offset, records.count, receipt)
        // Sequence numbers go round from the greatest to 0.
        sequences[partition] = Int32(truncatingIfNeeded: (Int(sequence) + records.count) & Int(Int32.max))
        if partition == keylessPartition { keylessPartition = (partition + 1) % partitionCount }
    }

    private func partition(ofKey key: [UInt8]) -> Int32 {
        (murmur2(key) & Int32.max) % partitionCount
    }
}

/// The hash with which Kafka's Java client spreads keys over partitions (Austin Appleby's MurmurHash2, seed 0x9747b28c).
func murmur2(_ bytes: [UInt8]) -> Int32 {
    let factor: UInt32 = 0x5bd1_e995
    var hash = 0x9747_b28c ^ UInt32(truncatingIfNeeded: bytes.count)
    let words = bytes.count / 4
    for word in 0..<words {
        var bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[word * 4 + $1]) << (8 * UInt32($1)) }
        bits = bits &* factor
        bits = (bits ^ (bits >> 24)) &* factor
        hash = (hash &* factor) ^ bits
    }
    let rest = bytes[(words * 4)...]
    if !rest.isEmpty {
        for (place, byte) in rest.enumerated() { hash ^= UInt32(byte) << (8 * UInt32(place)) }
        hash = hash &* factor
    }
    hash = (hash ^ (hash >> 13)) &* factor
    return Int32(bitPattern: hash ^ (hash >> 15))
}
