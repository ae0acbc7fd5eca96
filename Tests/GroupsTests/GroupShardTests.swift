import Groups
import Testing
import Wire

@Suite struct GroupShardTests {
    private let now = ConsumerGroup.Moments(monotonic: 1_000_000_000_000, wall: 1_700_000_000_000)

    private func commit(
        _ shard: inout GroupShard, _ group: String = "g", member: String = "", generation: Int32 = -1, partition: Int32 = 0, offset: Int64, metadata: String? = nil
    ) -> (records: [GroupRecord], error: ErrorCode) {
        var request = OffsetCommitRequest()
        request.groupId = group
        request.memberId = member
        request.generationId = generation
        var asked = OffsetCommitRequest.Partition(partitionIndex: partition, committedOffset: offset)
        asked.committedMetadata = metadata
        request.topics = [OffsetCommitRequest.Topic(name: "t", partitions: [asked])]
        let (records, answer) = shard.commit(request, metadataLimit: 10, now: now) { topic, partition in topic == "t" && partition < 4 }
        return (records, answer.topics[0].partitions[0].errorCode)
    }

    /// What is stored is applied.
    private func store(_ records: [GroupRecord], _ shard: inout GroupShard) {
        for record in records { shard.apply(record, keepsMembers: false, wall: now.wall) }
    }

    /// A group of consumers, two of them, that have subscribed to "t".
    private func stable(_ shard: inout GroupShard) throws -> [String] {
        let harness = GroupHarness()
        var subscription = ConsumerProtocolSubscription()
        subscription.topics = ["t"]
        // The harness says it as text.
        subscription.userData = []
        let metadata = String(decoding: try subscription.encode(version: 0), as: UTF8.self)
        let tokens = (0..<2).map { _ in harness.join(protocols: [("range", metadata)]) }
        harness.pass(seconds: 10)
        let ids = try tokens.map { try #require(harness.joined[$0]).memberId }
        for id in ids { _ = harness.sync(id, generation: 1, id == ids[0] ? ids.map { ($0, "x") } : []) }
        harness.store()
        shard.apply(.group("g", harness.group.metadata), keepsMembers: false, wall: now.wall)
        return ids
    }

    @Test func whatIsCommittedIsFetched() {
        var shard = GroupShard(limits: GroupLimits())
        let (records, error) = commit(&shard, offset: 5, metadata: "m")
        #expect(error == .none && shard.offsets(of: "g", nil).isEmpty, "it counts once it is stored")
        store(records, &shard)
        store(commit(&shard, partition: 2, offset: 7).records, &shard)
        let all = shard.offsets(of: "g", nil)
        #expect(all.count == 1 && all[0].partitions.map(\.partitionIndex) == [0, 2] && all[0].partitions.map(\.committedOffset) == [5, 7])
        #expect(all[0].partitions[0].metadata == "m")
        let asked = shard.offsets(of: "g", [OffsetFetchRequest.Topic(name: "t", partitionIndexes: [1, 0])])
        #expect(asked[0].partitions.map(\.committedOffset) == [-1, 5] && asked[0].partitions.allSatisfy { $0.errorCode == .none })
        let unknown = shard.offsets(of: "nobody", [OffsetFetchRequest.Topic(name: "t", partitionIndexes: [0])])
        #expect(unknown[0].partitions[0].committedOffset == -1 && unknown[0].partitions[0].errorCode == .none)
    }

    @Test func whoMayNotCommit() throws {
        var shard = GroupShard(limits: GroupLimits())
        #expect(commit(&shard, generation: 1, offset: 0).error == .illegalGeneration, "of a group that is not there")
        #expect(commit(&shard, partition: 9, offset: 0).error == .unknownTopicOrPartition)
        #expect(commit(&shard, offset: 0, metadata: "01234567890").error == .offsetMetadataTooLarge)
        let ids = try stable(&shard)
        #expect(commit(&shard, offset: 0).error == .unknownMemberId, "there are members")
        #expect(commit(&shard, member: ids[0], generation: 2, offset: 0).error == .illegalGeneration)
        let (records, error) = commit(&shard, member: ids[0], generation: 1, offset: 3)
        #expect(error == .none && records.count == 1)
    }

    @Test func offsetsAreDeletedWhereNobodyNeedsThem() throws {
        var shard = GroupShard(limits: GroupLimits())
        func delete(_ topic: String) -> (records: [GroupRecord], answer: OffsetDeleteResponse) {
            var request = OffsetDeleteRequest()
            request.groupId = "g"
            var asked = OffsetDeleteRequest.Topic()
            asked.name = topic
            asked.partitions = [OffsetDeleteRequest.Partition()]
            request.topics = [asked]
            return shard.deleteOffsets(request) { topic, _ in topic != "gone" }
        }
        #expect(delete("t").answer.errorCode == .groupIdNotFound)
        store(commit(&shard, offset: 5).records, &shard)
        let record = CommittedOffset(offset: 1, leaderEpoch: -1, metadata: "", committedAt: now.wall)
        shard.apply(.offset(group: "g", topic: "other", partition: 0, record), keepsMembers: false, wall: now.wall)
        _ = try stable(&shard)
        #expect(delete("t").records.isEmpty && delete("t").answer.topics[0].partitions[0].errorCode == .groupSubscribedToTopic)
        let (records, answer) = delete("other")
        #expect(answer.topics[0].partitions[0].errorCode == .none)
        store(records, &shard)
        #expect(shard["g"]?.offsets["other", 0] == nil && shard["g"]?.offsets["t", 0] != nil)
        #expect(delete("gone").records.isEmpty && delete("gone").answer.topics[0].partitions[0].errorCode == .unknownTopicOrPartition)
    }

    @Test func offsetsAreKeptForAWhile() throws {
        var shard = GroupShard(limits: GroupLimits())
        store(commit(&shard, "lone", offset: 5).records, &shard)
        store(commit(&shard, offset: 5).records, &shard)
        let old = CommittedOffset(offset: 1, leaderEpoch: -1, metadata: "", committedAt: now.wall)
        shard.apply(.offset(group: "g", topic: "other", partition: 0, old), keepsMembers: false, wall: now.wall)
        _ = try stable(&shard)
        #expect(shard.expired(retention: 1000, wall: now.wall + 999).isEmpty)
        let records = shard.expired(retention: 1000, wall: now.wall + 1000)
        #expect(Set(records.map { "\($0)" }) == Set([
            GroupRecord.offset(group: "g", topic: "other", partition: 0, nil), .offset(group: "lone", topic: "t", partition: 0, nil)].map { "\($0)" }))
        store(records, &shard)
        #expect(shard["lone"] == nil && shard["g"]?.offsets.count == 1)
        // Without members it is kept from the moment on in which it has none.
        var empty = GroupMetadataValue()
        empty.protocolType = "consumer"
        empty.generation = 2
        empty.currentStateTimestamp = now.wall + 5000
        shard.apply(.group("g", empty), keepsMembers: false, wall: now.wall)
        #expect(shard.expired(retention: 1000, wall: now.wall + 5999).isEmpty)
        store(shard.expired(retention: 1000, wall: now.wall + 6000), &shard)
        #expect(shard["g"] == nil)
    }

    @Test func groupsAreDescribedListedAndDeleted() throws {
        var shard = GroupShard(limits: GroupLimits())
        store(commit(&shard, "lone", offset: 5).records, &shard)
        let ids = try stable(&shard)
        let described = shard.describe("g")
        #expect(described.groupState == "Stable" && described.protocolData == "range" && described.members.map(\.memberId) == ids)
        #expect(described.members[0].memberAssignment == Array("x".utf8) && described.errorCode == .none)
        #expect(shard.describe("nobody").groupState == "Dead" && shard.describe("lone").groupState == "Empty")
        #expect(shard.list(states: []).map(\.groupId) == ["g", "lone"])
        #expect(shard.list(states: ["stable"]).map(\.groupId) == ["g"] && shard.list(states: ["Dead"]).isEmpty)
        #expect(shard.delete("nobody") == .failure(GroupRefusal(.groupIdNotFound)) && shard.delete("g") == .failure(GroupRefusal(.nonEmptyGroup)))
        let records = try shard.delete("lone").get()
        #expect(records.count == 2)
        store(records, &shard)
        #expect(shard["lone"] == nil)
    }

    @Test func whatIsOnItsWayIntoTheLogIsReckonedWith() throws {
        var shard = GroupShard(limits: GroupLimits())
        let id = Uuid(high: 1, low: 2)
        store(commit(&shard, offset: 5).records, &shard)
        let later = commit(&shard, offset: 6).records + commit(&shard, partition: 1, offset: 7).records
        shard.begin(later) { _ in id }
        // Its offset is older than it may be; but a newer one is on its way.
        #expect(shard.expired(retention: 1000, wall: now.wall + 1000).isEmpty)
        #expect(try shard.delete("g").get().count == 3, "both partitions, and the group")
        var request = OffsetDeleteRequest()
        request.groupId = "g"
        var topic = OffsetDeleteRequest.Topic()
        topic.name = "t"
        topic.partitions = ([1, 2] as [Int32]).map { number in
            var partition = OffsetDeleteRequest.Partition()
            partition.partitionIndex = number
            return partition
        }
        request.topics = [topic]
        #expect(shard.deleteOffsets(request) { _, _ in true }.records.count == 1)
        store(later, &shard)
        #expect(shard.end(later) { _ in id }.isEmpty)
        #expect(shard.expired(retention: 1000, wall: now.wall + 1000).count == 2)
    }

    @Test func offsetsOfATopicThatHasGoneMeanwhileAreTakenBack() {
        var shard = GroupShard(limits: GroupLimits())
        let records = commit(&shard, offset: 5).records
        shard.begin(records) { _ in Uuid(high: 1, low: 2) }
        store(records, &shard)
        store(shard.end(records) { _ in nil }, &shard)
        #expect(shard["g"] == nil)
        // Also where another is called so now.
        shard.begin(records) { _ in Uuid(high: 1, low: 2) }
        store(records, &shard)
        store(shard.end(records) { _ in Uuid(high: 3, low: 4) }, &shard)
        #expect(shard["g"] == nil)
    }
}
