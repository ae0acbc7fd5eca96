import TestSupport
import Testing

@testable import Intake

@Suite struct FrameLedgerTests {
    /// What each of these releases of a run (its first frame, how many) makes free.
    private func freed(_ ledger: inout FrameLedger, _ runs: (UInt32, UInt32)...) -> [Int?] {
        var freed: [Int?] = []
        for (frame, count) in runs { freed.append(ledger.release(frame, count: count)) }
        return freed
    }

    @Test func roomIsMadeInOrder() {
        var ledger = FrameLedger()
        for number in 0..<4 { ledger.add(end: (number + 1) * 100, holders: 1) }
        let full = ledger.count
        #expect(full == 4)
        #expect(freed(&ledger, (2, 1), (1, 1), (0, 1), (3, 1)) == [nil, nil, 300, 400], "only in order")
        let (count, next) = (ledger.count, ledger.next)
        #expect(count == 0 && next == 4)
    }

    @Test func everyHolderGivesItBack() {
        var ledger = FrameLedger()
        ledger.add(end: 10, holders: 3)
        ledger.add(end: 20, holders: 1)
        #expect(freed(&ledger, (0, 1), (1, 1), (0, 1), (0, 1)) == [nil, nil, nil, 20])
    }

    @Test func runsComeBackAtOnce() {
        var ledger = FrameLedger()
        for number in 0..<100 { ledger.add(end: number + 1, holders: number % 10 == 5 ? 2 : 1) }
        #expect(freed(&ledger, (0, 5), (5, 95), (5, 1), (15, 1), (25, 1)) == [5, nil, 15, 25, 35])
        let left = ledger.count
        #expect(left == 65)
    }

    /// Random frames come back in random order, from several holders, while the ledger grows and its numbers go on.
    @Test(arguments: 1...3) func followsAModel(seed: Int) {
        struct Out {
            var number: UInt32
            var end: Int
            var holders: Int
        }
        var random = SeededRandom(seed: UInt64(seed))
        var ledger = FrameLedger()
        var out: [Out] = []
        var end = 0
        var most = 0
        for step in 0..<50_000 {
            // Now and then it empties, now and then it fills.
            let fills = step / 500 % 2 == 0
            if out.isEmpty || random.below(10) < (fills ? 7 : 3) {
                end += 1 + random.below(1000)
                let holders = 1 + random.below(4)
                out.append(Out(number: ledger.next, end: end, holders: holders))
                ledger.add(end: end, holders: UInt8(holders))
            } else {
                var open: Int
                repeat { open = random.below(out.count) } while out[open].holders == 0
                out[open].holders -= 1
                var free: Int?
                let number = out[open].number
                while let first = out.first, first.holders == 0 {
                    free = first.end
                    out.removeFirst()
                }
                let freed = ledger.release(number, count: 1)
                #expect(freed == free, "step \(step)")
            }
            let count = ledger.count
            #expect(count == out.count)
            most = max(most, out.count)
        }
        #expect(most > 64, "it had to grow")
    }
}
