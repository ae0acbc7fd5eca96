/// How partition groups' replicas and leaders are spread evenly over brokers, by few moves: a pure function.
public struct SpreadingPlan: Equatable, Sendable {
    /// A partition group, and the brokers that are to have it: the first is to lead.
    public struct Group: Hashable, Sendable {
        public var number: UInt16
        public var brokers: [Int32]

        public init(number: UInt16, brokers: [Int32]) {
            self.number = number
            self.brokers = brokers
        }
    }

    /// Of one group, who is to have it instead.
    public struct Move: Hashable, Sendable {
        public var group: UInt16
        public var from: [Int32]
        public var to: [Int32]

        public var adding: [Int32] { to.filter { !from.contains($0) } }
        public var removing: [Int32] { from.filter { !to.contains($0) } }
    }

    /// Why there is no plan: a sentence.
    public struct Refusal: Error, Equatable, Sendable, CustomStringConvertible {
        public var description: String
    }

    /// All groups as they are to be, by number.
    public private(set) var groups: [Group]
    /// What changes.
    public private(set) var moves: [Move] = []

    /// - Parameters:
    ///   - groups: as they are.
    ///   - brokers: who is to have replicas.
    ///   - there: the brokers that are there.
    public init(_ groups: [Group], brokers: Set<Int32>, there: Set<Int32>) throws(Refusal) {
        if let stranger = brokers.subtracting(there).min() { throw Refusal(description: "broker \(stranger) is not there") }
        guard !brokers.isEmpty else { throw Refusal(description: "no broker is left to have anything") }
        for group in groups where group.brokers.count > brokers.count {
            throw Refusal(description: "partition group \(group.number) has \(group.brokers.count) replicas, but only \(brokers.count) brokers are to have any")
        }
        self.groups = groups.sorted { $0.number < $1.number }
        let before = self.groups
        spreadReplicas(over: brokers)
        spreadLeaders(over: brokers)
        for (old, new) in zip(before, self.groups) where old != new {
            moves.append(Move(group: old.number, from: old.brokers, to: new.brokers))
        }
    }

    // MARK: Replicas

    private func replicas(_ brokers: Set<Int32>) -> [Int32: Int] {
        var counts = Dictionary(uniqueKeysWithValues: brokers.map { ($0, 0) })
        for group in groups { for broker in group.brokers { counts[broker]? += 1 } }
        return counts
    }

    /// Whoever has least takes what others leave; then whoever has most gives to whoever has least, until they differ by one at most.
    private mutating func spreadReplicas(over brokers: Set<Int32>) {
        let before = groups
        for index in groups.indices {
            for place in groups[index].brokers.indices where !brokers.contains(groups[index].brokers[place]) {
                let counts = replicas(brokers)
                // There is one: a group has no more replicas than there are brokers.
                let heir = SpreadingPlan.least(counts, where: { !groups[index].brokers.contains($0) })!
                groups[index].brokers[place] = heir
            }
        }
        while true {
            let counts = replicas(brokers)
            let least = SpreadingPlan.least(counts)!
            let most = counts.keys.sorted().max { counts[$0]! < counts[$1]! }!
            guard counts[most]! > counts[least]! + 1 else { return }
            // Who has more is in a group in which the other is not; rather in one that it does not have yet, or does not lead.
            let candidates = groups.indices.filter { groups[$0].brokers.contains(most) && !groups[$0].brokers.contains(least) }
            let chosen = candidates.min { left, right in
                SpreadingPlan.cost(of: most, before[left], groups[left]) < SpreadingPlan.cost(of: most, before[right], groups[right])
            }!
            let place = groups[chosen].brokers.firstIndex(of: most)!
            groups[chosen].brokers[place] = least
        }
    }

    private static func least(_ counts: [Int32: Int], where isEligible: (Int32) -> Bool = { _ in true }) -> Int32? {
        counts.keys.sorted().filter(isEligible).min { counts[$0]! < counts[$1]! }
    }

    /// What it costs that the broker gives its replica away: nothing where it has none yet.
    private static func cost(of broker: Int32, _ before: Group, _ now: Group) -> Int {
        guard before.brokers.contains(broker) else { return 0 }
        return now.brokers.first == broker ? 2 : 1
    }

    // MARK: Leaders

    /// Who leads most passes one group on, by as many others as it takes, to one who leads at least two less.
    private mutating func spreadLeaders(over brokers: Set<Int32>) {
        while let path = unbalancedPath(brokers) {
            for (index, next) in path {
                let place = groups[index].brokers.firstIndex(of: next)!
                groups[index].brokers.swapAt(0, place)
            }
        }
    }

    /// Groups and their next leaders: after it whoever stands first on the path leads one less, and the last one more. Nil: leaders are spread as evenly as
    /// the replicas allow.
    private func unbalancedPath(_ brokers: Set<Int32>) -> [(Int, Int32)]? {
        var counts = Dictionary(uniqueKeysWithValues: brokers.map { ($0, 0) })
        for group in groups { if let leader = group.brokers.first { counts[leader, default: 0] += 1 } }
        for start in counts.keys.sorted(by: { (counts[$1]!, $0) < (counts[$0]!, $1) }) {
            var reached: [Int32: (index: Int, from: Int32)] = [:]
            var frontier = [start]
            while !frontier.isEmpty {
                var next: [Int32] = []
                for broker in frontier {
                    for index in groups.indices where groups[index].brokers.first == broker {
                        for other in groups[index].brokers.dropFirst() where other != start && reached[other] == nil {
                            reached[other] = (index, broker)
                            if counts[other]! + 2 <= counts[start]! { return SpreadingPlan.path(to: other, from: start, reached) }
                            next.append(other)
                        }
                    }
                }
                frontier = next
            }
        }
        return nil
    }

    private static func path(to end: Int32, from start: Int32, _ reached: [Int32: (index: Int, from: Int32)]) -> [(Int, Int32)] {
        var path: [(Int, Int32)] = []
        var broker = end
        while broker != start, let step = reached[broker] {
            path.append((step.index, broker))
            broker = step.from
        }
        return path
    }
}
