import Replication
import Testing

/// Who keeps up with a leader: three cores, whose messages arrive at once unless somebody is deaf, and whose disks flush as they are told.
@Suite struct InSyncTests {
    private final class Trio {
        static let millisecond: UInt64 = 1_000_000
        let times = ReplicaTimes()
        var cores: [ReplicaCore] = []
        var now: UInt64 = 1_000_000_000
        /// Who hears and says nothing; whose disk stands still; and whose is so many bytes behind.
        var deaf: Set<Int> = []
        var stuck: Set<Int> = []
        var behind: [Int: UInt64] = [:]
        private var assignment: GroupAssignment
        private var revision: Int64 = 1
        /// What those in sync were said to have.
        private var promised: UInt64 = 0

        init() {
            let ids = (1...3).map { ReplicaID(broker: $0, incarnation: UInt64($0) + 100) }
            assignment = GroupAssignment(replicas: ids)
            for id in ids {
                cores.append(
                    ReplicaCore(own: id, record: ReplicaRecord(), shape: LogShape(), times: times, seed: UInt64(id.broker), now: now))
            }
            for index in cores.indices {
                cores[index].saw(assignment, target: GroupTarget(brokers: [1, 2, 3]), revision: revision, now: now)
                cores[index].saw(live: [1: 101, 2: 102, 3: 103], now: now)
            }
        }

        /// The one that leads in the greatest epoch, once its epoch frame is committed.
        var leader: Int? {
            cores.indices.filter { if case .leader = cores[$0].role { cores[$0].committed > 0 } else { false } }
                .max { cores[$0].role.epoch! < cores[$1].role.epoch! }
        }

        /// The brokers that are in sync, as the leader sees it.
        var inSync: [Int32] { leader.map { cores[$0].inSync.map(\.broker) } ?? [] }

        func append(_ bytes: UInt64) {
            guard let leader else { return }
            moved(leader, to: cores[leader].appended + bytes)
        }

        private func moved(_ index: Int, to appended: UInt64) {
            let lag = behind[index] ?? 0
            let flushed = stuck.contains(index) ? cores[index].flushed : max(cores[index].flushed, appended - min(lag, appended))
            cores[index].moved(appended: appended, flushed: flushed, now: now)
        }

        /// Lets so much time pass, with so many bytes produced each 10 ms.
        func run(milliseconds: Int, load: UInt64 = 0) {
            for _ in 0..<milliseconds / 10 {
                now += 10 * Trio.millisecond
                if load > 0 { append(load) }
                for index in cores.indices {
                    moved(index, to: cores[index].appended)
                    cores[index].tick(now: now)
                }
                settle()
                check()
            }
        }

        func runUntilLed(by others: Set<Int> = [0, 1, 2]) throws -> Int {
            for _ in 0..<1000 {
                if let leader, others.contains(leader) { return leader }
                run(milliseconds: 10)
            }
            return try #require(nil, "nobody leads")
        }

        private func settle() {
            var isBusy = true
            while isBusy {
                isBusy = false
                for index in cores.indices {
                    for effect in cores[index].takeEffects() {
                        isBusy = true
                        carryOut(effect, index)
                    }
                }
            }
        }

        private func carryOut(_ effect: ReplicaEffect, _ index: Int) {
            switch effect {
            case .send(let message, let to):
                let other = Int(to.broker) - 1
                if deaf.isDisjoint(with: [index, other]) { cores[other].take(message, from: cores[index].own, now: now) }
            case .record(let record): cores[index].recorded(record, now: now)
            case .take: moved(index, to: cores[index].appended)
            case .beginEpoch:
                cores[index].begunEpoch(frameEnd: cores[index].appended + 64, now: now)
                moved(index, to: cores[index].appended)
            case .swap(let value, let expected):
                if expected == revision, !deaf.contains(index) {
                    revision += 1
                    assignment = value
                }
                cores[index].swapped(assignment, target: GroupTarget(brokers: [1, 2, 3]), revision: revision, now: now)
                for other in cores.indices where other != index && !deaf.contains(other) {
                    cores[other].saw(assignment, target: GroupTarget(brokers: [1, 2, 3]), revision: revision, now: now)
                }
            default: break
            }
        }

        /// What is said of those in sync, all of them have; and it never has to be taken back.
        private func check() {
            guard let leader else { return }
            let core = cores[leader]
            #expect(core.inSyncReached <= core.committed && core.inSync.contains(core.own))
            promised = max(promised, core.inSyncReached)
            for replica in core.inSync where replica != core.own && core.role.epoch == assignment.epoch {
                #expect(cores[Int(replica.broker) - 1].flushed >= promised, "broker \(replica.broker) of \(core.inSync)")
            }
        }
    }

    @Test func whoIsNotHeardOfGoesAndComesBackOnceItHasCaughtUp() throws {
        let trio = Trio()
        let leader = try trio.runUntilLed()
        trio.run(milliseconds: 100)
        #expect(trio.inSync == [1, 2, 3])
        let other = (leader + 1) % 3
        trio.deaf = [other]
        trio.run(milliseconds: 1500, load: 1000)
        let reached = trio.cores[leader].inSyncReached
        #expect(trio.inSync == [1, 2, 3] && reached < trio.cores[leader].committed)
        trio.run(milliseconds: 1000, load: 1000)
        #expect(trio.inSync == [1, 2, 3].filter { $0 != Int32(other) + 1 })
        #expect(trio.cores[leader].inSyncReached == trio.cores[leader].committed)
        // It is heard again, but its disk does not take what it gets.
        trio.deaf = []
        trio.stuck = [other]
        trio.run(milliseconds: 2000)
        #expect(trio.inSync.count == 2)
        trio.stuck = []
        trio.run(milliseconds: 500)
        #expect(trio.inSync == [1, 2, 3])
    }

    /// Under load a follower never has all that there is; as long as it has what there was a moment ago, it keeps up.
    @Test func whoLagsALittleStaysAndWhoseDiskStandsStillGoes() throws {
        let trio = Trio()
        let leader = try trio.runUntilLed()
        let other = (leader + 1) % 3
        trio.behind = [other: 20_000]
        trio.run(milliseconds: 30_000, load: 1000)
        #expect(trio.inSync == [1, 2, 3])
        trio.stuck = [other]
        trio.run(milliseconds: 9000, load: 1000)
        #expect(trio.inSync == [1, 2, 3])
        trio.run(milliseconds: 2000, load: 1000)
        #expect(trio.inSync.count == 2)
        trio.stuck = []
        trio.behind = [:]
        trio.run(milliseconds: 2000, load: 1000)
        #expect(trio.inSync == [1, 2, 3])
    }

    /// Nothing is written: an idle follower is in sync, also after long.
    @Test func idleIsInSync() throws {
        let trio = Trio()
        _ = try trio.runUntilLed()
        trio.run(milliseconds: 60_000)
        #expect(trio.inSync == [1, 2, 3])
    }

    /// A new leader goes on with those who have promised its epoch: a majority, so that nobody is refused for the change.
    @Test func aNewLeaderBeginsWithThoseWhoPromised() throws {
        let trio = Trio()
        let first = try trio.runUntilLed()
        trio.run(milliseconds: 500, load: 1000)
        trio.deaf = [first]
        for index in trio.cores.indices where index != first {
            trio.cores[index].saw(live: [1: 101, 2: 102, 3: 103].filter { $0.key != Int32(first) + 1 }, now: trio.now)
        }
        let second = try trio.runUntilLed(by: Set([0, 1, 2]).subtracting([first]))
        #expect(trio.inSync == [1, 2, 3].filter { $0 != Int32(first) + 1 })
        trio.run(milliseconds: 1000, load: 1000)
        trio.deaf = []
        for index in trio.cores.indices { trio.cores[index].saw(live: [1: 101, 2: 102, 3: 103], now: trio.now) }
        trio.run(milliseconds: 3000, load: 1000)
        #expect(trio.leader == second && trio.inSync == [1, 2, 3])
        // Who follows counts nobody.
        #expect(trio.cores[first].inSync.isEmpty)
    }
}
