import Groups
import Testing
import Wire

@Suite struct ConsumerGroupTests {
    // MARK: Joining

    @Test func anEmptyGroupWaitsForMoreThanTheFirst() throws {
        let harness = GroupHarness()
        let first = harness.join()
        #expect(harness.group.state == .preparingRebalance)
        harness.pass(seconds: 2)
        let second = harness.join(protocols: [("range", "b")])
        harness.pass(seconds: 1.5)
        #expect(harness.joined[first] == nil, "somebody has come meanwhile, so it waits once more")
        harness.pass(seconds: 3)
        let leader = try #require(harness.joined[first])
        let other = try #require(harness.joined[second])
        #expect(leader.errorCode == .none && other.errorCode == .none && leader.generationId == 1 && other.generationId == 1)
        #expect(leader.leader == leader.memberId && other.leader == leader.memberId && leader.protocolName == "range")
        #expect(leader.members.map(\.memberId) == [leader.memberId, other.memberId])
        #expect(leader.members.map(\.metadata) == [Array("a".utf8), Array("b".utf8)])
        #expect(other.members.isEmpty && harness.group.state == .completingRebalance)
    }

    /// However many come, nobody waits longer than the longest rebalance time-out.
    @Test func theWaitHasAnEnd() {
        let harness = GroupHarness()
        let first = harness.join(rebalance: 8000)
        for _ in 0..<9 {
            harness.pass(seconds: 1)
            _ = harness.join(rebalance: 8000)
        }
        #expect(harness.joined[first] != nil)
    }

    @Test func aMemberMustComeBackWithItsId() throws {
        let harness = GroupHarness()
        let first = harness.join(knowsIdRequired: true)
        let answer = try #require(harness.joined[first])
        #expect(answer.errorCode == .memberIdRequired && !answer.memberId.isEmpty && harness.group.members.isEmpty)
        let again = harness.join(answer.memberId, knowsIdRequired: true)
        harness.pass(seconds: 4)
        #expect(harness.joined[again]?.errorCode == ErrorCode.none && harness.joined[again]?.memberId == answer.memberId)
        // One that does not come is forgotten.
        let other = try #require(harness.answer(to: harness.join(knowsIdRequired: true))).memberId
        harness.pass(seconds: 11)
        #expect(harness.answer(to: harness.join(other, knowsIdRequired: true))?.errorCode == .unknownMemberId)
    }

    @Test func whatIsRefused() throws {
        var limits = GroupLimits()
        limits.mostMembers = 2
        let harness = GroupHarness(limits: limits)
        func error(_ token: UInt64) -> ErrorCode? { harness.joined[token]?.errorCode }
        #expect(error(harness.join(session: 5999)) == .invalidSessionTimeout)
        #expect(error(harness.join(session: 1_800_001)) == .invalidSessionTimeout)
        #expect(error(harness.join(session: -1)) == .invalidSessionTimeout)
        #expect(error(harness.join(protocols: [])) == .inconsistentGroupProtocol)
        #expect(error(harness.join(type: "")) == .inconsistentGroupProtocol)
        #expect(error(harness.join("nobody")) == .unknownMemberId)
        #expect(error(harness.join("nobody", instance: "i")) == .unknownMemberId)
        let ids = try harness.settle(2)
        #expect(error(harness.join(protocols: [("other", "")])) == .inconsistentGroupProtocol)
        #expect(error(harness.join(type: "connect")) == .inconsistentGroupProtocol)
        #expect(error(harness.join()) == .groupMaxSizeReached)
        #expect(error(harness.join(knowsIdRequired: true)) == .groupMaxSizeReached)
        #expect(harness.group.state == .stable && Set(harness.group.members.keys) == Set(ids), "nothing has happened")
    }

    @Test func theAssignorIsOneThatAllHave() throws {
        let harness = GroupHarness()
        let tokens = [
            harness.join(protocols: [("a", "1"), ("b", "2"), ("c", "3")]), harness.join(protocols: [("c", "4"), ("b", "5")]),
            harness.join(protocols: [("d", "6"), ("b", "7"), ("c", "8")]),
        ]
        harness.pass(seconds: 10)
        let leader = try #require(harness.joined[tokens[0]])
        #expect(leader.protocolName == "b", "b has the votes of the first and the third")
        #expect(leader.members.map(\.metadata) == ["2", "5", "7"].map { Array($0.utf8) })
    }

    // MARK: Rebalancing

    @Test func aNewMemberWaitsForTheOthers() throws {
        let harness = GroupHarness()
        let ids = try harness.settle(2)
        let new = harness.join()
        #expect(harness.heartbeat(ids[0], generation: 1) == .rebalanceInProgress)
        let first = harness.join(ids[0])
        #expect(harness.joined[new] == nil)
        let second = harness.join(ids[1])
        #expect(harness.joined[new]?.generationId == 2 && harness.joined[first]?.members.count == 3 && harness.joined[second]?.members == [])
        #expect(harness.heartbeat(ids[0], generation: 1) == .illegalGeneration)
        #expect(harness.heartbeat(ids[0], generation: 2) == .none)
    }

    @Test func whoDoesNotJoinInTimeIsOut() throws {
        let harness = GroupHarness()
        let ids = try harness.settle(2)
        let new = harness.join(session: 100_000)
        let first = harness.join(ids[0], session: 100_000)
        // The second lives, and does not join.
        for _ in 0..<11 {
            harness.pass(seconds: 5)
            #expect(harness.heartbeat(ids[1], generation: 1) == .rebalanceInProgress)
        }
        harness.pass(seconds: 6)
        #expect(harness.joined[new]?.generationId == 2 && harness.joined[first]?.members.count == 2)
        #expect(harness.heartbeat(ids[1], generation: 1) == .unknownMemberId)
    }

    @Test func whoIsSilentIsOut() throws {
        let harness = GroupHarness()
        let ids = try harness.settle(2)
        harness.pass(seconds: 9)
        #expect(harness.heartbeat(ids[1], generation: 1) == .none)
        harness.pass(seconds: 2)
        #expect(harness.group.state == .preparingRebalance && harness.heartbeat(ids[0], generation: 1) == .unknownMemberId)
        let again = harness.join(ids[1])
        #expect(harness.joined[again]?.leader == ids[1] && harness.joined[again]?.members.count == 1)
    }

    @Test func theLeadersAssignmentIsStoredBeforeItCounts() throws {
        let harness = GroupHarness()
        let tokens = [harness.join(), harness.join()]
        harness.pass(seconds: 10)
        let ids = try tokens.map { try #require(harness.joined[$0]).memberId }
        let other = harness.sync(ids[1], generation: 1)
        #expect(harness.toStore.isEmpty && harness.synced[other] == nil)
        let leader = harness.sync(ids[0], generation: 1, [(ids[1], "x")])
        #expect(harness.toStore.count == 1 && harness.synced[other] == nil && harness.synced[leader] == nil)
        harness.store()
        #expect(harness.synced[other]?.assignment == Array("x".utf8) && harness.synced[leader]?.assignment == [])
        // An answer that was lost is asked for again.
        let again = harness.sync(ids[1], generation: 1)
        #expect(harness.synced[again]?.assignment == Array("x".utf8))
        let late = harness.sync(ids[1], generation: 0)
        #expect(harness.synced[late]?.errorCode == .illegalGeneration)
    }

    @Test func whatCantBeStoredIsToldAndBegunAnew() throws {
        let harness = GroupHarness()
        let tokens = [harness.join(), harness.join()]
        harness.pass(seconds: 10)
        let ids = try tokens.map { try #require(harness.joined[$0]).memberId }
        let syncs = [harness.sync(ids[1], generation: 1), harness.sync(ids[0], generation: 1, [(ids[1], "x")])]
        harness.store(.notCoordinator)
        #expect(syncs.allSatisfy { harness.synced[$0]?.errorCode == .notCoordinator } && harness.group.state == .preparingRebalance)
        // What is stored for a generation that is over changes nothing.
        _ = harness.join(ids[0])
        _ = harness.join(ids[1])
        let leader = harness.sync(ids[0], generation: 2, [(ids[0], "y")])
        _ = harness.join(protocols: [("range", "new")])
        #expect(harness.synced[leader]?.errorCode == .rebalanceInProgress)
        harness.store()
        #expect(harness.group.state == .preparingRebalance)
    }

    @Test func whoDoesNotAskForItsAssignmentIsOut() throws {
        let harness = GroupHarness()
        let tokens = [harness.join(session: 600_000, rebalance: 10_000), harness.join(session: 600_000, rebalance: 10_000)]
        harness.pass(seconds: 10)
        let ids = try tokens.map { try #require(harness.joined[$0]).memberId }
        let other = harness.sync(ids[1], generation: 1)
        harness.pass(seconds: 11)
        #expect(harness.synced[other]?.errorCode == .rebalanceInProgress && harness.group.members[ids[0]] == nil)
        let again = harness.join(ids[1])
        #expect(harness.joined[again]?.leader == ids[1])
    }

    @Test func whoWaitsForItsAssignmentNeedNotBeHeardOf() throws {
        let harness = GroupHarness()
        let tokens = [harness.join(session: 12_000, rebalance: 120_000), harness.join(session: 12_000, rebalance: 120_000)]
        harness.pass(seconds: 10)
        let ids = try tokens.map { try #require(harness.joined[$0]).memberId }
        let other = harness.sync(ids[1], generation: 1)
        for _ in 0..<5 {
            #expect(harness.heartbeat(ids[0], generation: 1) == .none)
            harness.pass(seconds: 8)
        }
        #expect(harness.synced[other] == nil && harness.group.members[ids[1]] != nil)
        let leader = harness.sync(ids[0], generation: 1, [(ids[0], "a"), (ids[1], "b")])
        harness.store()
        #expect(harness.synced[leader]?.assignment == Array("a".utf8) && harness.synced[other]?.assignment == Array("b".utf8))
        // From then on it has to be heard of again.
        harness.pass(seconds: 10)
        #expect(harness.heartbeat(ids[0], generation: 1) == .none)
        harness.pass(seconds: 4)
        #expect(harness.group.members[ids[1]] == nil && harness.group.members[ids[0]] != nil)
    }

    @Test func anUnchangedMemberThatJoinsAgainIsTold() throws {
        let harness = GroupHarness()
        let ids = try harness.settle(2)
        let follower = harness.join(ids[1])
        #expect(harness.joined[follower]?.generationId == 1 && harness.group.state == .stable)
        let changed = harness.join(ids[1], protocols: [("range", "other")])
        #expect(harness.joined[changed] == nil && harness.group.state == .preparingRebalance)
        let leader = harness.join(ids[0])
        #expect(harness.joined[leader]?.generationId == 2)
        // While the assignment is waited for, too; it is the leader that is told of all.
        let lost = harness.join(ids[0])
        #expect(harness.joined[lost]?.members.count == 2 && harness.group.state == .completingRebalance)
    }

    @Test func theLeaderThatJoinsAgainWantsARebalance() throws {
        let harness = GroupHarness()
        let ids = try harness.settle(2)
        let leader = harness.join(ids[0])
        #expect(harness.joined[leader] == nil && harness.group.state == .preparingRebalance)
    }

    // MARK: Leaving

    @Test func theLastThatLeavesLeavesItEmpty() throws {
        let harness = GroupHarness()
        let ids = try harness.settle(2)
        #expect(harness.leave("nobody") == .unknownMemberId)
        #expect(harness.leave(ids[0]) == .none && harness.group.state == .preparingRebalance)
        #expect(harness.leave(ids[1]) == .none && harness.group.state == .empty && harness.toStore.count == 1)
        #expect(harness.group.generation == 2 && harness.group.leader == nil && harness.group.protocolType == "consumer")
        harness.store()
        #expect(harness.group.isIdle)
        _ = try harness.settle(1)
        #expect(harness.group.generation == 3)
    }

    @Test func whoWasGivenAnIdMayLeaveWithoutJoining() throws {
        let harness = GroupHarness()
        let id = try #require(harness.answer(to: harness.join(knowsIdRequired: true))).memberId
        #expect(harness.leave(id) == .none && harness.leave(id) == .unknownMemberId && harness.group.isIdle)
    }

    // MARK: Static members

    @Test func aStaticMemberKeepsItsPlace() throws {
        let harness = GroupHarness()
        let ids = try harness.settle(2, instances: true)
        let again = harness.join(instance: "i1")
        #expect(harness.joined[again] == nil, "its new name is stored first")
        harness.store()
        let answer = try #require(harness.joined[again])
        #expect(answer.errorCode == .none && answer.generationId == 1 && answer.memberId != ids[1] && harness.group.state == .stable)
        #expect(harness.heartbeat(ids[1], generation: 1, instance: "i1") == .fencedInstanceId)
        #expect(harness.heartbeat(ids[1], generation: 1) == .unknownMemberId)
        #expect(harness.heartbeat(answer.memberId, generation: 1, instance: "i1") == .none)
        let sync = harness.sync(answer.memberId, generation: 1, instance: "i1")
        #expect(harness.synced[sync]?.assignment == Array("to \(ids[1])".utf8))
        // Another subscription alone begins no generation, as in Kafka: only another assignor does.
        let changed = harness.join(instance: "i1", protocols: [("roundrobin", ""), ("range", "")])
        harness.store()
        #expect(harness.joined[changed]?.generationId == 1)
    }

    @Test(arguments: [true, false]) func aStaticLeaderIsNotToAssign(knowsSkipped: Bool) throws {
        let harness = GroupHarness()
        let ids = try harness.settle(2, instances: true)
        let again = harness.join(instance: "i0", knowsSkipped: knowsSkipped)
        harness.store()
        let answer = try #require(harness.joined[again])
        if knowsSkipped {
            #expect(answer.skipAssignment && answer.leader == answer.memberId && answer.members.count == 2)
        } else {
            #expect(!answer.skipAssignment && answer.leader == ids[0] && answer.members.isEmpty)
        }
        #expect(harness.group.leader == answer.memberId)
    }

    @Test func aStaticMemberThatIsAwayIsWaitedFor() throws {
        let harness = GroupHarness()
        let ids = try harness.settle(2, instances: true)
        let new = harness.join(instance: "i2", rebalance: 5000)
        let first = harness.join(ids[0], instance: "i0", rebalance: 5000)
        for _ in 0..<15 {
            harness.pass(seconds: 4)
            _ = harness.heartbeat(ids[1], generation: 1, instance: "i1")
        }
        // The longest time-out is that of the one that is away; it keeps its place all the same.
        harness.pass(seconds: 2)
        #expect(harness.joined[new]?.generationId == 2 && harness.joined[first]?.members.count == 3)
    }

    @Test func aStaticMembersOlderProcessIsFenced() throws {
        let harness = GroupHarness()
        let waiting = harness.join(instance: "i")
        let again = harness.join(instance: "i")
        #expect(harness.joined[waiting]?.errorCode == .fencedInstanceId)
        harness.pass(seconds: 10)
        #expect(harness.joined[again]?.members.count == 1)
        #expect(harness.leave("other", instance: "i") == .fencedInstanceId && harness.leave("", instance: "x") == .unknownMemberId)
        #expect(harness.leave("", instance: "i") == .none && harness.group.state == .empty)
    }

    // MARK: Offsets, the end

    @Test func whoMayCommit() throws {
        let harness = GroupHarness()
        func flaw(_ member: String, _ generation: Int32) -> ErrorCode? {
            harness.group.commitFlaw(member: member, instance: nil, generation: generation, now: harness.moments)
        }
        #expect(flaw("", -1) == nil && flaw("x", 1) == .unknownMemberId && flaw("", 0) == .unknownMemberId)
        let ids = try harness.settle(1)
        #expect(flaw("", -1) == .unknownMemberId && flaw(ids[0], 1) == nil && flaw(ids[0], 0) == .illegalGeneration)
        _ = harness.join()
        #expect(flaw(ids[0], 1) == nil, "what was read before the rebalance may be committed")
        _ = harness.join(ids[0])
        #expect(flaw(ids[0], 2) == .rebalanceInProgress)
    }

    @Test func theEndIsToldToWhoWaits() throws {
        let harness = GroupHarness()
        let ids = try harness.settle(1)
        let waiting = harness.join()
        harness.end(.notCoordinator)
        #expect(harness.joined[waiting]?.errorCode == .notCoordinator && harness.group.state == .dead && harness.group.deadline == .max)
        #expect(harness.heartbeat(ids[0], generation: 1) == .coordinatorNotAvailable)
        #expect(harness.answer(to: harness.join())?.errorCode == .coordinatorNotAvailable)
    }
}
