// Unsafe on purpose: answers are decoded where they were received.

import IO
import Wire

/// What a load of consumer groups does.
public struct GroupLoadSettings: Sendable {
    public var host = "127.0.0.1"
    public var port: UInt16 = 9092
    /// Each has one request under way, as consumers do.
    public var connections = 100
    /// The groups' ids begin with it.
    public var name = "bench"
    /// How many groups; each has one member.
    public var groups = 1000
    /// Each group reads one of them, all its partitions.
    public var topics: [String] = []
    public var partitions: Int32 = 10
    /// Of commits: seconds before counting begins, and seconds that are counted.
    public var warmup = 1.0
    public var duration = 10.0

    public init() {}
}

/// A group's only member, and what it has been told is committed.
final class LoadMember {
    let group: String
    let topic: String
    var id = ""
    var generation: Int32 = -1
    /// The same for each of its partitions; 0: nothing yet.
    var committed: Int64 = 0

    init(group: String, topic: String) {
        self.group = group
        self.topic = topic
    }
}

/// One connection that does one kind of work for its members in turn, a request at a time, and checks each answer: correlation, error,
/// partitions, and of what is read back each offset.
struct GroupConnection: LoadConnection, ~Copyable {
    /// What is done for each member.
    enum Work {
        case joining
        /// Again and again, until time is up.
        case committing
        /// What was committed is asked for.
        case verifying
        /// The member leaves, and the group is deleted.
        case ending
    }

    private enum Asked {
        case nothing, join, sync, commit, offsets, leave, delete
    }

    /// The last versions before the flexible ones.
    private enum Version {
        static let joinGroup: Int16 = 5
        static let syncGroup: Int16 = 3
        static let offsetCommit: Int16 = 7
        static let offsetFetch: Int16 = 5
        static let leaveGroup: Int16 = 1
        static let deleteGroups: Int16 = 1
    }

    private static let sessionTimeoutMs: Int32 = 300_000
    private static let receiveBytes = 1 << 20
    /// A coordinator that is loading is asked again after so many nanoseconds.
    private static let patience: UInt64 = 20_000_000

    private let settings: GroupLoadSettings
    private let work: Work
    private let members: [LoadMember]
    private let window: LoadWindow
    private var stream: FrameStream
    private let request = RequestBuffer(capacity: 64 << 10)
    private var correlation: Int32 = 0
    private var asked = Asked.nothing
    private var next = 0
    private var asksAt: UInt64 = 0
    private var sentAt: UInt64 = 0
    private(set) var answered = 0
    /// In the window that counts.
    private(set) var counted = 0
    private(set) var latencies = LatencyLog()
    private(set) var isDone = false

    init(_ settings: GroupLoadSettings, _ work: Work, members: [LoadMember], window: LoadWindow, socket: Int32, sockets: RingPort) throws {
        self.settings = settings
        self.work = work
        self.members = members
        self.window = window
        stream = try FrameStream(socket, sockets, receiveBytes: GroupConnection.receiveBytes)
    }

    var deadline: UInt64 { asked == .nothing && !isDone ? asksAt : .max }

    mutating func step(_ now: UInt64) throws -> Int {
        let progress = try stream.takeCompletions()
        while let answer = try stream.nextFrame() { try take(answer, now) }
        if asked == .nothing, !isDone, stream.hasSent, now >= asksAt { try askNext(now) }
        stream.proceed()
        return progress
    }

    // MARK: Asking

    private mutating func askNext(_ now: UInt64) throws {
        if work == .committing {
            if now >= window.end || members.isEmpty { return isDone = true }
            if next == members.count { next = 0 }
        } else if next == members.count {
            return isDone = true
        }
        let member = members[next]
        switch work {
        case .joining: try join(member, now)
        case .committing: try commit(member, now)
        case .verifying:
            var fetch = OffsetFetchRequest()
            fetch.groupId = member.group
            fetch.topics = [.init(name: member.topic, partitionIndexes: Array(0..<settings.partitions))]
            try ask(fetch, Version.offsetFetch, .offsets, now)
        case .ending:
            var leave = LeaveGroupRequest()
            leave.groupId = member.group
            leave.memberId = member.id
            try ask(leave, Version.leaveGroup, .leave, now)
        }
    }

    private mutating func join(_ member: LoadMember, _ now: UInt64) throws {
        var subscription = ConsumerProtocolSubscription()
        subscription.topics = [member.topic]
        var join = JoinGroupRequest()
        join.groupId = member.group
        join.memberId = member.id
        join.sessionTimeoutMs = GroupConnection.sessionTimeoutMs
        join.rebalanceTimeoutMs = GroupConnection.sessionTimeoutMs
        join.protocolType = "consumer"
        join.protocols = [.init(name: "range", metadata: try subscription.encode(version: 1))]
        try ask(join, Version.joinGroup, .join, now)
    }

    private mutating func sync(_ member: LoadMember, _ now: UInt64) throws {
        var assignment = ConsumerProtocolAssignment()
        assignment.assignedPartitions = [.init(topic: member.topic, partitions: Array(0..<settings.partitions))]
        var sync = SyncGroupRequest()
        sync.groupId = member.group
        sync.memberId = member.id
        sync.generationId = member.generation
        sync.assignments = [.init(memberId: member.id, assignment: try assignment.encode(version: 1))]
        try ask(sync, Version.syncGroup, .sync, now)
    }

    private mutating func commit(_ member: LoadMember, _ now: UInt64) throws {
        var commit = OffsetCommitRequest()
        commit.groupId = member.group
        commit.memberId = member.id
        commit.generationId = member.generation
        commit.topics = [
            .init(name: member.topic, partitions: (0..<settings.partitions).map { .init(partitionIndex: $0, committedOffset: member.committed + 1) })
        ]
        try ask(commit, Version.offsetCommit, .commit, now)
    }

    private mutating func ask(_ message: some Request, _ version: Int16, _ kind: Asked, _ now: UInt64) throws {
        correlation &+= 1
        try request.send(message, version: version, correlation: correlation, on: &stream)
        asked = kind
        sentAt = now
    }

    // MARK: Answers

    private mutating func take(_ answer: UnsafeRawBufferPointer, _ now: UInt64) throws {
        guard answer.count >= 4, Int32(bigEndian: answer.loadUnaligned(as: Int32.self)) == correlation else {
            throw LoadError("an answer to something else than was asked")
        }
        let body = UnsafeRawBufferPointer(rebasing: answer[4...])
        let member = members[next]
        let kind = asked
        asked = .nothing
        switch kind {
        case .nothing: throw LoadError("an answer came that nobody asked for")
        case .join:
            let joined = try JoinGroupResponse.decode(body, version: Version.joinGroup)
            switch joined.errorCode {
            case .memberIdRequired:
                member.id = joined.memberId
                return try join(member, now)
            case .coordinatorLoadInProgress, .notCoordinator: return asksAt = now + GroupConnection.patience
            default: break
            }
            try check(joined.errorCode, "joining", member)
            guard joined.leader == joined.memberId, !joined.memberId.isEmpty else { throw LoadError("group \(member.group) has another member") }
            member.id = joined.memberId
            member.generation = joined.generationId
            return try sync(member, now)
        case .sync: try check(try SyncGroupResponse.decode(body, version: Version.syncGroup).errorCode, "the assignment", member)
        case .commit:
            let topics = try OffsetCommitResponse.decode(body, version: Version.offsetCommit).topics
            guard topics.count == 1, topics[0].name == member.topic, topics[0].partitions.map(\.partitionIndex) == Array(0..<settings.partitions) else {
                throw LoadError("a commit's answer without its partitions")
            }
            for partition in topics[0].partitions { try check(partition.errorCode, "committing", member) }
            member.committed += 1
            if window.counts(now) {
                counted += 1
                latencies.record(now - sentAt)
            }
        case .offsets:
            let found = try OffsetFetchResponse.decode(body, version: Version.offsetFetch)
            try check(found.errorCode, "asking for offsets", member)
            let partitions = found.topics.first?.partitions ?? []
            guard partitions.map(\.partitionIndex) == Array(0..<settings.partitions) else { throw LoadError("offsets without their partitions") }
            let expected = member.committed == 0 ? -1 : member.committed
            for partition in partitions where partition.committedOffset != expected {
                throw LoadError("group \(member.group) has offset \(partition.committedOffset), but \(expected) was committed")
            }
        case .leave:
            try check(try LeaveGroupResponse.decode(body, version: Version.leaveGroup).errorCode, "leaving", member)
            var delete = DeleteGroupsRequest()
            delete.groupsNames = [member.group]
            return try ask(delete, Version.deleteGroups, .delete, now)
        case .delete:
            let deleted = try DeleteGroupsResponse.decode(body, version: Version.deleteGroups).results.first
            try check(deleted?.errorCode ?? .unknownServerError, "deleting", member)
        }
        answered += 1
        next += 1
    }

    private func check(_ error: ErrorCode, _ what: String, _ member: LoadMember) throws {
        guard error == .none else { throw LoadError("\(what), group \(member.group): \(error)") }
    }
}
