import Codecs
import TestSupport
import Testing

@testable import Wire

@Suite struct RecordBatchTests {
    /// The records of scripts/batch-vectors.py.
    private let records = (0..<10).map { place in
        var record = Record(offset: Int64(place), timestamp: 1_700_000_000_000 + Int64(place), value: nil)
        if place % 3 != 0 { record.key = Array("key \(place)".utf8) }
        if place != 4 { record.value = Array("\(String(repeating: "value ", count: 20))\(place)".utf8) }
        if place == 2 { record.headers = [.init(key: "h", value: [0x78]), .init(key: "none", value: nil)] }
        return record
    }

    private func header(_ batch: [UInt8]) throws -> RecordBatchHeader {
        try batch.withUnsafeBytes { try RecordBatchHeader(checking: $0) }
    }

    @Test func readsTheBatchesOfOtherClients() throws {
        for (client, codec, hex) in batchVectors {
            let batch = bytes(hex)
            #expect(try RecordBatch.records(of: batch) == records, "\(client) \(codec)")
            let header = try header(batch)
            #expect(header.compression?.name == codec && header.size == batch.count)
            #expect(header.producerId == 7 && header.producerEpoch == 1 && header.baseSequence == 5)
            #expect(header.recordCount == 10 && header.lastOffsetDelta == 9 && header.baseOffset == 0)
            #expect(header.baseTimestamp == 1_700_000_000_000 && header.maxTimestamp == 1_700_000_000_009)
        }
    }

    @Test func buildsTheSameBytesAsOtherClients() throws {
        // Not compressed, for two builds of one codec need not agree in every byte.
        let batch = try RecordBatch.build(records, producerId: 7, producerEpoch: 1, baseSequence: 5)
        var theirs = bytes(batchVectors[0].hex)
        // Leader epoch: ours is -1, kafka-python's 0, and it is the broker's to fill in.
        theirs.replaceSubrange(12..<16, with: batch[12..<16])
        #expect(hexadecimal(batch) == hexadecimal(theirs))
    }

    @Test(arguments: CompressionType.allCases) func roundTrips(compression: CompressionType) throws {
        let batch = try RecordBatch.build(records, compression: compression, attributes: RecordBatch.Attributes.transactional)
        #expect(try RecordBatch.records(of: batch) == records)
        #expect(try header(batch).isTransactional && header(batch).compression == compression)
    }

    @Test func deltasMayBeNegativeAndFar() throws {
        let records = [
            Record(offset: 0, timestamp: 0, value: []), Record(offset: 1, timestamp: .min, value: nil),
            Record(offset: 2, timestamp: .max, value: nil),
        ]
        #expect(try RecordBatch.records(of: RecordBatch.build(records)) == records)
        let far = [Record(timestamp: .max, value: nil), Record(timestamp: -2, value: nil)]
        #expect(throws: WireError.self) { try RecordBatch.build(far) }
    }

    @Test func theBrokersTimeStandsForAllRecords() throws {
        var batch = try RecordBatch.build(records, attributes: RecordBatch.Attributes.logAppendTime)
        batch.withUnsafeMutableBytes {
            $0.storeBytes(of: Int64(99).bigEndian, toByteOffset: RecordBatch.Field.maxTimestamp, as: Int64.self)
            let crc = RecordBatch.crc(of: UnsafeRawBufferPointer($0))
            $0.storeBytes(of: crc.bigEndian, toByteOffset: RecordBatch.Field.crc, as: UInt32.self)
        }
        #expect(try RecordBatch.records(of: batch).allSatisfy { $0.timestamp == 99 })
    }

    @Test(arguments: CompressionType.allCases) func aBatchIsStamped(compression: CompressionType) throws {
        var batch = try RecordBatch.build(records, compression: compression)
        let before = try header(batch)
        batch.withUnsafeMutableBytes { RecordBatch.stamp($0, appendTime: 99) }
        #expect(try RecordBatch.records(of: batch).map(\.value) == records.map(\.value), "its CRC holds")
        #expect(try RecordBatch.records(of: batch).allSatisfy { $0.timestamp == 99 })
        var wanted = before
        wanted.attributes |= RecordBatch.Attributes.logAppendTime
        wanted.maxTimestamp = 99
        wanted.crc = try header(batch).crc
        #expect(try header(batch) == wanted && wanted.crc != before.crc)
    }

    @Test func anyDamageIsFound() throws {
        let batch = try RecordBatch.build(records, compression: .lz4)
        for place in batch.indices {
            var damaged = batch
            damaged[place] ^= 0x40
            // Base offset and leader epoch are outside the CRC.
            if (0..<8).contains(place) || (12..<16).contains(place) { continue }
            #expect(throws: (any Error).self, "byte \(place)") { try RecordBatch.records(of: damaged) }
        }
        for length in batch.indices {
            #expect(throws: (any Error).self) { try RecordBatch.records(of: Array(batch[..<length])) }
        }
    }

    @Test func noiseBehindAGoodCRCNeverTraps() throws {
        var random = SeededRandom(seed: 3)
        for compression in CompressionType.allCases {
            let batch = try RecordBatch.build(records, compression: compression)
            for _ in 0..<5_000 {
                var damaged = batch
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let place = Int.random(in: 21..<batch.count, using: &random)
                    damaged[place] = UInt8.random(in: 0...255, using: &random)
                }
                damaged.withUnsafeMutableBytes {
                    let crc = RecordBatch.crc(of: UnsafeRawBufferPointer($0))
                    $0.storeBytes(of: crc.bigEndian, toByteOffset: RecordBatch.Field.crc, as: UInt32.self)
                }
                _ = try? RecordBatch.records(of: damaged, limit: 1 << 20)
            }
        }
    }

    @Test func refusesBatchesWithoutRecords() {
        #expect(throws: WireError.self) { try RecordBatch.build([]) }
    }
}
