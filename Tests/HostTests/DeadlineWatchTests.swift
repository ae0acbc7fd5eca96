import TestSupport
import Testing

@testable import Host

@Suite struct DeadlineWatchTests {
    /// A watch in a class: what checks expectations takes only what can be copied.
    private final class Watch {
        private var watch = DeadlineWatch()
        func look(at number: Int, by time: UInt64) { watch.look(at: number, by: time) }
        func forget(_ number: Int) { watch.forget(number) }
        var deadline: UInt64 { watch.deadline }
        func due(_ now: UInt64) -> [Int] {
            var numbers: [Int] = []
            while let number = watch.next(now) { numbers.append(number) }
            return numbers.sorted()
        }
    }

    @Test func anEarlierLookStands() {
        let watch = Watch()
        #expect(watch.deadline == .max && watch.due(1 << 50).isEmpty)
        let start: UInt64 = 1 << 50
        watch.look(at: 3, by: start + 1_000_000_000)
        watch.look(at: 3, by: start + 5_000_000_000)
        #expect(watch.due(start + 999_000_000).isEmpty)
        #expect(watch.due(start + 1_000_000_000 + DeadlineWatch.tick) == [3])
        #expect(watch.due(start + 9_000_000_000).isEmpty && watch.deadline == .max, "it is looked at once")
        watch.look(at: 3, by: start + 20_000_000_000)
        watch.look(at: 3, by: start + 10_000_000_000)
        #expect(watch.due(start + 10_000_000_000 + DeadlineWatch.tick) == [3])
    }

    /// As a plain list of times does it.
    @Test(arguments: 1...20) func followsAModel(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        let watch = Watch()
        var model: [Int: UInt64] = [:]
        var now: UInt64 = 1_000_000_000_000
        var seen = 0
        for _ in 0..<3000 {
            let number = random.below(40)
            switch random.below(5) {
            case 0...2:
                let time = now + UInt64(random.below(60_000)) * 1_000_000
                watch.look(at: number, by: time)
                model[number] = min(model[number] ?? .max, time)
            case 3:
                watch.forget(number)
                model[number] = nil
            default: now += UInt64(random.below(4000)) * 1_000_000
            }
            for number in watch.due(now) {
                #expect(model[number] != nil && model[number]! <= now)
                model[number] = nil
                seen += 1
            }
            #expect(model.values.allSatisfy { $0 + DeadlineWatch.tick >= now }, "a look is late")
            #expect(model.isEmpty || watch.deadline <= model.values.min()! + DeadlineWatch.tick, "a look would be slept over")
        }
        #expect(seen > 200)
    }
}
