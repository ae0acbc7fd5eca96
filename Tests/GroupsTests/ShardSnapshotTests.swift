import Groups
import IO
import Testing
import Wire

@Suite struct ShardSnapshotTests {
    private let topic = Uuid(high: 1, low: 2)

    private func offset(_ value: Int64) -> CommittedOffset { CommittedOffset(offset: value, leaderEpoch: 3, metadata: "m\(value)", committedAt: 1000 + value) }

    /// Groups with members and without, with offsets and without, one of which something was taken back.
    private func shard() throws -> GroupShard {
        let harness = GroupHarness()
        _ = try harness.settle(3, instances: true)
        var shard = GroupShard(limits: GroupLimits())
        func apply(_ record: GroupRecord) { shard.apply(record, keepsMembers: false, wall: 9000) }
        apply(.group("g", harness.group.metadata))
        for number in 0..<5 as Range<Int32> { apply(.offset(group: "g", topic: "t", partition: number, offset(Int64(number)))) }
        apply(.offset(group: "g", topic: "other", partition: 7, offset(9)))
        apply(.offset(group: "g", topic: "t", partition: 2, nil))
        for number in 0..<20 { apply(.offset(group: "lone-\(number)", topic: "t", partition: 0, offset(Int64(number)))) }
        var empty = GroupMetadataValue()
        empty.protocolType = "consumer"
        empty.generation = 4
        empty.currentStateTimestamp = 800
        apply(.group("left", empty))
        shard.advance(to: 77)
        return shard
    }

    /// In steps of so many records.
    private func image(_ shard: GroupShard, step: Int = 3) throws -> (AlignedBuffer, steps: Int) {
        var encoder = ShardSnapshotEncoder(shard, topic: topic, partition: 5, madeAt: 9000)
        var steps = 1
        while true {
            if let image = try encoder.proceed(records: step) { return (image, steps) }
            steps += 1
        }
    }

    private func read(_ image: AlignedBuffer) throws -> GroupShard {
        var reader = try #require(ShardSnapshotReader(image, count: image.count))
        #expect(reader.header == ShardSnapshot.Header(topic: topic, partition: 5, nextOffset: 77, madeAt: 9000))
        var shard = GroupShard(limits: GroupLimits())
        while !reader.isAtEnd { shard.apply(try #require(try reader.next()), keepsMembers: false, wall: reader.header.madeAt) }
        shard.advance(to: reader.header.nextOffset)
        return shard
    }

    private func expectSame(_ a: GroupShard, _ b: GroupShard) {
        #expect(a.nextOffset == b.nextOffset && a.entries.keys.sorted() == b.entries.keys.sorted())
        for (id, entry) in a.entries {
            #expect(entry.offsets.topics == b[id]?.offsets.topics && entry.group.metadata == b[id]?.group.metadata && a.describe(id).members == b.describe(id).members)
        }
    }

    @Test(arguments: [1, 3, 1000]) func whatWasWrittenIsRead(step: Int) throws {
        let shard = try shard()
        let (image, steps) = try image(shard, step: step)
        #expect(steps > 1 || step == 1000)
        expectSame(shard, try read(image))
        expectSame(shard, try read(try self.image(try read(image)).0))
    }

    @Test func nothingIsWrittenToo() throws {
        var shard = GroupShard(limits: GroupLimits())
        shard.advance(to: 77)
        expectSame(shard, try read(try image(shard).0))
    }

    /// Who coordinates knows more of members than is stored: the snapshot says what the log does.
    @Test func aSnapshotSaysWhatTheLogSays() throws {
        var shard = try shard()
        let stored = try #require(shard["g"]?.group.metadata)
        shard.make("joining", wall: 0)
        for group in ["g", "joining"] {
            var join = JoinGroupRequest()
            join.groupId = group
            join.sessionTimeoutMs = 10_000
            join.protocolType = "consumer"
            join.protocols = [.init(name: "range", metadata: [1])]
            let caller = GroupCaller(token: 1, clientId: "c", clientHost: "h", fresh: "new", knowsIdRequired: false, knowsSkippedAssignment: true)
            _ = shard.withGroup(group) { $0.join(join, caller, now: .init(monotonic: 1, wall: 1)) }
        }
        #expect(shard["g"]?.group.metadata != stored && shard["joining"]?.group.members.count == 1)
        shard.apply(.group("left", nil), keepsMembers: true, wall: 900)
        let found = try read(try image(shard).0)
        #expect(found["g"]?.group.metadata == stored && found["joining"] == nil && found["left"] == nil && found["lone-3"] != nil)
    }

    @Test func whatIsDamagedIsRefused() throws {
        let (image, _) = try image(try shard())
        let bytes = 64 + Int(UInt64(littleEndian: image.base.loadUnaligned(fromByteOffset: 48, as: UInt64.self)))
        for place in 0..<bytes {
            let byte = image.base.load(fromByteOffset: place, as: UInt8.self)
            image.base.storeBytes(of: byte ^ 0x10, toByteOffset: place, as: UInt8.self)
            #expect(ShardSnapshotReader(image, count: image.count) == nil, "byte \(place)")
            image.base.storeBytes(of: byte, toByteOffset: place, as: UInt8.self)
        }
        for count in [0, 63, 64, bytes - 1] { #expect(ShardSnapshotReader(image, count: count) == nil) }
        #expect(ShardSnapshotReader(image, count: bytes) != nil)
    }
}
