import Control
import Coordination
import DequeModule
import Replication

/// What operators have asked for of partition groups, until the store has it: a value. One swap of a group's value at a time.
struct GroupOrders: Sendable {
    private struct Pending: Sendable {
        var order: GroupOrder
        var token: UInt64
        /// The revision that was tried to be replaced; nil: none is being tried.
        var tried: Int64?
        /// That revision has been replaced by somebody else: another one is waited for.
        var isStale = false
        /// It is done, at that revision: it counts when the news of it have come, so that who is told of it also sees it.
        var done: Int64?
        var attempts = 0
    }

    private static let attempts = 20
    private var pending: [UInt16: [Pending]] = [:]
    /// By token how many of its groups are not done yet, and what went wrong.
    private var open: [UInt64: (left: Int, failures: [UInt16: String])] = [:]
    var outcomes: Deque<GroupOrderOutcome> = []

    mutating func add(_ orders: [UInt16: GroupOrder], token: UInt64) {
        open[token] = (orders.count, [:])
        for (group, order) in orders { pending[group, default: []].append(Pending(order: order, token: token)) }
    }

    /// What is to be swapped now: groups' new values, and the revisions that they take the places of.
    mutating func next(_ view: ClusterView) -> [(UInt16, GroupEntry, Int64)] {
        var swaps: [(UInt16, GroupEntry, Int64)] = []
        for group in pending.keys.sorted() {
            while let first = pending[group]?.first {
                guard let known = view.groups[group] else {
                    finish(group, "partition group \(group) is not there")
                    continue
                }
                if let done = first.done {
                    guard known.revision >= done else { break }
                    finish(group, nil)
                    continue
                }
                // One is under way, or what was faster is not known yet.
                if let tried = first.tried, !first.isStale || known.revision <= tried { break }
                let replicas = known.entry.assignment?.replicas ?? []
                let living = replicas.filter { view.brokers[$0.broker]?.incarnations[group] == $0.incarnation }
                if first.order == .goOnWithoutOthers, living.isEmpty {
                    finish(group, "no broker that is there has a replica of partition group \(group)")
                    continue
                }
                let entry = GroupOrders.changed(known.entry, by: first.order, living: living)
                guard entry != known.entry else {
                    finish(group, nil)
                    continue
                }
                pending[group]![0].tried = known.revision
                pending[group]![0].isStale = false
                pending[group]![0].attempts += 1
                swaps.append((group, entry, known.revision))
                break
            }
        }
        return swaps
    }

    mutating func take(_ outcome: SwapOutcome, of group: UInt16) {
        guard let first = pending[group]?.first else { return }
        switch outcome {
        case .done(let revision): pending[group]![0].done = revision
        case .conflict where first.attempts < GroupOrders.attempts: pending[group]![0].isStale = true
        case .conflict: finish(group, "partition group \(group) changes all the time; try again")
        case .unknown(let reason): finish(group, "the cluster's store does not answer: \(reason)")
        }
    }

    private mutating func finish(_ group: UInt16, _ failure: String?) {
        guard let done = pending[group]?.removeFirst() else { return }
        if pending[group]!.isEmpty { pending[group] = nil }
        open[done.token]!.left -= 1
        if let failure { open[done.token]!.failures[group] = failure }
        guard open[done.token]!.left == 0, let whole = open.removeValue(forKey: done.token) else { return }
        outcomes.append(GroupOrderOutcome(token: done.token, failures: whole.failures))
    }

    private static func changed(_ entry: GroupEntry, by order: GroupOrder, living: [ReplicaID]) -> GroupEntry {
        var entry = entry
        switch order {
        case .move(let brokers): entry.brokers = brokers
        case .elect: entry.elections = (entry.elections ?? 0) &+ 1
        case .goOnWithoutOthers:
            // The next epoch, so that who is trying to lead with the others gives up. It is begun by whoever of them stands first, with the best log of all
            // of them.
            guard let assignment = entry.assignment, assignment.replicas != living else { break }
            entry.assignment = GroupAssignment(epoch: assignment.epoch + 1, leader: nil, replicas: living)
        case .stay:
            // As many as are to have it, of those who have it: first who is to, then who leads.
            let having = entry.assignment?.replicas.map(\.broker) ?? []
            let leader = entry.assignment?.leader.map { [$0.broker] } ?? []
            var kept: [Int32] = []
            for broker in leader + entry.brokers.filter({ having.contains($0) }) + having where !kept.contains(broker) { kept.append(broker) }
            if !kept.isEmpty { entry.brokers = Array(kept.prefix(entry.brokers.count)) }
        }
        return entry
    }
}
