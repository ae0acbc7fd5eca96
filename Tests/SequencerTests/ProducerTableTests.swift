import TestSupport
import Testing

@testable import Sequencer

@Suite struct ProducerTableTests {
    private func batch(_ first: Int32, _ last: Int32, offset: Int64 = 0, end: UInt64 = 0) -> ProducerState.Batch {
        ProducerState.Batch(firstSequence: first, lastSequence: last, baseOffset: offset, end: end)
    }

    /// A table that knows producer 7, epoch 3, in partition 1 by these batches of ten records: numbers 0, 1, 2...
    private func table(batches: Range<Int32>) -> ProducerTable {
        var table = ProducerTable(limit: 100)
        for number in batches {
            table.record(table.find(1, 7), partition: 1, id: 7, epoch: 3,
                batch: batch(10 * number, 10 * number + 9, offset: 100 + Int64(number), end: 1000 + UInt64(number)), time: 0)
        }
        return table
    }

    private func judge(
        _ table: ProducerTable, _ first: Int32, _ last: Int32, epoch: Int16 = 3, partition: UInt32 = 1, id: Int64 = 7
    ) -> SequenceVerdict {
        table.judge(table.find(partition, id), epoch: epoch, firstSequence: first, lastSequence: last)
    }

    @Test func theNextOneIsAppended() {
        let table = table(batches: 0..<3)
        #expect(judge(table, 30, 30) == .append && judge(table, 30, 99) == .append)
    }

    @Test func theLastFiveAreKnownAgain() {
        let table = table(batches: 0..<7)
        for number in Int32(2)..<7 {
            #expect(
                judge(table, 10 * number, 10 * number + 9)
                    == .duplicate(baseOffset: 100 + Int64(number), end: 1000 + UInt64(number)))
        }
        for number in Int32(0)..<2 {
            #expect(judge(table, 10 * number, 10 * number + 9) == .refuse(.outOfOrderSequenceNumber), "too old")
        }
        #expect(judge(table, 60, 68) == .refuse(.outOfOrderSequenceNumber), "not the same batch")
        #expect(judge(table, 61, 69) == .refuse(.outOfOrderSequenceNumber))
    }

    @Test func aGapIsOutOfOrder() {
        let table = table(batches: 0..<1)
        #expect(judge(table, 11, 20) == .refuse(.outOfOrderSequenceNumber))
        #expect(judge(table, .max, .max) == .refuse(.outOfOrderSequenceNumber))
    }

    @Test func anOlderEpochIsFenced() {
        let table = table(batches: 0..<1)
        #expect(judge(table, 10, 19, epoch: 2) == .refuse(.invalidProducerEpoch))
        #expect(judge(table, 0, 9, epoch: 0) == .refuse(.invalidProducerEpoch), "not even as a duplicate")
    }

    @Test func aNewEpochBeginsAtZero() {
        var table = table(batches: 0..<2)
        #expect(judge(table, 20, 29, epoch: 4) == .refuse(.outOfOrderSequenceNumber))
        #expect(judge(table, 0, 9, epoch: 4) == .append, "not a duplicate of the old epoch's")
        table.record(table.find(1, 7), partition: 1, id: 7, epoch: 4, batch: batch(0, 4, offset: 55, end: 66), time: 0)
        #expect(judge(table, 0, 4, epoch: 4) == .duplicate(baseOffset: 55, end: 66))
        #expect(judge(table, 0, 9, epoch: 4) == .refuse(.outOfOrderSequenceNumber))
        #expect(judge(table, 5, 5, epoch: 4) == .append)
        #expect(judge(table, 20, 29, epoch: 3) == .refuse(.invalidProducerEpoch))
        #expect(table.count == 1)
    }

    @Test func sequencesGoRoundToZero() {
        var table = ProducerTable(limit: 1)
        table.record(table.find(0, 1), partition: 0, id: 1, epoch: 0, batch: batch(.max - 9, .max, offset: 5), time: 0)
        #expect(judge(table, 0, 3, epoch: 0, partition: 0, id: 1) == .append)
        #expect(judge(table, 1, 3, epoch: 0, partition: 0, id: 1) == .refuse(.outOfOrderSequenceNumber))
        // One that goes round inside.
        table.record(table.find(0, 1), partition: 0, id: 1, epoch: 0, batch: batch(.max - 1, 2, offset: 6), time: 0)
        #expect(judge(table, .max - 1, 2, epoch: 0, partition: 0, id: 1) == .duplicate(baseOffset: 6, end: 0))
        #expect(judge(table, 3, 3, epoch: 0, partition: 0, id: 1) == .append)
    }

    @Test func partitionsAndProducersAreApart() {
        let table = table(batches: 0..<2)
        #expect(judge(table, 0, 4, partition: 2) == .append && judge(table, 0, 4, id: 8) == .append)
        #expect(judge(table, 5, 9) == .refuse(.outOfOrderSequenceNumber))
    }

    /// Its first batch was refused, by one that has come to lead since.
    @Test func whoWasNeverHereBeginsWithZero() {
        var table = table(batches: 0..<2)
        #expect(judge(table, 5, 9, id: 8) == .refuse(.outOfOrderSequenceNumber))
        table.expire(before: .max)
        #expect(table.count == 0 && judge(table, 5, 9, id: 8) == .append, "it may be the one that was forgotten")
    }

    @Test func beyondTheLimitTheLongestSilentIsForgotten() {
        var table = ProducerTable(limit: 8)
        for id in Int64(0)..<8 {
            table.record(table.find(0, id), partition: 0, id: id, epoch: 0, batch: batch(0, 0), time: id == 5 ? 1 : 100 + id)
        }
        table.record(table.find(0, 100), partition: 0, id: 100, epoch: 0, batch: batch(0, 0), time: 200)
        #expect(table.count == 8 && !table.all.contains { $0.id == 5 } && table.all.contains { $0.id == 100 })
        #expect(judge(table, 1, 1, epoch: 0, partition: 0, id: 5) == .append)
        #expect(judge(table, 2, 2, epoch: 0, partition: 0, id: 6) == .refuse(.outOfOrderSequenceNumber))
        for id in Int64(1000)..<3000 {
            table.record(table.find(0, id), partition: 0, id: id, epoch: 0, batch: batch(0, 0), time: id)
            #expect(table.count == 8)
        }
        // Who was heard of last is always still there.
        #expect(judge(table, 0, 0, epoch: 0, partition: 0, id: 2999) == .duplicate(baseOffset: 0, end: 0))
    }

    @Test func whoIsSilentForLongExpires() {
        var table = ProducerTable(limit: 1000)
        for id in Int64(0)..<100 {
            table.record(table.find(0, id), partition: 0, id: id, epoch: 0, batch: batch(0, 0), time: id)
        }
        table.expire(before: 50, looks: 1)
        #expect(table.count >= 99, "a few at each call")
        for _ in 0..<50 { table.expire(before: 50) }
        #expect(Set(table.all.map(\.id)) == Set(50..<100))
        for id in Int64(50)..<100 {
            #expect(judge(table, 0, 0, epoch: 0, partition: 0, id: id) == .duplicate(baseOffset: 0, end: 0))
        }
        // The clock of a batch may go back, its producer's last time does not.
        table.record(table.find(0, 99), partition: 0, id: 99, epoch: 0, batch: batch(1, 1), time: 3)
        for _ in 0..<50 { table.expire(before: 99) }
        #expect(table.all.map(\.id) == [99])
        for _ in 0..<3 { table.expire(before: .max) }
        #expect(table.count == 0)
        table.expire(before: .max)
        #expect(table.count == 0)
    }

    /// Both kinds of forgetting move states and buckets about: what is left must still be found, what is gone must not.
    @Test(arguments: 1...3) func followsADictionary(seed: Int) {
        struct Key: Hashable {
            var partition: UInt32
            var id: Int64
        }
        var random = SeededRandom(seed: UInt64(seed))
        var table = ProducerTable(limit: 400)
        var model: [Key: (epoch: Int16, last: Int32, time: Int64)] = [:]
        var time: Int64 = 0
        var forgotten = 0
        for step in 0..<100_000 {
            time += Int64(random.below(3))
            let key = Key(partition: UInt32(random.below(40)), id: Int64(random.below(25)))
            if random.below(20) == 0 {
                table.expire(before: time - 700, looks: 1 + random.below(30))
            } else {
                let known = model[key]
                let newEpoch = random.below(30) == 0
                let epoch = (known?.epoch ?? 0) &+ (newEpoch ? 1 : 0)
                let first = known == nil || newEpoch ? 0 : known!.last + 1
                let verdict = table.judge(
                    table.find(key.partition, key.id), epoch: epoch, firstSequence: first, lastSequence: first + 2)
                #expect(verdict == .append, "step \(step)")
                table.record(table.find(key.partition, key.id), partition: key.partition, id: key.id, epoch: epoch, batch: batch(first, first + 2), time: time)
                model[key] = (epoch, first + 2, time)
            }
            // Those that were forgotten are the table's choice; they must be explained and really be gone.
            guard step % 50 == 0 || table.count != model.count else { continue }
            let left = Set(table.all.map { Key(partition: $0.partition, id: $0.id) })
            #expect(left.count == table.count && table.count <= 400 && left.isSubset(of: model.keys))
            for gone in Set(model.keys).subtracting(left) {
                let verdict = table.judge(
                    table.find(gone.partition, gone.id), epoch: 0, firstSequence: 77_777_777, lastSequence: 77_777_777)
                #expect(verdict == .append, "nothing is known of it")
                model[gone] = nil
                forgotten += 1
            }
            guard step % 1000 == 0 else { continue }
            for (key, state) in model {
                let verdict = table.judge(
                    table.find(key.partition, key.id), epoch: state.epoch, firstSequence: state.last - 2,
                    lastSequence: state.last)
                #expect(verdict == .duplicate(baseOffset: 0, end: 0), "step \(step), \(key)")
            }
        }
        #expect(forgotten > 1000 && model.count > 100)
    }

    /// With half the buckets free, a look-up is short only if the hash uses all of them.
    @Test func theHashUsesEveryBucket() {
        var homes = Set<Int>()
        for id in Int64(0)..<2048 {
            for partition in UInt32(0)..<4 { homes.insert(ProducerTable.hash(partition, id) & 4095) }
        }
        // 8192 draws leave about 13 % of 4096 out.
        #expect(homes.count > 3300)
    }
}
