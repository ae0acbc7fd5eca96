import Codecs
import TestSupport
import Testing
import Wire

@testable import Sequencer

@Suite struct BatchValidatorTests {
    private static let limit = 1 << 20

    private func flaw(_ batch: [UInt8], limit: Int = limit) -> ErrorCode? {
        batch.withUnsafeBytes { BatchValidator.flaw($0, limit: limit) }
    }

    private func records(_ count: Int) -> [Record] {
        (0..<count).map { number in
            Record(
                timestamp: 1_700_000_000_000 + Int64(number), key: number % 2 == 0 ? nil : Array("key \(number)".utf8),
                value: number % 5 == 4 ? nil : Array(repeating: UInt8(truncatingIfNeeded: number), count: number * 3),
                headers: number % 3 == 0 ? [.init(key: "h", value: [1, 2])] : [])
        }
    }

    /// A batch with one field changed and the CRC made right again.
    private func changed<T: FixedWidthInteger>(_ at: Int, to value: T, in batch: [UInt8]) -> [UInt8] {
        var batch = batch
        batch.withUnsafeMutableBytes { $0.storeBytes(of: value.bigEndian, toByteOffset: at, as: T.self) }
        return signed(batch)
    }

    private func signed(_ batch: [UInt8]) -> [UInt8] {
        guard batch.count >= RecordBatch.headerLength else { return batch }
        var batch = batch
        batch.withUnsafeMutableBytes {
            let crc = RecordBatch.crc(of: UnsafeRawBufferPointer($0))
            $0.storeBytes(of: crc.bigEndian, toByteOffset: RecordBatch.Field.crc, as: UInt32.self)
        }
        return batch
    }

    @Test(arguments: CompressionType.allCases) func soundBatchesPass(compression: CompressionType) throws {
        for count in [1, 2, 10, 200] {
            let plain = try RecordBatch.build(records(count), compression: compression)
            #expect(flaw(plain) == nil)
            let idempotent = try RecordBatch.build(
                records(count), compression: compression, producerId: 0, producerEpoch: 0, baseSequence: 0)
            #expect(flaw(idempotent) == nil)
            #expect(flaw(idempotent, limit: idempotent.count) == nil)
            #expect(flaw(idempotent, limit: idempotent.count - 1) == .messageTooLarge)
        }
    }

    @Test func whatIsTooShortIsCorrupt() throws {
        let batch = try RecordBatch.build(records(5))
        for length in 0..<batch.count { #expect(flaw(Array(batch[..<length])) == .corruptMessage, "\(length) bytes") }
        #expect(flaw(batch + [0]) == .invalidRecord, "more than one batch")
        #expect(flaw(batch + batch) == .invalidRecord)
        #expect(BatchValidator.flaw(UnsafeRawBufferPointer(start: nil, count: 0), limit: 100) == .corruptMessage)
    }

    @Test func eachFlawHasItsError() throws {
        typealias Field = RecordBatch.Field
        let batch = try RecordBatch.build(records(5), producerId: 7, producerEpoch: 1, baseSequence: 3)
        #expect(flaw(changed(Field.magic, to: Int8(1), in: batch)) == .invalidRecord)
        #expect(flaw(changed(Field.magic, to: Int8(0), in: Array(batch[..<30]))) == .invalidRecord, "shorter formats")
        #expect(flaw(changed(Field.magic, to: Int8(-1), in: batch)) == .invalidRecord)
        for length in [Int32.min, -1, 0, .max] {
            #expect(flaw(changed(Field.batchLength, to: length, in: batch)) == .corruptMessage)
        }
        var damaged = batch
        damaged[Field.crc] ^= 1
        #expect(flaw(damaged) == .corruptMessage)
        for count in [Int32.min, -1, 0, 4, 6, .max] {
            #expect(flaw(changed(Field.recordCount, to: count, in: batch)) == .invalidRecord)
        }
        for delta in [Int32.min, -1, 3, 5, .max] {
            #expect(flaw(changed(Field.lastOffsetDelta, to: delta, in: batch)) == .invalidRecord)
        }
        for attributes in [RecordBatch.Attributes.control, RecordBatch.Attributes.transactional] {
            #expect(flaw(changed(Field.attributes, to: attributes, in: batch)) == .invalidRecord)
        }
        #expect(flaw(changed(Field.attributes, to: RecordBatch.Attributes.logAppendTime, in: batch)) == .invalidTimestamp)
        for codec in Int16(5)...7 {
            #expect(flaw(changed(Field.attributes, to: codec, in: batch)) == .unsupportedCompressionType)
        }
        #expect(flaw(changed(Field.producerEpoch, to: Int16(-1), in: batch)) == .invalidRecord)
        #expect(flaw(changed(Field.baseSequence, to: Int32(-1), in: batch)) == .invalidRecord)
        #expect(flaw(changed(Field.producerId, to: Int64(-1), in: batch)) == nil, "epoch and sequence mean nothing then")
    }

    /// Count and last offset delta agree with each other, but not with the records.
    @Test func uncompressedRecordsAreCounted() throws {
        let batch = try RecordBatch.build(records(5))
        for count in [Int32(1), 4, 6, 1000, .max] {
            let header = changed(RecordBatch.Field.recordCount, to: count, in: batch)
            #expect(flaw(changed(RecordBatch.Field.lastOffsetDelta, to: count - 1, in: header)) == .invalidRecord)
        }
        // Lengths that are negative, end nowhere, or point past the end.
        for length: [UInt8] in [[0x01], [0xff, 0xff, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0xff, 0x7f], [0xfe, 0x7f], [0x80]] {
            var bad = Array(batch[..<RecordBatch.headerLength]) + length
            bad = changed(RecordBatch.Field.batchLength, to: Int32(bad.count - RecordBatch.lengthOverhead), in: bad)
            bad = changed(RecordBatch.Field.recordCount, to: Int32(1), in: bad)
            #expect(flaw(changed(RecordBatch.Field.lastOffsetDelta, to: Int32(0), in: bad)) == .invalidRecord, "\(length)")
        }
    }

    /// Base offset and leader epoch are the broker's and outside the CRC; whatever else changes must be found.
    @Test func mutatedBatchesAreNeverAccepted() throws {
        var random = SeededRandom(seed: 11)
        let batches = try [
            RecordBatch.build(records(3)), RecordBatch.build(records(12), producerId: 7, producerEpoch: 1, baseSequence: 3),
            RecordBatch.build(records(40), compression: .lz4), RecordBatch.build(records(1), compression: .zstd),
        ]
        func covered(_ batch: [UInt8]) -> [UInt8] { Array(batch[8..<12] + batch[16...]) }
        var accepted = 0
        var wrongly = 0
        for round in 0..<200_000 {
            let batch = batches[round % batches.count]
            let mutated = batch.mutated(using: &random)
            guard flaw(mutated) == nil else { continue }
            accepted += 1
            if mutated.count != batch.count || covered(mutated) != covered(batch) { wrongly += 1 }
        }
        #expect(wrongly == 0)
        #expect(accepted > 0, "some touch only what isn't covered")
    }

    /// With the CRC made right the checks behind it are reached; what passes holds what its header says.
    @Test func mutatedAndSignedBatchesNeverTrap() throws {
        var random = SeededRandom(seed: 12)
        let batch = try RecordBatch.build(records(6), producerId: 7, producerEpoch: 1, baseSequence: 3)
        var refused = 0
        var wrong = 0
        for _ in 0..<50_000 {
            let mutated = signed(batch.mutated(using: &random))
            guard flaw(mutated) == nil else {
                refused += 1
                continue
            }
            let header = try mutated.withUnsafeBytes { try RecordBatchHeader(checking: $0) }
            if header.size != mutated.count || header.recordCount != header.lastOffsetDelta + 1 { wrong += 1 }
        }
        #expect(wrong == 0 && refused > 10_000 && refused < 50_000)
    }
}
