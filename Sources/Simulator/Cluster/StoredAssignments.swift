import Broker
import Coordination
import Replication

/// The partition groups' assignments as the store of a simulated cluster has them. They are looked at after every act, and change rarely: what was
/// decoded is kept until the store's next revision.
final class StoredAssignments {
    private let store: InMemoryCoordination
    private var revision: Int64 = 0
    private var decoded: [Int: GroupAssignment?] = [:]

    init(_ store: InMemoryCoordination) { self.store = store }

    /// A group's replicas and its leader; nil: it has not begun.
    subscript(group: Int) -> GroupAssignment? {
        if revision != store.revision {
            revision = store.revision
            decoded = [:]
        }
        if let known = decoded[group] { return known }
        let assignment = ClusterStageSet.assignment(group: group, in: store)
        decoded.updateValue(assignment, forKey: group)
        return assignment
    }
}
