import Groups
import Testing
import Wire

@Suite struct GroupRecordTests {
    /// `String.hashCode` as Java's documentation defines it; "polygenelubricants" is known for the least value there is.
    @Test(arguments: [("test", 48), ("", 0), ("group-1", 49), ("connect-小组", 0), ("polygenelubricants", 0), ("😀", 49)] as [(String, Int32)])
    func theGroupsPartition(group: String, partition: Int32) {
        #expect(ConsumerOffsetsKey.partition(of: group, count: 50) == partition)
        #expect(ConsumerOffsetsKey.partition(of: group, count: 1) == 0)
    }

    @Test func recordsAreReadAsTheyWereWritten() throws {
        let harness = GroupHarness()
        _ = try harness.settle(3, instances: true)
        let records: [GroupRecord] = [
            .offset(group: "g", topic: "t", partition: 7, CommittedOffset(offset: 42, leaderEpoch: 3, metadata: "m", committedAt: 5)),
            .offset(group: "g", topic: "t", partition: 7, nil), .group("g", harness.group.metadata), .group("g", nil),
        ]
        for record in records { #expect(try GroupRecord(record.encode(timestamp: 9)) == record) }
        #expect(try GroupRecord(Record(timestamp: 0, key: [0, 3, 0, 0], value: [])) == nil, "of a later kind")
        #expect(try GroupRecord(Record(timestamp: 0, value: [])) == nil)
        #expect(throws: WireError.self) { try GroupRecord(Record(timestamp: 0, key: [0], value: [])) }
        #expect(throws: WireError.self) { try GroupRecord(Record(timestamp: 0, key: [0, 1, 0, 9, 1], value: [])) }
    }

    /// Another broker goes on with a group as it was stored: nobody notices but by the name of the one that is asked.
    @Test func aGroupGoesOnElsewhere() throws {
        let harness = GroupHarness()
        let ids = try harness.settle(2, instances: true)
        let stored = harness.group.metadata
        harness.group = ConsumerGroup(id: "g", limits: GroupLimits(), stored: stored, wall: 0)
        harness.group.resume(harness.moments)
        #expect(harness.group.state == .stable && harness.group.leader == ids[0])
        #expect(harness.heartbeat(ids[1], generation: 1, instance: "i1") == .none)
        let sync = harness.sync(ids[1], generation: 1, instance: "i1")
        #expect(harness.synced[sync]?.assignment == Array("to \(ids[1])".utf8))
        let unchanged = harness.join(ids[1], instance: "i1")
        #expect(harness.joined[unchanged]?.generationId == 1)
        harness.pass(seconds: 9)
        #expect(harness.heartbeat(ids[1], generation: 1, instance: "i1") == .none)
        harness.pass(seconds: 2)
        #expect(Set(harness.group.members.keys) == [ids[1]], "the other was not heard of")
        harness.pass(seconds: 11)
        #expect(harness.group.state == .empty)
    }

    @Test func aShardIsWhatItsLogSays() throws {
        var shard = GroupShard(limits: GroupLimits())
        let offset = CommittedOffset(offset: 1, leaderEpoch: -1, metadata: "", committedAt: 0)
        shard.apply(.offset(group: "a", topic: "t", partition: 0, offset), keepsMembers: false, wall: 0)
        shard.apply(.offset(group: "a", topic: "t", partition: 1, offset), keepsMembers: false, wall: 0)
        shard.apply(.offset(group: "b", topic: "t", partition: 0, nil), keepsMembers: false, wall: 0)
        #expect(shard["a"]?.offsets.count == 2 && shard["a"]?.group.state == .empty && shard["b"] == nil)
        let harness = GroupHarness()
        _ = try harness.settle(1)
        shard.apply(.group("a", harness.group.metadata), keepsMembers: true, wall: 0)
        #expect(shard["a"]?.group.state == .empty, "its coordinator knows better")
        shard.apply(.group("a", harness.group.metadata), keepsMembers: false, wall: 0)
        #expect(shard["a"]?.group.state == .stable && shard["a"]?.offsets.count == 2)
        shard.apply(.group("a", nil), keepsMembers: false, wall: 0)
        #expect(shard["a"]?.group.state == .empty && shard["a"]?.offsets.count == 2)
        for partition: Int32 in 0..<2 { shard.apply(.offset(group: "a", topic: "t", partition: partition, nil), keepsMembers: false, wall: 0) }
        #expect(shard["a"] == nil, "nothing is left of it")
    }
}
