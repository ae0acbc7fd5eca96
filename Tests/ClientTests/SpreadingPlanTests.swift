import Testing

@testable import Client

@Suite struct SpreadingPlanTests {
    private typealias Group = SpreadingPlan.Group

    private struct Dice: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ (state >> 29)
        }
    }

    private static func spread(_ counts: some Collection<Int>) -> Int { (counts.max() ?? 0) - (counts.min() ?? 0) }

    private static func replicas(_ plan: SpreadingPlan, _ brokers: Set<Int32>) -> [Int] {
        brokers.map { broker in plan.groups.count { $0.brokers.contains(broker) } }
    }

    private static func leaders(_ plan: SpreadingPlan, _ brokers: Set<Int32>) -> [Int] {
        brokers.map { broker in plan.groups.count { $0.brokers.first == broker } }
    }

    /// The least number of replicas that have to move so that no two brokers differ by more than one.
    private static func fewest(_ groups: [Group], _ brokers: Set<Int32>) -> Int {
        let counts = brokers.map { broker in groups.count { $0.brokers.contains(broker) } }.sorted(by: >)
        let total = groups.reduce(0) { $0 + $1.brokers.count }
        let (share, more) = total.quotientAndRemainder(dividingBy: brokers.count)
        let kept = counts.enumerated().reduce(0) { $0 + min($1.element, $1.offset < more ? share + 1 : share) }
        return total - kept
    }

    /// From any state of clusters of all sizes: balanced within one, the replicas' number kept, and no more moved than has to be. (The bound looks at how many
    /// replicas brokers have, not at which groups can take them: now and then one more is moved.)
    @Test func spreadsEvenlyByTheFewestMoves() throws {
        var more = 0
        for seed in 0..<2000 as Range<UInt64> {
            var dice = Dice(state: seed)
            let there = Set((1...Int32.random(in: 1...7, using: &dice)))
            let old = Set((1...Int32.random(in: 1...7, using: &dice)))
            let factor = Int.random(in: 1...min(there.count, old.count), using: &dice)
            let groups = (0..<UInt16.random(in: 0...16, using: &dice)).map { number in
                Group(number: number, brokers: Array(old.sorted().shuffled(using: &dice).prefix(factor)))
            }
            let plan = try SpreadingPlan(groups, brokers: there, there: there)
            #expect(Self.spread(Self.replicas(plan, there)) <= 1, "seed \(seed): replicas")
            #expect(Self.spread(Self.leaders(plan, there)) <= 1, "seed \(seed): leaders")
            for (before, after) in zip(groups, plan.groups) {
                #expect(after.number == before.number && after.brokers.count == before.brokers.count)
                #expect(Set(after.brokers).count == after.brokers.count && there.isSuperset(of: after.brokers))
            }
            let moved = plan.moves.reduce(0) { $0 + $1.adding.count }
            let fewest = Self.fewest(groups, there)
            #expect((fewest...fewest + 1).contains(moved), "seed \(seed): \(moved) are moved")
            more += moved - fewest
            #expect(plan.moves.allSatisfy { $0.adding.count == $0.removing.count && $0.from != $0.to })
            // What is spread evenly stays.
            #expect(try SpreadingPlan(plan.groups, brokers: there, there: there).moves.isEmpty)
        }
        #expect(more <= 2)
    }

    @Test func aBrokerThatIsAddedGetsItsShare() throws {
        let groups = (0..<8).map { Group(number: $0, brokers: [Int32($0) % 3 + 1, (Int32($0) + 1) % 3 + 1, (Int32($0) + 2) % 3 + 1]) }
        let plan = try SpreadingPlan(groups, brokers: [1, 2, 3, 4], there: [1, 2, 3, 4])
        #expect(Self.replicas(plan, [1, 2, 3, 4]) == [6, 6, 6, 6] && plan.moves.reduce(0) { $0 + $1.adding.count } == 6)
        #expect(Self.leaders(plan, [1, 2, 3, 4]) == [2, 2, 2, 2])
    }

    @Test func aBrokerThatIsLeftOutHasNothing() throws {
        let groups = [Group(number: 0, brokers: [1, 2]), Group(number: 1, brokers: [2, 3]), Group(number: 2, brokers: [3, 1])]
        let plan = try SpreadingPlan(groups, brokers: [1, 2], there: [1, 2, 3])
        #expect(plan.groups.allSatisfy { Set($0.brokers) == [1, 2] })
    }

    /// Leaders are passed on by way of others where no group has both.
    @Test func leadersAreSpreadByWayOfOthers() throws {
        let groups = [
            Group(number: 0, brokers: [1, 2]), Group(number: 1, brokers: [1, 2]), Group(number: 2, brokers: [2, 3]), Group(number: 3, brokers: [3, 1]),
            Group(number: 4, brokers: [1, 3]), Group(number: 5, brokers: [2, 3]),
        ]
        let plan = try SpreadingPlan(groups, brokers: [1, 2, 3], there: [1, 2, 3])
        #expect(Self.leaders(plan, [1, 2, 3]) == [2, 2, 2] && plan.moves.allSatisfy { $0.adding.isEmpty })
    }

    @Test func whatCantBeIsRefused() {
        let groups = [Group(number: 3, brokers: [1, 2, 3])]
        func refusal(_ brokers: Set<Int32>) -> String? {
            do throws(SpreadingPlan.Refusal) {
                _ = try SpreadingPlan(groups, brokers: brokers, there: [1, 2, 3])
                return nil
            } catch { return error.description }
        }
        #expect(refusal([1, 2, 9])?.contains("broker 9 is not there") ?? false)
        #expect(refusal([1, 2])?.contains("partition group 3 has 3 replicas") ?? false)
        #expect(refusal([])?.contains("no broker") ?? false)
    }
}
