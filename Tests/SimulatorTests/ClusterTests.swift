import Control
import Coordination
import Host
import Logging
import Metadata
import Replication
import Synchronization
import Testing

@testable import Broker

/// Brokers that share a store in memory: how they find each other, and what they make of it.
@Suite struct ClusterTests {
    private final class Member {
        let cluster: Cluster
        let store: InMemoryStore
        let inbox: Inbox<ReplicaNews>
        let opened = Opened()
        let refused = Refused()
        let metadata: ClusterMetadata

        final class Opened: Sendable {
            let groups = Mutex<[UInt16: UInt32]>([:])
            let removed = Mutex<Set<UInt16>>([])
        }

        final class Refused: Sendable {
            let reason = Mutex<String?>(nil)
        }

        init(_ id: Int32, _ shared: InMemoryCoordination, groups: Int = 8) {
            store = shared.client(name: "broker \(id)")
            let waker = Waker {}
            inbox = Inbox(waker: waker)
            let (opened, refused) = (opened, refused)
            let registration = BrokerRegistration(host: "host\(id)", port: 9092, peerHost: "host\(id)", peerPort: 9192)
            cluster = Cluster(
                Cluster.Settings(nodeId: id, id: nil, groups: groups, defaultReplicas: nil, registration: registration), store: store,
                inbox: inbox, control: waker, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                open: { group, key in opened.groups.withLock { $0[group] = key } },
                remove: { group in opened.removed.withLock { _ = $0.insert(group) } },
                refuse: { reason in refused.reason.withLock { $0 = reason } })
            metadata = ClusterMetadata(cluster: cluster, waker: waker)
            cluster.start()
        }

        /// Disks for all the groups that it was asked to open.
        func claim() {
            for group in opened.groups.withLock({ $0.keys.sorted() }) { cluster.claimed(group, incarnation: UInt64(group) + 100) }
        }

        /// The revision at which group 0's value was told last.
        func revision() -> Int64 {
            inbox.take().reduce(0) { if case .assignment(0, _, _, let revision) = $1 { revision } else { $0 } }
        }

        func steps() { for _ in 0..<4 { _ = metadata.step() } }

        func create(_ topic: String, replicas: Int, token: UInt64) throws {
            let groups = try cluster.groups(replicas: replicas).get()
            let places = metadata.state.places(partitions: 3, groups: groups)
            metadata.propose([.createTopic(name: topic, id: TopicID(.random()), partitions: places, configs: [:])], token: token)
        }
    }

    private func members(_ count: Int32, _ shared: InMemoryCoordination) -> [Member] {
        let made = (1...count).map { Member($0, shared) }
        for member in made { member.steps() }
        return made
    }

    /// News come and are acted upon, until all have settled what they want of each other.
    private func deliver(to members: [Member]) {
        for _ in 0..<8 {
            for member in members {
                member.store.deliver()
                member.steps()
            }
        }
    }

    @Test func findEachOther() {
        let made = members(3, InMemoryCoordination(deliversAtOnce: true))
        for member in made {
            #expect(member.cluster.brokers.map(\.nodeId) == [1, 2, 3] && member.cluster.controller == 1)
            #expect(member.cluster.hasJoined && member.cluster.defaultReplicas == 3)
            #expect(member.metadata.state.clusterId == made[0].metadata.state.clusterId && member.metadata.state.clusterId != nil)
        }
    }

    @Test func anotherNumberOfGroupsIsRefused() {
        let shared = InMemoryCoordination(deliversAtOnce: true)
        _ = members(1, shared)
        let other = Member(2, shared, groups: 4)
        #expect(other.refused.reason.withLock { $0 }?.contains("partition.groups") ?? false)
    }

    @Test func aTopicsGroupsAreMadeWithItAndBeginOnceAllDisksAreKnown() throws {
        let made = members(3, InMemoryCoordination(deliversAtOnce: true))
        try made[1].create("t", replicas: 3, token: 5)
        for member in [made[1], made[0], made[2]] { member.steps() }
        #expect(made[1].metadata.nextOutcome()?.failure == nil)
        for member in made {
            #expect(member.metadata.state.topics["t"]?.partitions.map(\.group) == [0, 1, 2])
            #expect(member.opened.groups.withLock { $0 } == made[0].opened.groups.withLock { $0 }, "with the same keys")
            #expect(member.opened.groups.withLock { $0.count } == 3)
        }
        #expect(made[0].cluster.leadership(of: 0).replicas.sorted() == [1, 2, 3])
        made[0].claim()
        made[1].claim()
        #expect(!made[0].inbox.take().contains { if case .assignment = $0 { true } else { false } }, "one disk is not known")
        made[2].claim()
        for member in made {
            let assigned = member.inbox.take().compactMap { news -> GroupAssignment? in
                if case .assignment(_, let value, _, _) = news { value } else { nil }
            }
            #expect(assigned.count == 3 && assigned.allSatisfy { $0.epoch == 0 && $0.leader == nil && $0.replicas.count == 3 })
        }
    }

    @Test func whoIsSlowerLosesNothing() throws {
        let shared = InMemoryCoordination()
        let made = (1...2).map { Member($0, shared) }
        deliver(to: made)
        // Both go by the same state: the second one's change is refused, and made again.
        for (number, member) in made.enumerated() {
            member.metadata.propose([.producerIds(below: 1000)], token: UInt64(number))
            _ = member.metadata.step()
        }
        deliver(to: made)
        let blocks = made.compactMap { member -> Int64? in
            guard let outcome = member.metadata.nextOutcome(), outcome.failure == nil, case .producerIds(let below)? = outcome.changes.first
            else { return nil }
            return below
        }
        #expect(Set(blocks) == [1000, 2000], "no id is given out twice")
        // The same topic by both: one of them is told that it exists.
        for member in made { try member.create("same", replicas: 1, token: 9) }
        deliver(to: made)
        let failures = made.map { $0.metadata.nextOutcome()?.failure }
        #expect(failures.count { $0 == nil } == 1 && failures.count { $0?.contains("exists already") ?? false } == 1)
    }

    @Test func tooManyReplicasAreRefusedWithTheReason() {
        let made = members(2, InMemoryCoordination(deliversAtOnce: true))
        guard case .failure(let refusal) = made[0].cluster.groups(replicas: 3) else {
            Issue.record("three replicas on two brokers")
            return
        }
        #expect(refusal.reason.contains("there are 2 now"))
    }

    /// What a replica hears of its peers is newer than a store that is away.
    @Test func saysWhoLeadsAsItsReplicasHaveHeard() throws {
        let made = members(3, InMemoryCoordination(deliversAtOnce: true))
        try made[0].create("t", replicas: 3, token: 1)
        for member in made { member.steps() }
        for member in made { member.claim() }
        #expect(made[0].cluster.leadership(of: 0).leader == nil)
        made[0].cluster.heard(0, leader: 2, epoch: 4)
        let leadership = made[0].cluster.leadership(of: 0)
        #expect(leadership.leader == 2 && leadership.epoch == 4 && leadership.live.sorted() == [1, 2, 3])
    }

    /// A leader that is cut off from the store, but not from its followers, leads on: clients find it. One that nobody hears is gone.
    @Test func aLeaderWithoutItsLeaseIsThereAsLongAsItIsHeard() throws {
        let made = try membersWithTopic()
        let replicas = [1, 2].map { ReplicaID(broker: $0, incarnation: 100) }
        swap(made[0], replicas, leader: replicas[1])
        made[0].cluster.heard(0, leader: 2, epoch: 0)
        func known() -> (leader: Int32?, brokers: [Int32]) { (made[0].cluster.leadership(of: 0).leader, made[0].cluster.brokers.map(\.nodeId)) }
        #expect(known() == (2, [1, 2, 3]))
        made[1].store.stop()
        #expect(known() == (2, [1, 2, 3]))
        #expect(made[0].cluster.brokers[1].host == "host2")
        made[0].cluster.heard(0, leader: nil, epoch: 0)
        #expect(known() == (nil, [1, 3]))
    }

    /// A topic with two replicas, whose first group is at brokers 1 and 2; all disks are known.
    private func membersWithTopic() throws -> [Member] {
        let made = members(3, InMemoryCoordination(deliversAtOnce: true))
        try made[0].create("t", replicas: 2, token: 1)
        for member in made { member.steps() }
        for member in made { member.claim() }
        #expect(made[0].cluster.target(of: 0) == [1, 2])
        return made
    }

    private func order(_ wanted: [UInt16: GroupOrder], _ member: Member) -> [UInt16: String]? {
        member.cluster.order(wanted, token: 77)
        guard let outcome = member.cluster.nextOrderOutcome(), outcome.token == 77 else { return nil }
        return outcome.failures
    }

    /// The group's value as a broker knows it, which then is replaced.
    private func swap(_ member: Member, _ replicas: [ReplicaID], leader: ReplicaID? = nil) {
        let news = member.inbox.take().compactMap { news -> (GroupAssignment, Int64)? in
            if case .assignment(0, let value, _, let revision) = news { (value, revision) } else { nil }
        }
        guard let (known, revision) = news.last else {
            Issue.record("the group's value is not known")
            return
        }
        var value = known
        value.replicas = replicas
        value.leader = leader
        member.cluster.swap(group: 0, value, revision: revision)
    }

    @Test func whatOperatorsWantOutlivesTheLeadersChanges() throws {
        let made = try membersWithTopic()
        #expect(order([0: .move(to: [3, 1])], made[1]) == [:])
        #expect(made[2].opened.groups.withLock { $0[0] } != nil, "who is to have it opens a journal")
        swap(made[0], [ReplicaID(broker: 1, incarnation: 100), ReplicaID(broker: 2, incarnation: 100), ReplicaID(broker: 3, incarnation: 100)])
        for member in made {
            #expect(member.cluster.target(of: 0) == [3, 1])
            #expect(member.cluster.leadership(of: 0).replicas == [3, 1, 2], "who is to lead comes first")
        }
        #expect(order([0: .elect, 9: .elect], made[0]) == [9: "partition group 9 is not there"])
        let elections = made[2].inbox.take().compactMap { news -> UInt32? in
            if case .assignment(0, _, let target, _) = news { target.elections } else { nil }
        }
        #expect(elections.last == 1)
        #expect(order([0: .stay], made[0]) == [:])
        #expect(made[0].cluster.target(of: 0) == [3, 1])
    }

    @Test func aGroupLeavesOnlyOnceTheStoreKnowsThatItDoes() throws {
        let made = try membersWithTopic()
        let leaver = made[1]
        #expect(order([0: .move(to: [1, 3])], made[0]) == [:])
        #expect(leaver.opened.removed.withLock { $0.isEmpty }, "it still has a replica that counts")
        swap(made[0], [ReplicaID(broker: 1, incarnation: 100), ReplicaID(broker: 3, incarnation: 100)])
        #expect(leaver.opened.removed.withLock { $0 } == [0])
        leaver.cluster.withdraw(0)
        guard case .mayGo = leaver.cluster.leaving(0) else {
            Issue.record("nobody counts on it any more")
            return
        }
        // It is wanted again before all is gone: first it goes, then it begins anew.
        leaver.opened.groups.withLock { $0 = [:] }
        #expect(order([0: .move(to: [1, 2])], made[0]) == [:])
        #expect(leaver.opened.groups.withLock { $0.isEmpty })
        leaver.cluster.left(0)
        #expect(leaver.opened.groups.withLock { $0[0] } != nil)
    }

    @Test func aGroupThatIsWantedAgainInTimeStays() throws {
        let made = try membersWithTopic()
        #expect(order([0: .move(to: [1, 3])], made[0]) == [:])
        swap(made[0], [ReplicaID(broker: 1, incarnation: 100), ReplicaID(broker: 3, incarnation: 100)])
        #expect(order([0: .move(to: [2, 1])], made[0]) == [:])
        made[1].cluster.withdraw(0)
        guard case .stays = made[1].cluster.leaving(0) else {
            Issue.record("it is to be here")
            return
        }
    }

    /// Two operators at once: each order is tried again with what the other has made of the group.
    @Test func ordersThatMeetAreBothCarriedOut() throws {
        let shared = InMemoryCoordination()
        let made = (1...3).map { Member($0, shared) }
        deliver(to: made)
        try made[0].create("t", replicas: 2, token: 1)
        deliver(to: made)
        made[0].cluster.order([0: .move(to: [2, 3])], token: 5)
        made[1].cluster.order([0: .elect], token: 6)
        deliver(to: made)
        #expect(made[0].cluster.nextOrderOutcome()?.failures == [:])
        #expect(made[1].cluster.nextOrderOutcome()?.failures == [:])
        for member in made { #expect(member.cluster.target(of: 0) == [2, 3]) }
    }

    /// Who leads tells the others by the store who keeps up.
    @Test func allSayWhoIsInSyncAsTheLeaderDoes() throws {
        let shared = InMemoryCoordination(deliversAtOnce: true)
        let made = members(3, shared)
        func inSync() -> [[Int32]] { made.map { $0.cluster.leadership(of: 0).inSync.sorted() } }
        func lead(_ member: Int, epoch: UInt32) throws {
            let replicas = (1...3).map { ReplicaID(broker: $0, incarnation: 100) }
            made[member].cluster.swap(
                group: 0, GroupAssignment(epoch: epoch, leader: replicas[member], replicas: replicas), revision: made[member].revision())
        }
        try made[0].create("t", replicas: 3, token: 1)
        for member in made { member.steps() }
        for member in made { member.claim() }
        #expect(inSync() == [[1, 2, 3], [1, 2, 3], [1, 2, 3]], "nobody has said anything yet")
        try lead(1, epoch: 1)
        made[1].cluster.inSync(0, [2, 3], epoch: 1)
        #expect(inSync() == [[2, 3], [2, 3], [2, 3]])
        made[1].cluster.inSync(0, [1, 2, 3], epoch: 1)
        made[1].cluster.inSync(0, [1, 2], epoch: 1)
        #expect(inSync() == [[1, 2], [1, 2], [1, 2]])
        // The next leader has not said anything: what was so before goes for now, and itself.
        try lead(2, epoch: 2)
        #expect(inSync() == [[1, 2, 3], [1, 2, 3], [1, 2, 3]])
        made[2].cluster.inSync(0, [3], epoch: 2)
        // What the former one says is over.
        made[1].cluster.inSync(0, [1, 2], epoch: 1)
        #expect(inSync() == [[3], [3], [3]])
    }

    /// While the store is away the leader's own broker knows; the others are told once it is back.
    @Test func whoIsInSyncIsToldAgain() throws {
        let shared = InMemoryCoordination()
        let made = (1...2).map { Member($0, shared) }
        deliver(to: made)
        try made[0].create("t", replicas: 2, token: 1)
        deliver(to: made)
        for member in made { member.claim() }
        deliver(to: made)
        let replicas = (1...2).map { ReplicaID(broker: $0, incarnation: 100) }
        made[0].cluster.swap(group: 0, GroupAssignment(epoch: 1, leader: replicas[0], replicas: replicas), revision: made[0].revision())
        deliver(to: made)
        made[0].cluster.inSync(0, [1, 2], epoch: 1)
        deliver(to: made)
        // One change is under way; what comes meanwhile is told when it is told again.
        made[0].cluster.inSync(0, [1], epoch: 1)
        made[0].cluster.inSync(0, [1, 2], epoch: 1)
        #expect(made[0].cluster.leadership(of: 0).inSync == [1, 2], "its own broker's word")
        deliver(to: made)
        #expect(made[1].cluster.leadership(of: 0).inSync == [1])
        made[0].cluster.inSync(0, [1, 2], epoch: 1)
        deliver(to: made)
        #expect(made[1].cluster.leadership(of: 0).inSync == [1, 2])
    }
}
