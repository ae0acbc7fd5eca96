import IO
import Simulator
import Testing
import Wire

/// Consumer groups on a whole broker, on simulated disk, network and clock.
@Suite struct GroupStageTests {
    private func make(_ disk: SimulatedDisk = SimulatedDisk()) throws -> (SimulatedBroker, TestClient) {
        let broker = try SimulatedBroker(disk: disk, network: SimulatedNetwork(), configuration: SimulatedBroker.configuration())
        broker.settle()
        let client = TestClient(broker)
        // The first one makes the topic that groups are kept in; a broker that has just started has to read it.
        var request = FindCoordinatorRequest()
        request.key = "g"
        let found = try client.ask(request, version: 2)
        #expect(found.errorCode == .none && found.nodeId == 0)
        broker.settle()
        return (broker, client)
    }

    private func commit(_ offset: Int64, member: String = "", generation: Int32 = -1, topic: String = "t") -> OffsetCommitRequest {
        var request = OffsetCommitRequest()
        request.groupId = "g"
        request.memberId = member
        request.generationId = generation
        request.topics = [.init(name: topic, partitions: [.init(partitionIndex: 0, committedOffset: offset)])]
        return request
    }

    private func committed(_ client: TestClient) throws -> Int64 {
        var request = OffsetFetchRequest()
        request.groupId = "g"
        request.topics = [.init(name: "t", partitionIndexes: [0])]
        let answer = try client.ask(request, version: 5)
        #expect(answer.errorCode == .none)
        return answer.topics[0].partitions[0].committedOffset
    }

    private func join(_ client: TestClient) throws -> Int32 {
        var request = JoinGroupRequest()
        request.groupId = "g"
        request.sessionTimeoutMs = 10_000
        request.rebalanceTimeoutMs = 60_000
        request.protocolType = "consumer"
        request.protocols = [.init(name: "range", metadata: [])]
        return try client.send(request, version: 2)
    }

    private func state(_ client: TestClient) throws -> String {
        var request = DescribeGroupsRequest()
        request.groups = ["g"]
        return try client.ask(request, version: 1).groups[0].groupState
    }

    @Test func whatWasCommittedOutlivesCrashesAndStops() throws {
        let disk = SimulatedDisk()
        var (broker, client) = try make(disk)
        try client.createTopic("t")
        #expect(try committed(client) == -1)
        for life in Int64(0)..<6 {
            for offset in 10 * life..<10 * life + 5 {
                #expect(try client.ask(commit(offset), version: 7).topics[0].partitions[0].errorCode == .none)
            }
            if life % 2 == 0 { disk.crash() } else { _ = try broker.stop() }
            (broker, client) = try make(disk)
            #expect(try committed(client) == 10 * life + 4)
        }
    }

    @Test func aCommitIsAnsweredWhenItIsDurable() throws {
        let (broker, client) = try make()
        try client.createTopic("t")
        broker.disk.holdsSyncs = true
        try client.send(commit(7), version: 7)
        broker.settle()
        #expect(client.answers().isEmpty)
        let other = TestClient(broker)
        #expect(try committed(other) == -1, "what is not durable is not told")
        broker.disk.holdsSyncs = false
        broker.settle()
        #expect(client.answers().count == 1)
        #expect(try committed(other) == 7)
    }

    /// The storage fails while commits wait: none of them counts.
    @Test func aCommitThatCannotBeStoredIsRefused() throws {
        let (broker, client) = try make()
        try client.createTopic("t")
        broker.disk.nextSyncError = 5
        #expect(try client.ask(commit(7), version: 7).topics[0].partitions[0].errorCode == .notCoordinator)
    }

    @Test func whatIsNotThereCannotBeCommitted() throws {
        let (_, client) = try make()
        #expect(try client.ask(commit(7, topic: "none"), version: 7).topics[0].partitions[0].errorCode == .unknownTopicOrPartition)
        try client.createTopic("t")
        #expect(try client.ask(commit(7, member: "m", generation: 3), version: 7).topics[0].partitions[0].errorCode == .illegalGeneration)
        #expect(try committed(client) == -1)
    }

    @Test func clientsReadTheGroupsTopicAndCannotChangeIt() throws {
        let (_, client) = try make()
        try client.createTopic("t")
        let name = "__consumer_offsets"
        #expect(try client.ask(TestClient.produce(name, ["x"]), version: 8).topics[0].partitions[0].errorCode == .invalidTopicException)
        var deletion = DeleteTopicsRequest()
        deletion.topicNames = [name]
        #expect(try client.ask(deletion, version: 3).topics[0].errorCode == .invalidTopicException)
        _ = try client.ask(commit(7), version: 7)
        var request = MetadataRequest()
        request.topics = [.init(name: name)]
        let topic = try client.ask(request, version: 8).topics[0]
        #expect(topic.isInternal && topic.partitions.count == 50)
        let partition = ConsumerOffsetsKey.partition(of: "g", count: 50)
        let records = try client.consume(name, partition: partition)
        #expect(records.count == 1)
    }

    @Test func aTopicsOffsetsGoWithIt() throws {
        let disk = SimulatedDisk()
        let (_, client) = try make(disk)
        try client.createTopic("t")
        #expect(try client.ask(commit(7), version: 7).topics[0].partitions[0].errorCode == .none)
        var deletion = DeleteTopicsRequest()
        deletion.topicNames = ["t"]
        #expect(try client.ask(deletion, version: 3).topics[0].errorCode == .none)
        try client.createTopic("t")
        #expect(try committed(client) == -1)
        disk.crash()
        #expect(try committed(make(disk).1) == -1)
    }

    /// A group waits for members, has one, and loses it when it is not heard of any more. A restart finds it as it was.
    @Test func aMemberThatFallsSilentIsMissed() throws {
        let disk = SimulatedDisk()
        let (broker, client) = try make(disk)
        let joining = try join(client)
        broker.settle()
        #expect(client.answers().isEmpty, "it waits for more members")
        broker.advance(milliseconds: 3100)
        broker.settle()
        let answer = try #require(client.answers().first { $0.correlation == joining })
        let joined = try client.decode(JoinGroupRequest.self, answer.frame, version: 2)
        #expect(joined.errorCode == .none && joined.leader == joined.memberId && joined.generationId == 1)
        var sync = SyncGroupRequest()
        sync.groupId = "g"
        sync.generationId = 1
        sync.memberId = joined.memberId
        sync.assignments = [.init(memberId: joined.memberId, assignment: [1, 2, 3])]
        #expect(try client.ask(sync, version: 1).assignment == [1, 2, 3])
        #expect(try state(client) == "Stable")
        disk.crash()
        let (again, other) = try make(disk)
        #expect(try state(other) == "Stable")
        var heartbeat = HeartbeatRequest()
        heartbeat.groupId = "g"
        heartbeat.generationId = 1
        heartbeat.memberId = joined.memberId
        again.advance(milliseconds: 9000)
        #expect(try other.ask(heartbeat, version: 1).errorCode == .none)
        again.advance(milliseconds: 9000)
        again.settle()
        #expect(try state(other) == "Stable")
        again.advance(milliseconds: 2000)
        again.settle()
        #expect(try state(other) == "Empty")
        #expect(try other.ask(heartbeat, version: 1).errorCode == .unknownMemberId)
    }

    /// Going down: who waits for other members is not waited for.
    @Test func whoWaitsIsAnsweredAtTheEnd() throws {
        let (broker, client) = try make()
        let joining = try join(client)
        broker.settle()
        #expect(try broker.stop())
        let answer = try #require(client.answers().first { $0.correlation == joining })
        #expect(try client.decode(JoinGroupRequest.self, answer.frame, version: 2).errorCode == .notCoordinator)
    }

    /// A batch of the log takes 2 KiB here, and a hundred offsets take more.
    @Test func whatIsTooMuchForABatchIsTakenBackInSeveral() throws {
        let disk = SimulatedDisk()
        func start() throws -> (SimulatedBroker, TestClient) {
            var configuration = SimulatedBroker.configuration()
            configuration.topics.settings.maxMessageBytes = 2048
            let broker = try SimulatedBroker(disk: disk, network: SimulatedNetwork(), configuration: configuration)
            broker.settle()
            return (broker, TestClient(broker))
        }
        var (broker, client) = try start()
        var find = FindCoordinatorRequest()
        find.key = "g"
        _ = try client.ask(find, version: 2)
        broker.settle()
        try client.createTopic("t", partitions: 100)
        var request = commit(5)
        request.topics = [.init(name: "t", partitions: (0..<100).map { .init(partitionIndex: $0, committedOffset: 5) })]
        #expect(try client.ask(request, version: 7).topics[0].partitions.allSatisfy { $0.errorCode == .none })
        #expect(try committed(client) == 5)
        var delete = DeleteGroupsRequest()
        delete.groupsNames = ["g"]
        #expect(try client.ask(delete, version: 1).results[0].errorCode == .none)
        #expect(try committed(client) == -1)
        _ = try broker.stop()
        (broker, client) = try start()
        #expect(try committed(client) == -1 && state(client) == "Dead")
    }
}
