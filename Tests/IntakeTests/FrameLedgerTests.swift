import TestSupport
import Testing

@testable import Intake

@Suite struct FrameLedgerTests {
    @Test func roomIsMadeInOrder() {
        var ledger = FrameLedger()
        for number in 0..<4 { ledger.add(end: (number + 1) * 100, holders: 1) }
        #expect(ledger.count == 4 && ledger.next == 4)
        #expect(ledger.release(2) == nil && ledger.release(1) == nil, "the oldest is still out")
        #expect(ledger.release(0) == 300)
        #expect(ledger.release(3) == 400)
        #expect(ledger.count == 0 && ledger.next == 4)
    }

    @Test func everyHolderGivesItBack() {
        var ledger = FrameLedger()
        ledger.add(end: 10, holders: 3)
        ledger.add(end: 20, holders: 1)
        #expect(ledger.release(0) == nil && ledger.release(1) == nil && ledger.release(0) == nil)
        #expect(ledger.release(0) == 20)
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
                #expect(ledger.release(number) == free, "step \(step)")
            }
            #expect(ledger.count == out.count)
            most = max(most, out.count)
        }
        #expect(most > 64, "it had to grow")
    }
}
