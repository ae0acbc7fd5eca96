import Glibc
import Wire

/// Reads one topic as a member of a consumer group: the classic protocol, eager, with the range assignor, which every client has.
///
/// One thread does it all, in ``poll(_:)``: who takes longer than ``sessionTimeoutMs`` over what that gave is taken for gone, and its partitions go to others.
public final class GroupConsumer {
    /// As the Java client's defaults, in milliseconds.
    public static let sessionTimeoutMs: Int32 = 45_000
    private static let rebalanceTimeoutMs: Int32 = 60_000
    private static let heartbeatInterval = Duration.seconds(3)
    private static let commitInterval = Duration.seconds(5)
    private static let countInterval = Duration.seconds(10)

    private let client: KafkaClient
    private let group: String
    private let topic: String
    private let start: LogPlace
    private var memberId = ""
    private var generation: Int32 = -1
    /// What this member was given; nil: it has to join first.
    private var consumer: Consumer?
    private var committed: [Int32: Int64] = [:]
    private var nextHeartbeat = ContinuousClock.now
    private var nextCommit = ContinuousClock.now
    /// Of the group's leader: how many partitions it has given out of each topic.
    private var assigned: [String: Int32]?
    private var nextCount = ContinuousClock.now
    /// Is told, in sentences, where it goes on elsewhere than the group had come to.
    public var notice: (String) -> Void = { _ in }

    /// - Parameter start: where it begins in partitions of which the group has committed nothing.
    public init(_ client: KafkaClient, group: String, topic: String, start: LogPlace) throws {
        self.client = client
        self.group = group
        self.topic = topic
        self.start = start
        _ = try client.partitionCount(of: topic)
    }

    /// Whether everything that this member was given was read to its high watermark.
    public var isAtEnd: Bool { consumer?.isAtEnd ?? false }

    /// As ``Consumer/poll(_:)``, of the partitions that are this member's now. What it gave counts as done when it is called again: some seconds later it is
    /// committed.
    public func poll(_ body: (Int32, Record) throws -> Bool) throws {
        do {
            if consumer == nil { try join() }
            if ContinuousClock.now >= nextHeartbeat { try heartbeat() }
            if ContinuousClock.now >= nextCommit { try commit() }
            if ContinuousClock.now >= nextCount { try lookForPartitions() }
        } catch let error as ClientError {
            return try beginAnew(after: error)
        }
        guard let consumer else { return }
        // More members than partitions: this one stands by.
        if consumer.positions.isEmpty { usleep(200_000) }
        try consumer.poll(body)
    }

    /// Commits what was given and leaves the group, so that others need not wait until this member's time is up.
    /// - Parameter commits: false: what the last poll gave was not done.
    public func leave(commits: Bool = true) throws {
        guard consumer != nil else { return }
        defer { consumer = nil }
        if commits {
            // Another generation has begun: what was given is somebody else's now, who will be given it again.
            do { try commit() } catch let error as ClientError { guard Self.endsGeneration(error) else { throw error } }
        }
        var request = LeaveGroupRequest()
        request.groupId = group
        // The version decides which of the two is sent.
        request.memberId = memberId
        request.members = [.init(memberId: memberId)]
        try client.callCoordinator(of: group, request) { response throws(ClientError) in
            let code = response.errorCode == .none ? response.members.first?.errorCode ?? .none : response.errorCode
            if code != .unknownMemberId { try KafkaClient.check(code, "leaving group \(self.group)") }
        }
    }

    // MARK: Membership

    private static func endsGeneration(_ error: ClientError) -> Bool {
        guard case .refused(_, let code, _) = error else { return false }
        return [.rebalanceInProgress, .illegalGeneration, .unknownMemberId].contains(code)
    }

    /// The generation is over. What was read in it is committed if that is still possible.
    private func beginAnew(after error: ClientError) throws {
        guard Self.endsGeneration(error), case .refused(_, let code, _) = error else { throw error }
        if code == .rebalanceInProgress, consumer != nil {
            do { try commit() } catch let error as ClientError { guard Self.endsGeneration(error) else { throw error } }
        }
        if code == .unknownMemberId { memberId = "" }
        consumer = nil
    }

    private func join() throws {
        var subscription = ConsumerProtocolSubscription()
        subscription.topics = [topic]
        var request = JoinGroupRequest()
        request.groupId = group
        request.sessionTimeoutMs = Self.sessionTimeoutMs
        request.rebalanceTimeoutMs = Self.rebalanceTimeoutMs
        request.protocolType = "consumer"
        request.protocols = [.init(name: RangeAssignor.name, metadata: try subscription.encode(version: 1))]
        var joined: JoinGroupResponse
        repeat {
            request.memberId = memberId
            joined = try client.callCoordinator(of: group, request, patienceMs: Int(Self.rebalanceTimeoutMs)) { response throws(ClientError) in
                // The first answer only names the member (KIP-394).
                if response.errorCode != .memberIdRequired { try KafkaClient.check(response.errorCode, "joining group \(self.group)") }
                return response
            }
            memberId = joined.memberId
        } while joined.errorCode == .memberIdRequired
        generation = joined.generationId
        try begin(with: try synchronize(joined))
    }

    /// The partitions that are this member's in the new generation. The leader says whose each is.
    private func synchronize(_ joined: JoinGroupResponse) throws -> [Int32] {
        var request = SyncGroupRequest()
        request.groupId = group
        request.generationId = generation
        request.memberId = memberId
        request.protocolType = "consumer"
        request.protocolName = RangeAssignor.name
        assigned = nil
        if joined.leader == memberId {
            let subscriptions = Dictionary(
                joined.members.map { ($0.memberId, (try? ConsumerProtocolSubscription.decode($0.metadata))?.topics ?? []) }, uniquingKeysWith: { first, _ in first })
            let counts = try counts(of: Set(subscriptions.values.joined()))
            assigned = counts
            nextCount = .now + Self.countInterval
            request.assignments = try RangeAssignor.assign(subscriptions, counts: counts).sorted { $0.key < $1.key }.map { member, topics in
                var assignment = ConsumerProtocolAssignment()
                assignment.assignedPartitions = topics
                return .init(memberId: member, assignment: try assignment.encode(version: 1))
            }
        }
        let bytes = try client.callCoordinator(of: group, request, patienceMs: Int(Self.rebalanceTimeoutMs)) { response throws(ClientError) in
            try KafkaClient.check(response.errorCode, "group \(self.group)")
            return response.assignment
        }
        guard !bytes.isEmpty else { return [] }
        return try ConsumerProtocolAssignment.decode(bytes).assignedPartitions.filter { $0.topic == topic }.flatMap(\.partitions)
    }

    /// The group's leader joins again where topics have other partitions than it has given out, so that the group begins another generation.
    private func lookForPartitions() throws {
        nextCount = .now + Self.countInterval
        guard let assigned, try counts(of: Set(assigned.keys)) != assigned else { return }
        try commit()
        consumer = nil
    }

    /// How many partitions each topic has; members may have named some that there are not.
    private func counts(of topics: Set<String>) throws -> [String: Int32] {
        let found = try client.metadata(topics: topics.sorted()).topics
        return Dictionary(found.compactMap { topic in topic.name.map { ($0, Int32(clamping: topic.partitions.count)) } }, uniquingKeysWith: { first, _ in first })
    }

    /// Goes on where the group has come to.
    private func begin(with partitions: [Int32]) throws {
        let before = try client.committedOffsets(of: group)
        var positions: [Int32: Int64] = [:]
        for partition in partitions {
            let target = KafkaClient.TopicPartition(topic, partition)
            if let offset = before[target], offset >= 0 {
                // What was to come next may have been deleted meanwhile.
                let first = try client.offset(of: target, at: .start)
                if offset < first { notice("\(target) has no offset \(offset) any more, which the group was to read next: it goes on at \(first).") }
                positions[partition] = max(offset, first)
                committed[partition] = offset
            } else {
                positions[partition] = try client.offset(of: target, at: start)
                committed[partition] = nil
            }
        }
        let reader = Consumer(client, topic: topic, positions: positions)
        reader.whereOutOfRange = { [unowned self] in try place(of: $0, insteadOf: $1) }
        consumer = reader
        nextHeartbeat = .now + Self.heartbeatInterval
        nextCommit = .now + Self.commitInterval
    }

    /// Where it goes on in a partition that does not have what the group was to read next: where the log begins now, if that was deleted; else, because the
    /// log ends before it, as one begins of which the group has committed nothing.
    private func place(of target: KafkaClient.TopicPartition, insteadOf offset: Int64) throws -> Int64 {
        let (first, end) = (try client.offset(of: target, at: .start), try client.offset(of: target, at: .end))
        if (first...max(first, end)).contains(offset) { return offset }
        let place = offset < first ? first : min(max(try client.offset(of: target, at: start), first), end)
        notice("\(target) has no offset \(offset), which the group was to read next, only those from \(first) to \(end): it goes on at \(place).")
        return place
    }

    private func heartbeat() throws {
        var request = HeartbeatRequest()
        request.groupId = group
        request.generationId = generation
        request.memberId = memberId
        try client.callCoordinator(of: group, request) { response throws(ClientError) in
            try KafkaClient.check(response.errorCode, "group \(self.group)")
        }
        nextHeartbeat = .now + Self.heartbeatInterval
    }

    private func commit() throws {
        let news = (consumer?.positions ?? [:]).filter { committed[$0.key] != $0.value }
        nextCommit = .now + Self.commitInterval
        guard !news.isEmpty else { return }
        let offsets = news.map { (KafkaClient.TopicPartition(topic, $0.key), $0.value) }
        try client.commit(Dictionary(uniqueKeysWithValues: offsets), for: group, memberId: memberId, generation: generation)
        committed.merge(news) { $1 }
    }
}

/// Gives each member a range of each topic's partitions, the first ones one more where they don't come out even: as Kafka's RangeAssignor does.
enum RangeAssignor {
    static let name = "range"

    /// - Parameter subscriptions: the topics that each member wants.
    static func assign(_ subscriptions: [String: [String]], counts: [String: Int32]) -> [String: [ConsumerProtocolTopic]] {
        var assigned: [String: [ConsumerProtocolTopic]] = subscriptions.mapValues { _ in [] }
        for topic in Set(subscriptions.values.joined()).sorted() {
            let members = subscriptions.filter { $0.value.contains(topic) }.keys.sorted()
            let (each, more) = (counts[topic] ?? 0).quotientAndRemainder(dividingBy: Int32(clamping: members.count))
            var first: Int32 = 0
            for (place, member) in members.enumerated() {
                let count = each + (place < more ? 1 : 0)
                if count > 0 { assigned[member]?.append(ConsumerProtocolTopic(topic: topic, partitions: Array(first..<first + count))) }
                first += count
            }
        }
        return assigned
    }
}
