import Control
import Coordination
import Host
import Logging
import Metadata
import Replication
import Synchronization
import Wire

/// A broker's part in its cluster: what the store tells of, whom it concerns here, and what this broker wants of the store. It is called from any thread;
/// its lock is held for a few instructions, and no request on the produce or fetch path waits for it.
final class Cluster: BrokerDirectory, Sendable {
    /// What never changes.
    struct Settings: Sendable {
        var nodeId: Int32
        var id: String?
        /// How many partition groups there can be.
        var groups: Int
        /// The replicas of a topic that is created without saying how many; nil: three, or as many as there are brokers.
        var defaultReplicas: Int?
        var registration: BrokerRegistration
        /// Numbers that nobody else draws.
        var random: @Sendable () -> UInt64 = { .random(in: 1 ... .max) }
    }

    private struct State {
        var view = ClusterView()
        var registration: BrokerRegistration
        /// Groups that the steward was asked to open; those that have a directory here though it was not, with their journals' keys; and those that it
        /// was asked to remove, until it has.
        var asked: Set<UInt16> = []
        var present: [UInt16: UInt32] = [:]
        var leaving: Set<UInt16> = []
        /// What operators have asked for, by group, until the store has it.
        var orders = GroupOrders()
        /// Groups that were named to the control stage and are to be made with the topic that needs them.
        var planned: [UInt16: GroupEntry] = [:]
        /// What this broker tries to make of a group or the cluster itself, so that it tries once at a time.
        var trying: Set<String> = []
        var isRefused = false
        /// Who leads, as far as the replicas here have heard of each other.
        var heard: [UInt16: (leader: Int32?, epoch: UInt32)] = [:]
        /// Who keeps up with the replicas that lead here.
        var inSync: [UInt16: InSyncEntry] = [:]
        /// The changes of the metadata that the control stage knows.
        var controlKnows: UInt64 = 0

        /// The brokers that clients can go to: those with a lease, and those that lead, by what the replicas here hear of them, although they are cut off from the
        /// store. Who leads on must be found by clients that ask anew.
        var reachable: [Int32: BrokerRegistration] {
            var found = view.brokers
            for (group, heard) in heard {
                guard let leader = heard.leader, found[leader] == nil, heard.epoch >= view.groups[group]?.entry.assignment?.epoch ?? 0 else { continue }
                found[leader] = view.departed[leader]
            }
            return found
        }
    }

    private let settings: Settings
    private let store: any CoordinationStore
    private let inbox: Inbox<ReplicaNews>
    private let state: Mutex<State>
    private let control: Waker
    private let logger: Logger
    /// Called when a group's journal is to be opened here; and when it is not to be here any more.
    private let open: @Sendable (UInt16, _ key: UInt32) -> Void
    private let remove: @Sendable (UInt16) -> Void
    /// Called when the broker can't be part of this cluster: a sentence.
    private let refuse: @Sendable (String) -> Void

    /// - Parameter control: wakes the control stage.
    init(
        _ settings: Settings, store: any CoordinationStore, inbox: Inbox<ReplicaNews>, control: Waker, logger: Logger,
        open: @escaping @Sendable (UInt16, UInt32) -> Void, remove: @escaping @Sendable (UInt16) -> Void, refuse: @escaping @Sendable (String) -> Void
    ) {
        self.settings = settings
        self.store = store
        self.inbox = inbox
        self.control = control
        self.logger = logger
        self.open = open
        self.remove = remove
        self.refuse = refuse
        state = Mutex(State(registration: settings.registration))
    }

    // MARK: The store's news

    func start() { store.start { [self] in take($0) } }

    private func take(_ news: StoreNews) {
        let isFirst = state.withLock { !$0.view.isKnown }
        let changes = state.withLock { $0.view.take(news) }
        for flaw in changes.flaws { logger.error("the cluster's store: \(flaw)") }
        switch news {
        case .available(true): logger.info("the cluster's store answers")
        case .available(false): logger.warning("the cluster's store can't be reached: service goes on, but no other broker can take over")
        case .snapshot, .changed: break
        }
        let view = state.withLock { $0.view }
        guard view.isKnown else { return }
        join(view)
        if isFirst { hold() }
        if changes.brokers { inbox.put(.live(view.incarnations)) }
        for number in changes.groups.sorted() { tell(number, view) }
        if changes.brokers || !changes.groups.isEmpty { form(view) }
        carryOutOrders()
        control.ring()
    }

    /// The cluster is made, or it is found to be another than this broker can be part of.
    private func join(_ view: ClusterView) {
        if let cluster = view.cluster {
            let reason: String? =
                if cluster.groups != settings.groups {
                    "the cluster has room for \(cluster.groups) partition groups, but partition.groups is \(settings.groups): set it to \(cluster.groups)"
                } else if let id = settings.id, id != cluster.id {
                    "the cluster in this store is \(cluster.id), but cluster.id is \(id): name another store or prefix, or another cluster.id"
                } else {
                    nil
                }
            if let reason, !state.withLock({ state in defer { state.isRefused = true }; return state.isRefused }) { refuse(reason) }
            return
        }
        attempt(ClusterKey.cluster) {
            let id = settings.id ?? Uuid.random().description
            return [
                StoreChange(key: ClusterKey.cluster, expected: 0, value: ClusterValue.encode(ClusterEntry(id: id, groups: settings.groups))),
                StoreChange(key: ClusterKey.change(0), expected: 0, value: ClusterValue.encode([MetadataChange.cluster(id: id)])),
                StoreChange(key: ClusterKey.nextChange, expected: 0, value: Array("1".utf8)),
            ]
        }
    }

    /// Makes changes, unless an attempt of that name is under way.
    private func attempt(_ name: String, _ changes: () -> [StoreChange]) {
        guard state.withLock({ $0.trying.insert(name).inserted }) else { return }
        store.swap(changes()) { [self] _ in _ = state.withLock { $0.trying.remove(name) } }
    }

    private func hold() {
        let registration = state.withLock { $0.registration }
        store.hold(ClusterKey.broker(settings.nodeId), value: ClusterValue.encode(registration))
    }

    /// A partition group's value has changed.
    private func tell(_ number: UInt16, _ view: ClusterView) {
        guard let (entry, revision) = view.groups[number] else { return }
        if let assignment = entry.assignment { inbox.put(.assignment(group: Int(number), assignment, entry.target, revision: revision)) }
        let isOurs = entry.names(settings.nodeId)
        guard Int(number) < settings.groups else { return }
        let isNews = state.withLock { state in
            if state.leaving.contains(number) { return false }
            if isOurs { return state.asked.insert(number).inserted }
            // A directory that is not this cluster's group's is nobody's to delete.
            guard state.asked.contains(number) || state.present[number] == entry.key else { return false }
            return state.leaving.insert(number).inserted
        }
        guard isNews else { return }
        if isOurs { open(number, entry.key) } else { remove(number) }
    }

    // MARK: Groups that leave

    /// These groups have a directory here, from an earlier life, with their journals' keys.
    func found(_ present: [UInt16: UInt32]) {
        let view = state.withLock { state in
            state.present = present
            return state.view
        }
        for number in present.keys.sorted() where view.isKnown { tell(number, view) }
    }

    /// Whether a group's journal may be deleted here.
    enum Leaving {
        /// The store has not said yet that it knows.
        case waits
        case mayGo
        /// It is to be here again.
        case stays(key: UInt32)
    }

    /// The replica takes no part any more: its disk's name is taken back, so that no leader counts on it again.
    func withdraw(_ group: UInt16) {
        state.withLock { $0.registration.incarnations[group] = nil }
        hold()
    }

    /// Whoever learns after this broker's registration without the disk's name that the group is to be here again, knows that it has no replica yet: so
    /// what counts is whether the store names this broker once it has that registration.
    func leaving(_ group: UInt16) -> Leaving {
        state.withLock { state in
            guard state.view.brokers[settings.nodeId] == state.registration, let entry = state.view.groups[group]?.entry else { return .waits }
            guard entry.names(settings.nodeId) else { return .mayGo }
            state.leaving.remove(group)
            state.asked.insert(group)
            return .stays(key: entry.key)
        }
    }

    /// Nothing of the group is here any more.
    func left(_ group: UInt16) {
        let view = state.withLock { state in
            state.leaving.remove(group)
            state.asked.remove(group)
            state.present[group] = nil
            return state.view
        }
        tell(group, view)
    }

    /// This broker has a disk of that name for the group.
    func claimed(_ group: UInt16, incarnation: UInt64) {
        state.withLock { $0.registration.incarnations[group] = incarnation }
        hold()
    }

    /// Groups whose disks are all known can begin. One broker does it, so that not all try.
    private func form(_ view: ClusterView) {
        guard controller(view) == settings.nodeId else { return }
        for (number, group) in view.groups.sorted(by: { $0.key < $1.key }) where group.entry.assignment == nil {
            let replicas = group.entry.brokers.compactMap { broker in
                view.brokers[broker]?.incarnations[number].map { ReplicaID(broker: broker, incarnation: $0) }
            }
            guard replicas.count == group.entry.brokers.count else { continue }
            attempt(ClusterKey.group(number)) {
                var entry = group.entry
                entry.assignment = GroupAssignment(replicas: replicas)
                return [StoreChange(key: ClusterKey.group(number), expected: group.revision, value: ClusterValue.encode(entry))]
            }
        }
    }

    // MARK: What the replicas want

    func swap(group: Int, _ value: GroupAssignment, revision: Int64) {
        let number = UInt16(group)
        guard let known = state.withLock({ $0.view.groups[number] }) else { return }
        var entry = known.entry
        entry.assignment = value
        let target = entry.target
        let change = StoreChange(key: ClusterKey.group(number), expected: revision, value: ClusterValue.encode(entry))
        store.swap([change]) { [self] outcome in
            switch outcome {
            case .done(let revision): inbox.put(.swapped(group: group, tried: value, value, target, revision: revision))
            case .conflict:
                let now = state.withLock { $0.view.groups[number] }
                inbox.put(
                    .swapped(group: group, tried: value, now?.entry.assignment, now?.entry.target ?? target, revision: now?.revision ?? 0))
            case .unknown(let reason):
                logger.notice("partition group \(group): it is not known whether the store has taken a change: \(reason)")
                inbox.put(.swapped(group: group, tried: value, nil, target, revision: 0))
            }
        }
    }

    /// Whether the others are told of this broker, and clients can be told of what there is; or it can't be one of them.
    var hasJoined: Bool {
        state.withLock { state in
            let isListed = state.view.brokers[settings.nodeId] == state.registration
            return state.isRefused || state.view.cluster != nil && isListed && state.controlKnows >= max(state.view.nextChange, 1)
        }
    }

    /// The control stage knows so many changes.
    func controlKnows(_ next: UInt64) { state.withLock { $0.controlKnows = next } }

    /// Who leads, as far as the group's replica here has heard: where the store is away, that is news.
    func heard(_ group: UInt16, leader: Int32?, epoch: UInt32) { state.withLock { $0.heard[group] = (leader, epoch) } }

    /// Who keeps up with the group's replica here, which leads in that epoch: others are told by the store.
    func inSync(_ group: UInt16, _ brokers: [Int32], epoch: UInt32) {
        let entry = InSyncEntry(epoch: epoch, brokers: brokers.uniqued())
        let known = state.withLock { state in
            state.inSync[group] = entry
            return state.view.inSync[group]
        }
        // A later leader's word counts. Where the store does not take it now, it is told again.
        guard known?.entry != entry, known?.entry.epoch ?? 0 <= epoch else { return }
        attempt(ClusterKey.inSync(group)) {
            [StoreChange(key: ClusterKey.inSync(group), expected: known?.revision ?? 0, value: ClusterValue.encode(entry))]
        }
    }

    /// Where another broker is to be connected to.
    func peer(_ broker: Int32) -> (host: String, port: UInt16)? {
        state.withLock { $0.view.brokers[broker].map { ($0.peerHost, $0.peerPort) } }
    }

    // MARK: The control stage's directory

    private func controller(_ view: ClusterView) -> Int32 { view.brokers.keys.min() ?? settings.nodeId }

    var controller: Int32 { controller(state.withLock { $0.view }) }
    var defaultReplicas: Int { settings.defaultReplicas ?? min(3, max(state.withLock { $0.view.brokers.count }, 1)) }

    var brokers: [BrokerAddress] {
        state.withLock { $0.reachable }.sorted { $0.key < $1.key }.map { BrokerAddress(nodeId: $0, host: $1.host, port: $1.port) }
    }

    func leadership(of group: UInt16) -> GroupLeadership {
        let (known, brokers, heard, toldInSync, ownInSync) = state.withLock { state in
            (state.view.groups[group]?.entry ?? state.planned[group], state.reachable, state.heard[group],
             state.view.inSync[group]?.entry, state.inSync[group])
        }
        guard let entry = known else {
            return GroupLeadership(leader: nil, hasBegun: false, epoch: 0, replicas: [], live: [], inSync: [])
        }
        guard let assignment = entry.assignment else {
            let live = entry.brokers.filter { brokers[$0] != nil }
            return GroupLeadership(leader: nil, hasBegun: false, epoch: 0, replicas: entry.brokers, live: live, inSync: live)
        }
        // A disk that was wiped is not the replica that it was.
        let live = assignment.replicas.filter { brokers[$0.broker]?.incarnations[group] == $0.incarnation }
        var leader = assignment.leader.flatMap { live.contains($0) ? $0.broker : nil }
        var epoch = assignment.epoch
        if let heard {
            if heard.epoch > epoch { (leader, epoch) = heard }
            // The store may say so still, or already.
            if heard.epoch == epoch, leader == settings.nodeId, heard.leader != leader { leader = nil }
        }
        // Who leads knows it itself. A leader that has not said anything yet goes on with what was so under the one before.
        let told = leader == settings.nodeId && ownInSync?.epoch == epoch ? ownInSync : toldInSync
        let inSync = live.map(\.broker).filter { broker in broker == leader || told.map { $0.brokers.contains(broker) } ?? true }
        return GroupLeadership(
            leader: leader, hasBegun: leader != nil && told?.epoch == epoch, epoch: epoch, replicas: assignment.replicas.map(\.broker).uniqued().ordered(as: entry.brokers),
            live: live.map(\.broker).uniqued(), inSync: inSync.uniqued())
    }

    func target(of group: UInt16) -> [Int32] {
        state.withLock { ($0.view.groups[group]?.entry ?? $0.planned[group])?.brokers ?? [] }
    }

    func replicas(of group: UInt16) -> Int {
        state.withLock { $0.view.groups[group]?.entry.brokers.count ?? $0.planned[group]?.brokers.count ?? 0 }
    }

    func groups(replicas: Int) -> Result<[UInt16], DirectoryRefusal> {
        state.withLock { state in
            let there = state.view.groups(replicas: replicas)
            if !there.isEmpty { return .success(there) }
            state.planned = state.planned.filter { state.view.groups[$0.key] == nil }
            let planned = state.planned.filter { $0.value.brokers.count == replicas }.keys.sorted()
            if !planned.isEmpty { return .success(planned) }
            guard replicas >= 1, replicas <= state.view.brokers.count else {
                return .failure(DirectoryRefusal("\(replicas) replicas need as many brokers, and there are \(state.view.brokers.count) now"))
            }
            guard let made = state.view.newGroups(replicas: replicas, limit: settings.groups, except: Set(state.planned.keys), random: settings.random) else {
                return .failure(DirectoryRefusal(
                    "there is no room for partition groups with \(replicas) replicas: the cluster was made with partition.groups=\(settings.groups)"))
            }
            state.planned.merge(made) { $1 }
            return .success(made.keys.sorted())
        }
    }

    // MARK: What operators ask for

    func order(_ wanted: [UInt16: GroupOrder], token: UInt64) {
        state.withLock { $0.orders.add(wanted, token: token) }
        carryOutOrders()
    }

    func nextOrderOutcome() -> GroupOrderOutcome? { state.withLock { $0.orders.outcomes.popFirst() } }

    /// Swaps what operators want into the groups' values. Who was faster, most likely the group's leader, is heard of first; then it is tried again.
    private func carryOutOrders() {
        let changes = state.withLock { state in
            state.orders.next(state.view).map { group, entry, revision in
                (group, StoreChange(key: ClusterKey.group(group), expected: revision, value: ClusterValue.encode(entry)))
            }
        }
        for (group, change) in changes {
            store.swap([change]) { [self] outcome in
                state.withLock { $0.orders.take(outcome, of: group) }
                carryOutOrders()
                control.ring()
            }
        }
        control.ring()
    }

    // MARK: The metadata

    /// The metadata.
    var metadata: MetadataState { state.withLock { $0.view.metadata } }

    /// The metadata, and the number of the change that comes next; nil: that is the number already.
    func metadata(after known: UInt64) -> (state: MetadataState, next: UInt64)? {
        state.withLock { $0.view.nextChange == known ? nil : ($0.view.metadata, $0.view.nextChange) }
    }

    /// Makes changes of the metadata together as the one that comes next, with the partition groups that they need.
    func change(_ changes: [MetadataChange], _ finished: @escaping @Sendable (_ number: UInt64, SwapOutcome) -> Void) {
        let (number, revision, new) = state.withLock { state in
            var needed: Set<UInt16> = []
            for case .createTopic(_, _, let partitions, _) in changes { needed.formUnion(partitions.map(\.group)) }
            let new = needed.compactMap { group in
                state.view.groups[group] == nil ? state.planned[group].map { (group, $0) } : nil
            }
            return (state.view.nextChange, state.view.nextChangeRevision, new)
        }
        var swap = [
            StoreChange(key: ClusterKey.nextChange, expected: revision, value: Array(String(number + 1).utf8)),
            StoreChange(key: ClusterKey.change(number), expected: 0, value: ClusterValue.encode(changes)),
        ]
        for (group, entry) in new { swap.append(StoreChange(key: ClusterKey.group(group), expected: 0, value: ClusterValue.encode(entry))) }
        store.swap(swap) { finished(number, $0) }
    }

    func stop() { store.stop() }
}

extension [Int32] {
    /// Those that the other list has first, as they stand there.
    fileprivate func ordered(as other: [Int32]) -> [Int32] { other.filter { contains($0) } + filter { !other.contains($0) } }

    /// Each once, in the order in which they come first.
    fileprivate func uniqued() -> [Int32] {
        var seen: Set<Int32> = []
        return filter { seen.insert($0).inserted }
    }
}
