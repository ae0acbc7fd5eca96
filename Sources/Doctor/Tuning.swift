import Host

/// A change to the host that the broker would gain from, and how it is undone.
public struct TuningStep: Codable, Sendable, Equatable {
    public var what: String
    public var why: String
    /// The file that is written to, what it says now, and what it is to say.
    public var file: String
    public var before: String
    public var after: String

    /// As a shell's commands.
    public var change: String { "echo \(after) > \(file)" }
    public var undo: String { "echo \(before) > \(file)" }
}

/// What would be changed on a host: settings of the running kernel, none of which outlive a restart of the host.
public struct TuningPlan: Sendable {
    public let steps: [TuningStep]
    /// What can't be changed from here, with how it is.
    public let advice: [String]

    /// - Parameter read: what a file says, without the end of its line; nil: there is none. Of a choice in brackets, the one that is chosen.
    public init(_ facts: HostFacts, read: (String) -> String?) {
        var steps: [TuningStep] = []
        func step(_ what: String, _ why: String, _ file: String, _ after: String, unless isGood: (String) -> Bool) {
            guard let before = read(file), !isGood(before) else { return }
            steps.append(TuningStep(what: what, why: why, file: file, before: before, after: after))
        }
        func number(_ text: String) -> Int { Int(text) ?? 0 }
        let processors = facts.topology.nodes.flatMap { $0.cores.flatMap { $0 } }.sorted()
        for processor in processors {
            step(
                "governor of processor \(processor)", "a thread that wakes up finds its core at full speed", "/sys/devices/system/cpu/cpu\(processor)/cpufreq/scaling_governor",
                "performance", unless: { $0 == "performance" })
        }
        step(
            "transparent huge pages", "the journal cache asks for them: fewer faults, fewer misses", "/sys/kernel/mm/transparent_hugepage/enabled", "madvise",
            unless: { $0 == "madvise" || $0 == "always" })
        if facts.swapBytes > 0 {
            step("swappiness", "caches are not paged out for the sake of files", "/proc/sys/vm/swappiness", "1", unless: { number($0) <= 1 })
        }
        step("listen backlog", "many clients that connect at once are not refused", "/proc/sys/net/core/somaxconn", "4096", unless: { number($0) >= 4096 })
        step("half-open connections", "the same, before the handshake is over", "/proc/sys/net/ipv4/tcp_max_syn_backlog", "4096", unless: { number($0) >= 4096 })
        step(
            "io_uring", "the kernel lets processes use it", "/proc/sys/kernel/io_uring_disabled", "0", unless: { number($0) == 0 })
        if let drive = facts.data.drive {
            step(
                "scheduler of \(drive.name)", "one writer needs no reordering", "/sys/block/\(drive.name)/queue/scheduler", "none",
                unless: { drive.isRotational || $0 == "none" || $0.isEmpty })
        }
        self.steps = steps
        advice = Examination(facts, Examination.Wishes(cacheBytes: 0, locksMemory: false, connections: 0, reserveBytes: 0)).findings
            .filter { $0.severity >= .warning && ["file system", "O_DIRECT", "durability", "cores", "clock source"].contains($0.condition) }
            .compactMap { finding in finding.remedy.map { "\(finding.condition): \(finding.found). \($0)" } }
    }
}
