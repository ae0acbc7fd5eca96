import IO
import Simulator
import Testing
import Wire

/// What an answer means, and when it leaves: on a disk that holds syncs back, with followers that lag.
@Suite struct QualityOfServiceTests {
    private static let qualities: [(topic: String, acks: Int16, configs: [String: String])] = [
        ("received", 1, ["qos.leader": "received"]),
        ("persisted", 1, ["qos.leader": "persisted"]),
        ("replicated", -1, ["qos.all": "replicated"]),
        ("durable", -1, ["qos.all": "durable"]),
    ]

    private func make(followers: [SimulatedFollower], method: FlushMethod = .linked) throws -> (SimulatedBroker, TestClient) {
        let broker = try SimulatedBroker(
            disk: SimulatedDisk(), network: SimulatedNetwork(),
            configuration: SimulatedBroker.configuration(flushMethod: method), followers: followers)
        let client = TestClient(broker)
        for quality in Self.qualities { try client.createTopic(quality.topic, configs: quality.configs) }
        return (broker, client)
    }

    private func produce(_ broker: SimulatedBroker) throws -> [String: TestClient] {
        var clients: [String: TestClient] = [:]
        for quality in Self.qualities {
            let client = TestClient(broker)
            try client.send(TestClient.produce(quality.topic, ["x"], acks: quality.acks), version: 8)
            clients[quality.topic] = client
        }
        return clients
    }

    private func answered(_ clients: [String: TestClient]) -> [String] {
        clients.filter { !$0.value.answers().isEmpty }.map(\.key).sorted()
    }

    @Test(arguments: [FlushMethod.linked, .dsync])
    func noDurableAnswerBeforeTheSync(method: FlushMethod) throws {
        let (broker, _) = try make(followers: [], method: method)
        broker.disk.holdsSyncs = true
        let clients = try produce(broker)
        broker.settle()
        #expect(answered(clients) == ["received", "replicated"], "alone, the leader's memory is a majority's")
        broker.advance(milliseconds: 100)
        broker.settle()
        #expect(answered(clients) == [])
        broker.disk.holdsSyncs = false
        broker.settle()
        #expect(answered(clients) == ["durable", "persisted"])
    }

    @Test func eachQualityWaitsForItsOwn() throws {
        let followers = [SimulatedFollower(), SimulatedFollower()]
        let (broker, _) = try make(followers: followers)
        for follower in followers { follower.acknowledgePersisted() }
        broker.settle()
        broker.disk.holdsSyncs = true
        let clients = try produce(broker)
        broker.settle()
        #expect(answered(clients) == ["received"])
        followers[0].acknowledgeReceived()
        broker.settle()
        #expect(answered(clients) == ["replicated"])
        broker.disk.holdsSyncs = false
        broker.settle()
        #expect(answered(clients) == ["persisted"])
        followers[1].acknowledgePersisted()
        broker.settle()
        #expect(answered(clients) == ["durable"])
    }

    /// Durable on two followers is durable on a majority, whether or not the leader's own disk has caught up.
    @Test func majorityWithoutTheLeader() throws {
        let followers = [SimulatedFollower(), SimulatedFollower()]
        let (broker, _) = try make(followers: followers)
        broker.settle()
        broker.disk.holdsSyncs = true
        let clients = try produce(broker)
        broker.settle()
        for follower in followers { follower.acknowledgePersisted() }
        broker.settle()
        #expect(answered(clients) == ["durable", "received", "replicated"])
    }

    /// A broker whose topics ask for so many replicas in sync: it was not so when they were made.
    private func make(minInsync: UInt8, followers: [SimulatedFollower]) throws -> SimulatedBroker {
        let disk = SimulatedDisk()
        var configuration = SimulatedBroker.configuration()
        let before = try SimulatedBroker(disk: disk, network: SimulatedNetwork(), configuration: configuration)
        let client = TestClient(before)
        for quality in Self.qualities { try client.createTopic(quality.topic, configs: quality.configs) }
        _ = try before.stop()
        configuration.topics.settings.minInsyncReplicas = minInsync
        return try SimulatedBroker(disk: disk, network: SimulatedNetwork(), configuration: configuration, followers: followers)
    }

    @Test func moreThanAMajorityInSyncIsWaitedForOnAllDisks() throws {
        let followers = [SimulatedFollower(), SimulatedFollower()]
        let broker = try make(minInsync: 3, followers: followers)
        broker.settle()
        for follower in followers { follower.acknowledgePersisted() }
        broker.settle()
        broker.disk.holdsSyncs = true
        let clients = try produce(broker)
        broker.settle()
        for follower in followers { follower.acknowledgeReceived() }
        followers[0].acknowledgePersisted()
        broker.disk.holdsSyncs = false
        broker.settle()
        #expect(answered(clients) == ["persisted", "received"], "whatever qos.all says")
        followers[1].acknowledgePersisted()
        broker.settle()
        #expect(answered(clients) == ["durable", "replicated"])
    }

    @Test func tooFewInSyncAreRefusedBeforeAnythingIsAppended() throws {
        let broker = try make(minInsync: 3, followers: [])
        broker.settle()
        let client = TestClient(broker)
        for topic in ["replicated", "durable"] {
            let answer = try client.ask(TestClient.produce(topic, ["x"]), version: 8).topics[0].partitions[0]
            #expect(answer.errorCode == .notEnoughReplicas && answer.baseOffset == -1)
            #expect(try client.offsets(topic) == (0, 0))
            // Who asks for less gets it.
            #expect(try client.produce(topic, ["x"], acks: 1) == 0)
        }
    }

    @Test func whatAMajorityFulfilsMeansDurable() throws {
        let followers = [SimulatedFollower(), SimulatedFollower()]
        let broker = try make(minInsync: 2, followers: followers)
        broker.settle()
        let clients = try produce(broker)
        broker.settle()
        followers[0].acknowledgePersisted()
        broker.settle()
        #expect(answered(clients) == ["durable", "persisted", "received", "replicated"])
    }

    @Test func aConnectionsAnswersLeaveInOrder() throws {
        let followers = [SimulatedFollower(), SimulatedFollower()]
        let (broker, _) = try make(followers: followers)
        for follower in followers { follower.acknowledgePersisted() }
        broker.settle()
        broker.disk.holdsSyncs = true
        let client = TestClient(broker)
        var sent: [Int32] = []
        for round in 0..<5 {
            for quality in [3, 1, 0, 2].map({ Self.qualities[$0] }) {
                sent.append(try client.send(TestClient.produce(quality.topic, ["\(round)"], acks: quality.acks), version: 8))
            }
            sent.append(try client.send(MetadataRequest(), version: 4))
        }
        broker.settle()
        #expect(client.correlations() == [], "the first waits for a majority's disks, and all others for it")
        followers[0].acknowledgeReceived()
        broker.settle()
        broker.disk.holdsSyncs = false
        broker.settle()
        #expect(client.correlations() == [])
        // What was not read before the first answers had left comes only now.
        var answered: [Int32] = []
        for _ in 0..<3 {
            followers[0].acknowledgeReceived()
            followers[0].acknowledgePersisted()
            broker.settle()
            answered += client.correlations()
        }
        #expect(answered == sent)
    }

    /// acks=0 has no answer; and the next request's answer is not held up by it.
    @Test func oneWay() throws {
        let (broker, client) = try make(followers: [])
        try client.send(TestClient.produce("durable", ["quiet"], acks: 0), version: 8)
        let asked = try client.send(MetadataRequest(), version: 4)
        broker.settle()
        #expect(client.correlations() == [asked])
        #expect(try client.consume("durable").map(\.value) == ["quiet"])
    }

    @Test func timeIsUp() throws {
        let follower = SimulatedFollower()
        let (broker, client) = try make(followers: [follower, SimulatedFollower()])
        follower.acknowledgePersisted()
        broker.settle()
        try client.send(TestClient.produce("durable", ["late"], timeout: 500), version: 8)
        let patient = try client.send(TestClient.produce("durable", ["patient"], timeout: 60_000), version: 8)
        broker.settle()
        for _ in 0..<4 {
            broker.advance(milliseconds: 100)
            broker.settle()
        }
        #expect(client.answers().isEmpty)
        for _ in 0..<4 {
            broker.advance(milliseconds: 100)
            broker.settle()
        }
        let late = try #require(client.answers().first)
        let part = try client.decode(ProduceRequest.self, late.frame, version: 8).topics[0].partitions[0]
        #expect(part.errorCode == .requestTimedOut)
        #expect(part.baseOffset == -1)
        // It is unknown, not undone: it may still be committed.
        follower.acknowledgePersisted()
        broker.settle()
        #expect(client.correlations() == [patient])
        #expect(try client.consume("durable").map(\.value) == ["late", "patient"])
    }

    @Test func consumersSeeCommittedDataOnly() throws {
        let follower = SimulatedFollower()
        let (broker, client) = try make(followers: [follower, SimulatedFollower()])
        follower.acknowledgePersisted()
        broker.settle()
        #expect(try client.produce("received", ["early"], acks: 1) == 0)
        #expect(try client.consume("received").isEmpty)
        let reader = TestClient(broker)
        try reader.send(TestClient.fetch("received", offset: 0, maxWait: 10_000), version: 11)
        broker.settle()
        #expect(reader.answers().isEmpty)
        follower.acknowledgePersisted()
        broker.settle()
        let answer = try #require(reader.answers().first, "the commit wakes the fetch, no time has passed")
        let records = try TestClient.records(try reader.decode(FetchRequest.self, answer.frame, version: 11))
        #expect(records.map { String(decoding: $0.value ?? [], as: UTF8.self) } == ["early"])
    }

    @Test(arguments: [FlushMethod.linked, .dsync, .fdatasync])
    func nothingIsAcknowledgedAfterAFailedSync(method: FlushMethod) throws {
        let (broker, client) = try make(followers: [], method: method)
        try client.produce("durable", ["good"])
        if method == .dsync { broker.disk.nextWriteError = 5 } else { broker.disk.nextSyncError = 5 }
        let first = try client.ask(TestClient.produce("durable", ["lost"]), version: 8)
        #expect(first.topics[0].partitions[0].errorCode == .kafkaStorageError)
        #expect(broker.set.positions[0].failure == 5)
        let second = try client.ask(TestClient.produce("durable", ["refused"]), version: 8)
        #expect(second.topics[0].partitions[0].errorCode == .kafkaStorageError, "the next sync would succeed, and mean nothing")
        #expect(try client.consume("durable").map(\.value) == ["good"])
    }
}
