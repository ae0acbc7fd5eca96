import Codecs
import Journal
import TestSupport
import Testing
import Wire

@testable import Sequencer

@Suite struct SequencerStateTests {
    private func state() -> SequencerState {
        var random = SeededRandom(seed: 5)
        var state = SequencerState(producerLimit: 1000)
        for partition in UInt32(0)..<20 where partition % 3 != 2 {
            state.setNextOffset(Int64(random.below(1 << 30)), partition: partition)
        }
        // With one, five and more than five batches.
        for producer in Int64(0)..<50 {
            for number in Int32(0)..<Int32(1 + producer % 8) {
                state.producers.record(
                    state.producers.find(UInt32(producer % 7), producer << 33), partition: UInt32(producer % 7), id: producer << 33, epoch: Int16(producer),
                    batch: ProducerState.Batch(
                        firstSequence: number * 10, lastSequence: number * 10 + 9, baseOffset: producer * 1000 + Int64(number),
                        end: random.next()),
                    time: 1_700_000_000_000 + producer)
            }
        }
        return state
    }

    @Test func comesBackAsItWas() throws {
        let state = state()
        let bytes = state.encode()
        let back = try #require(SequencerState(decoding: bytes, producerLimit: 1000))
        #expect(back.offsets == state.offsets && back.offsets.count == 20)
        #expect(back.producers.count == 50 && back.encode() == bytes)
        #expect(back.nextOffset(1) == state.nextOffset(1) && back.nextOffset(2) == 0 && back.nextOffset(99) == 0)
        for producer in state.producers.all {
            for index in 0..<Int(producer.count) {
                let batch = producer[index]
                let verdict = back.producers.judge(
                    back.producers.find(producer.partition, producer.id), epoch: producer.epoch,
                    firstSequence: batch.firstSequence, lastSequence: batch.lastSequence)
                #expect(verdict == .duplicate(baseOffset: batch.baseOffset, end: batch.end))
            }
        }
        #expect(back.producers.all.map(\.lastTime) == state.producers.all.map(\.lastTime))
    }

    @Test func nothingComesBackAsNothing() throws {
        let empty = SequencerState(producerLimit: 5)
        let back = try #require(SequencerState(decoding: empty.encode(), producerLimit: 5))
        #expect(back.offsets.isEmpty && back.producers.count == 0)
    }

    @Test func whatIsNotWholeIsRefused() {
        let bytes = state().encode()
        for length in bytes.indices {
            #expect(SequencerState(decoding: Array(bytes[..<length]), producerLimit: 1000) == nil, "\(length) bytes")
        }
        #expect(SequencerState(decoding: bytes + [0], producerLimit: 1000) == nil)
        var other = bytes
        other[0] = 9
        #expect(SequencerState(decoding: other, producerLimit: 1000) == nil, "another format")
    }

    @Test func damageNeverTraps() {
        var random = SeededRandom(seed: 6)
        let bytes = state().encode()
        var refused = 0
        for _ in 0..<2000 where SequencerState(decoding: bytes.mutated(using: &random), producerLimit: 1000) == nil {
            refused += 1
        }
        #expect(refused > 200)
    }

    @Test func aSmallerLimitIsKept() throws {
        let back = try #require(SequencerState(decoding: state().encode(), producerLimit: 10))
        #expect(back.producers.count == 10)
    }

    @Test func replayedBatchesMakeTheSameState() throws {
        var state = SequencerState(producerLimit: 10)
        var sequence = Int32.max - 4
        for number in Int64(0)..<3 {
            let records = (0..<4).map { Record(timestamp: 50 + Int64($0), value: [1]) }
            var batch = try RecordBatch.build(records, producerId: 9, producerEpoch: 2, baseSequence: sequence)
            batch.withUnsafeMutableBytes {
                $0.storeBytes(of: (number * 4).bigEndian, toByteOffset: RecordBatch.Field.baseOffset, as: Int64.self)
            }
            let header = FrameHeader(
                length: UInt32(Frame.headerBytes + batch.count), position: 4096 + UInt64(number) * 1024, flushed: 0, epoch: 1,
                partition: 3, previous: 0, group: 0, kind: .batch, time: 77)
            let applied = batch.withUnsafeBytes { state.apply(header, payload: $0.baseAddress!) }
            let entry = try #require(applied)
            #expect(entry.baseOffset == number * 4 && entry.position == header.position && entry.maxTimestamp == 53)
            #expect(entry.lastOffsetDelta == 3 && Int(entry.bytes) == batch.count)
            let next = BatchFields(batch).lastSequence
            let verdict = state.producers.judge(
                    state.producers.find(3, 9), epoch: 2, firstSequence: sequence, lastSequence: next)
            #expect(verdict == .duplicate(baseOffset: number * 4, end: header.end))
            sequence = next == .max ? 0 : next + 1
        }
        #expect(sequence == 7, "it went round")
        #expect(state.offsets == [0, 0, 0, 12])
        #expect(state.producers.all.map(\.lastTime) == [77])
    }

    @Test func afterDamageWhatIsKnownOfAProducerStays() throws {
        var before = SequencerState(producerLimit: 10)
        before.producers.record(
                    before.producers.find(3, 9), partition: 3, id: 9, epoch: 2,
            batch: ProducerState.Batch(firstSequence: 4, lastSequence: 6, baseOffset: 40, end: 4096), time: 77)
        before.noteDamage(4096..<8192, partitions: 4)
        // The doubt outlives a checkpoint.
        var state = try #require(SequencerState(decoding: before.encode(), producerLimit: 10))
        func verdict(_ first: Int32, _ last: Int32) -> SequenceVerdict {
            state.producers.judge(
                    state.producers.find(3, 9), epoch: 2, firstSequence: first, lastSequence: last)
        }
        #expect(verdict(4, 6) == .duplicate(baseOffset: 40, end: 4096))
        #expect(verdict(7, 7) == .append && verdict(12, 13) == .append, "batches may have been lost")
        #expect(verdict(5, 6) == .refuse(.outOfOrderSequenceNumber), "what is before the last one known is not")
        state.producers.record(
                    state.producers.find(3, 9), partition: 3, id: 9, epoch: 2,
            batch: ProducerState.Batch(firstSequence: 12, lastSequence: 13, baseOffset: 90, end: 9000), time: 78)
        #expect(verdict(20, 20) == .refuse(.outOfOrderSequenceNumber), "from here on none is missing")
    }
}
