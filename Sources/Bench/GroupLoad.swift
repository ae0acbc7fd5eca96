import CHost
import Glibc
import Host
import IO

/// What a load of consumer groups has found.
public struct GroupLoadResult: Sendable {
    /// Seconds until every member had joined and had its assignment.
    public var joinedSeconds = 0.0
    /// Answered commits, of all partitions of a group each, in the window that counts; and how long each took.
    public var commits = 0
    public var latencies = LatencyLog()
    /// The broker's CPU time while it counted, in nanoseconds.
    public var brokerCPU: Double?
    /// Memory that the broker had of its own before the groups came, and after the commits, in bytes.
    public var residentBefore: Int?
    public var residentAfter: Int?
    /// Offsets that were asked for afterwards, all of which were as committed, and how many seconds that took.
    public var verifiedOffsets = 0
    public var verifiedSeconds = 0.0
}

/// Consumer groups of one member each that join, commit, are asked what they have committed, and end; on a thread of its own.
public final class GroupLoad {
    private let settings: GroupLoadSettings
    private let members: [LoadMember]
    /// Whose CPU time and memory are read.
    private let broker: BrokerProcess?

    public init(_ settings: GroupLoadSettings, broker: BrokerProcess?) {
        self.settings = settings
        self.broker = broker
        members = (0..<settings.groups).map { LoadMember(group: "\(settings.name)-\($0)", topic: settings.topics[$0 % settings.topics.count]) }
    }

    /// - Parameter tell: given what is being done.
    public func run(tell: (String) -> Void) throws -> GroupLoadResult {
        var result = GroupLoadResult()
        result.residentBefore = broker?.residentBytes
        tell("\(members.count) groups join")
        result.joinedSeconds = try run(.joining, &result)
        tell("they commit")
        _ = try run(.committing, &result)
        result.residentAfter = broker?.residentBytes
        tell("what they committed is asked for")
        result.verifiedSeconds = try run(.verifying, &result)
        result.verifiedOffsets = members.count * Int(settings.partitions)
        return result
    }

    /// The members leave, and their groups are deleted.
    public func end() throws {
        var result = GroupLoadResult()
        _ = try run(.ending, &result)
    }

    /// Returns how many seconds it took.
    private func run(_ work: GroupConnection.Work, _ result: inout GroupLoadResult) throws -> Double {
        let rings = try RingSet(.auto, count: 1).rings
        let count = min(settings.connections, members.count)
        var sockets: [Int32] = []
        defer { for socket in sockets { Glibc.close(socket) } }
        for _ in 0..<count { sockets.append(try connect(host: settings.host, port: settings.port)) }
        let window = work == .committing ? LoadWindow(warmup: settings.warmup, duration: settings.duration) : .never
        var connections = OwnedArray<GroupConnection>(minimumCapacity: count)
        for number in 0..<count {
            let share = stride(from: number, to: members.count, by: count).map { members[$0] }
            connections.append(
                try GroupConnection(settings, work, members: share, window: window, socket: sockets[number], sockets: rings[0].makePort()))
        }
        let progress = LoadProgress()
        let stage = StageBox("groups", LoadStage(connections, progress: progress))
        let begun = hutong_monotonic_ns()
        let threads = try LoadThreads("groups", [stage], rings)
        defer { threads.stop() }
        var cpu: Double?
        while !progress.isOver {
            let now = hutong_monotonic_ns()
            if cpu == nil, now >= window.from { cpu = broker?.cpu() }
            if let before = cpu, result.brokerCPU == nil, now >= window.end { result.brokerCPU = (broker?.cpu() ?? before) - before }
            guard now < window.deadline else { throw LoadError("the last answers do not come") }
            usleep(2000)
        }
        if let error = progress.error { throw error }
        threads.stop()
        stage.body.connections.forEach {
            result.commits += $0.counted
            result.latencies.add($0.latencies)
        }
        return Double(hutong_monotonic_ns() - begun) / 1e9
    }
}
