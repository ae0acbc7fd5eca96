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

    /// Whoever has least takes what others leave. Then replicas go from who has more to who has less, by way of others where that moves fewer, until they
    /// differ by one at most: the cheapest way first, which makes all of them together the cheapest (successive shortest paths).
    private mutating func spreadReplicas(over brokers: Set<Int32>) {
        let before = groups
        for index in groups.indices {
            for place in groups[index].brokers.indices where !brokers.contains(groups[index].brokers[place]) {
                let counts = replicas(brokers)
                // There is one: a group has no more replicas than there are brokers.
                groups[index].brokers[place] = counts.keys.sorted().filter { !groups[index].brokers.contains($0) }.min { counts[$0]! < counts[$1]! }!
            }
        }
        let ids = brokers.sorted()
        while let steps = cheapestWay(ids, replicas(brokers), before) {
            for step in steps {
                let place = groups[step.index].brokers.firstIndex(of: step.from)!
                groups[step.index].brokers[place] = step.to
            }
        }
    }

    /// A group's replica that goes from one broker to another.
    private struct Step {
        var index: Int
        var from: Int32
        var to: Int32
        var cost: Int
    }

    /// A replica more that has to be copied costs so much; that its group's leader changes, 1.
    private static let copyCost = 1000

    /// The cheapest way from a broker that has at least two more than another to that one; or one more, where fewer are copied by that. Nil: there is none.
    private func cheapestWay(_ ids: [Int32], _ counts: [Int32: Int], _ before: [Group]) -> [Step]? {
        let steps = ids.map { from in ids.compactMap { to in from == to ? nil : cheapestStep(from, to, before) } }.flatMap { $0 }
        var best: (cost: Int, steps: [Step])?
        for start in ids {
            var reached: [Int32: (cost: Int, last: Step?)] = [start: (0, nil)]
            for _ in ids {
                for step in steps where step.to != start {
                    guard let cost = reached[step.from]?.cost, cost + step.cost < reached[step.to]?.cost ?? .max else { continue }
                    reached[step.to] = (cost + step.cost, step)
                }
            }
            for end in ids where end != start {
                guard let cost = reached[end]?.cost, cost < best?.cost ?? .max else { continue }
                let difference = counts[start]! - counts[end]!
                guard difference >= 2 || difference == 1 && cost < 0 else { continue }
                var way: [Step] = []
                var at = end
                while let step = reached[at]?.last, way.count < ids.count {
                    way.append(step)
                    at = step.from
                }
                if at == start { best = (cost, way) }
            }
        }
        return best?.steps
    }

    /// How a broker gives a replica to another. Who gives one away that it does not have yet, or gets one that it has, saves a copy.
    private func cheapestStep(_ from: Int32, _ to: Int32, _ before: [Group]) -> Step? {
        groups.indices.filter { groups[$0].brokers.contains(from) && !groups[$0].brokers.contains(to) }.map { index in
            let copies = (before[index].brokers.contains(to) ? 0 : 1) - (before[index].brokers.contains(from) ? 0 : 1)
            return Step(index: index, from: from, to: to, cost: copies * SpreadingPlan.copyCost + (groups[index].brokers.first == from ? 1 : 0))
        }.min { $0.cost < $1.cost }
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
