import Host

/// What a host is found to be, held against what a broker wants.
public struct Finding: Codable, Sendable, Equatable {
    public enum Severity: String, Codable, Sendable, Comparable, CaseIterable {
        case ok
        /// Good to know.
        case note
        /// It costs speed, or is a risk in some cases.
        case warning
        /// A broker does not run here, or does not keep what it promises.
        case error

        public static func < (a: Severity, b: Severity) -> Bool { allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)! }
    }

    /// What was looked at, in a word or two.
    public var condition: String
    public var found: String
    public var wanted: String
    public var severity: Severity
    /// What to do; nil where nothing is to be done.
    public var remedy: String?
}

/// The doctor's judgement: a function of what is known of the host and of what the broker is to be given.
public struct Examination: Sendable {
    public let findings: [Finding]

    /// The worst of all.
    public var severity: Finding.Severity { findings.map(\.severity).max() ?? .ok }

    /// What the broker will ask of the host.
    public struct Wishes: Sendable {
        /// The journals' caches together.
        public var cacheBytes: UInt64
        public var locksMemory: Bool
        public var connections: Int
        public var reserveBytes: UInt64

        public init(cacheBytes: UInt64, locksMemory: Bool, connections: Int, reserveBytes: UInt64) {
            self.cacheBytes = cacheBytes
            self.locksMemory = locksMemory
            self.connections = connections
            self.reserveBytes = reserveBytes
        }
    }

    public init(_ facts: HostFacts, _ wishes: Wishes) {
        var findings: [Finding] = []
        func found(_ condition: String, _ what: String, wanted: String, _ severity: Finding.Severity, _ remedy: String? = nil) {
            findings.append(Finding(condition: condition, found: what, wanted: wanted, severity: severity, remedy: severity == .ok ? nil : remedy))
        }
        Examination.kernel(facts, found)
        Examination.limits(facts, wishes, found)
        Examination.processors(facts, found)
        Examination.memory(facts, wishes, found)
        Examination.data(facts.data, wishes, found)
        Examination.drive(facts.data, found)
        Examination.clock(facts, found)
        self.findings = findings
    }

    private typealias Report = (_ condition: String, _ found: String, _ wanted: String, _ severity: Finding.Severity, _ remedy: String?) -> Void

    private static func kernel(_ facts: HostFacts, _ found: Report) {
        let isNew = facts.kernelVersion >= (6, 1)
        found(
            "kernel", facts.kernel, "6.1 or later", isNew ? .ok : facts.kernelVersion >= (5, 19) ? .note : .warning,
            "A later kernel makes io_uring cheaper; before 5.19 the broker runs on epoll.")
        if facts.ioUring.isAllowed {
            found("io_uring", "allowed", "allowed", .ok, nil)
            let missing = ["nodrop", "fast_poll"].filter { !facts.ioUring.features.contains($0) } + (facts.ioUring.hasDeferredWork ? [] : ["deferred task work"])
            found(
                "io_uring features", missing.isEmpty ? "all that are used" : "without \(missing.joined(separator: ", "))", "nodrop, fast_poll, deferred task work",
                missing.isEmpty ? .ok : .note, "They come with Linux 6.1.")
        } else {
            found(
                "io_uring", "refused", "allowed", .warning,
                "\(facts.ioUring.refusal ?? "") Without it the broker runs on epoll: slower, with the same promises.")
        }
        found(
            "seccomp", facts.isFiltered ? "system calls are filtered" : "no filter", facts.ioUring.isAllowed ? "io_uring's three calls pass" : "a profile that lets io_uring pass",
            facts.isFiltered && !facts.ioUring.isAllowed ? .warning : .ok, "Run the container with --security-opt seccomp=docker/seccomp.json.")
    }

    private static func limits(_ facts: HostFacts, _ wishes: Wishes, _ found: Report) {
        let memlock = facts.memlockBytes
        let needed: UInt64 = wishes.locksMemory ? wishes.cacheBytes : 64 << 10
        found(
            "memlock", memlock.map(bytes) ?? "unlimited", wishes.locksMemory ? "\(bytes(needed)) (memory.lock is true)" : "any, as long as memory.lock is false",
            memlock.map { $0 >= needed } ?? true ? .ok : wishes.locksMemory ? .error : .note,
            "ulimit -l unlimited; LimitMEMLOCK=infinity in a systemd unit; --ulimit memlock=-1 with Docker.")
        let wanted = UInt64(wishes.connections + 1024)
        found(
            "open files", facts.openFiles == .max ? "unlimited" : "\(facts.openFiles)", "\(wanted) for \(wishes.connections) connections",
            facts.openFiles >= wanted ? .ok : facts.openFiles >= 1024 ? .warning : .error,
            "Raise the hard limit: ulimit -Hn, LimitNOFILE= in a systemd unit, --ulimit nofile= with Docker; or lower max.connections.")
        if let backlog = facts.listenBacklog {
            found(
                "listen backlog", "\(backlog)", "1024 or more", backlog >= 1024 ? .ok : .note,
                "sysctl -w net.core.somaxconn=4096: many clients that connect at once are refused otherwise.")
        }
    }

    private static func processors(_ facts: HostFacts, _ found: Report) {
        let cores = facts.topology.coreCount
        found(
            "cores", "\(cores)", "2 or more", cores >= 2 ? .ok : .warning,
            "With one core all stages share a thread, and flushing waits for the rest: give the broker two.")
        let nodes = facts.topology.nodes.count
        let plan = PlacementPlan.make(topology: facts.topology)
        found(
            "NUMA", nodes == 1 ? "one node" : "\(nodes) nodes" + (facts.topology.nicNode.map { ", network on node \($0)" } ?? ""),
            "each partition group on one node", .ok, nil)
        found(
            "placement", "layout \(plan.layout.rawValue), \(plan.threads.count) threads, \(plan.partitionGroups) partition group\(plan.partitionGroups == 1 ? "" : "s")",
            "a core a thread", plan.threads.count <= max(cores, 2) ? .ok : .note, "hutong placement prints it.")
        if let governor = facts.governor {
            found(
                "governor", governor, "performance", governor == "performance" ? .ok : .warning,
                "cpupower frequency-set -g performance: else a thread that wakes up finds its core slow.")
        } else {
            found("governor", "none to be set", "performance", .ok, nil)
        }
    }

    private static func memory(_ facts: HostFacts, _ wishes: Wishes, _ found: Report) {
        let available = min(facts.memoryBytes, facts.memoryLimitBytes ?? .max)
        let needed = wishes.cacheBytes + (512 << 20)
        found(
            "memory", bytes(available) + (facts.memoryLimitBytes.map { $0 < facts.memoryBytes ? " (limit of the control group)" : "" } ?? ""),
            "\(bytes(needed)) or more (caches \(bytes(wishes.cacheBytes)))", available >= needed ? .ok : .error,
            "Give it more, or lower journal.cache.segments or journal.segment.bytes.")
        let isSwapping = facts.swapBytes > 0 && facts.swappiness ?? 60 > 1
        found(
            "swap", facts.swapBytes == 0 ? "none" : "\(bytes(facts.swapBytes)), swappiness \(facts.swappiness.map(String.init) ?? "unknown")", "none, or swappiness 1, or memory.lock",
            isSwapping && !wishes.locksMemory ? .warning : .ok, "swapoff -a, or sysctl -w vm.swappiness=1, or --set memory.lock=true.")
        if let huge = facts.hugePages {
            found(
                "huge pages", huge, "madvise or always", huge == "never" ? .note : .ok,
                "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled: the journal cache asks for them.")
        }
    }

    private static func data(_ data: HostFacts.DataDirectory, _ wishes: Wishes, _ found: Report) {
        if let problem = data.problem {
            found("data directory", problem, "\(data.path) can be written to", .error, "Give this user the right to, or name another with --data-dir.")
        } else {
            found("data directory", data.path, "can be written to", .ok, nil)
        }
        let (severity, remedy) = judged(fileSystem: data.fileSystem)
        found("file system", "\(data.fileSystem) (\(data.mountOptions))", "ext4 or xfs", severity, remedy)
        found(
            "free space", bytes(data.freeBytes), "\(bytes(wishes.reserveBytes + (1 << 30))) or more", data.freeBytes >= wishes.reserveBytes + (1 << 30) ? .ok : .error,
            "Free some: below disk.reserve.bytes (\(bytes(wishes.reserveBytes))) producers are refused.")
        guard data.problem == nil else { return }
        if let alignment = data.directAlignment {
            found("O_DIRECT", "works, aligned to \(alignment)", "works, aligned to 4096 or less", alignment <= 4096 ? .ok : .error, "Choose another file system.")
        } else {
            found("O_DIRECT", "does not work", "works, aligned to 4096 or less", .error, "Put the data on ext4 or xfs on a drive: without it journals can't be written past the page cache.")
        }
    }

    private static func judged(fileSystem: String) -> (Finding.Severity, String?) {
        switch fileSystem {
        case "ext4", "xfs": (.ok, nil)
        case "tmpfs", "ramfs": (.error, "It is memory: nothing survives a restart of the host. Put the data on a drive.")
        case "overlay", "aufs", "fuse-overlayfs": (.error, "It is a container's own layer, which goes with the container: mount a volume there.")
        case "nfs", "nfs4", "cifs", "smb3", "fuse", "9p", "virtiofs":
            (.warning, "What is durable there is what its server makes of it: put the data on a drive of this host.")
        case "btrfs", "zfs", "bcachefs": (.warning, "It copies on write, so that no block is written in place, and each durable write costs more: use ext4 or xfs, or chattr +C on btrfs.")
        default: (.note, "It was not tried: ext4 and xfs were.")
        }
    }

    private static func drive(_ data: HostFacts.DataDirectory, _ found: Report) {
        if let drive = data.drive {
            // Virtual drives call themselves rotating too: what was measured tells.
            let isSlow = drive.isRotational && data.durability?.medianMicroseconds ?? .infinity > 2000
            found(
                "drive", "\(drive.name), \(drive.isRotational ? "rotating or virtual" : "solid state"), scheduler \(drive.scheduler ?? "unknown")", "solid state", isSlow ? .note : .ok,
                "Where it is a rotating disk each durable write waits for it to turn: expect a hundred a second.")
            found(
                "drive write cache", drive.writeCache ?? "unknown", "write through, or flushed when told", drive.writeCache == nil ? .note : .ok,
                "The kernel does not say whether the drive keeps writes in a cache of its own.")
        }
        guard let durability = data.durability else { return }
        let text = "\(durability.writes) writes of 4 KiB, median \(microseconds(durability.medianMicroseconds)), p99 \(microseconds(durability.p99Microseconds))"
        // No drive makes a write durable faster than some microseconds: what is faster was not made so.
        if durability.medianMicroseconds < 8 {
            found(
                "durability", text, "a drive that writes when told", .error,
                "Faster than any drive: a layer below (a hypervisor, a RAID controller, eatmydata) does not pass flushes on. What is acknowledged would be lost with the power.")
        } else {
            let severity: Finding.Severity = durability.p99Microseconds > 100_000 ? .warning : durability.medianMicroseconds > 5000 ? .note : .ok
            found("durability", text, "p99 below 100 ms", severity, "Every acknowledgement waits for such a write: use a faster drive, or one of its own for the journal.")
        }
    }

    private static func clock(_ facts: HostFacts, _ found: Report) {
        if let source = facts.clockSource {
            let isFast = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"].contains(source)
            found("clock source", source, "tsc, kvm-clock or arch_sys_counter", isFast ? .ok : .warning, "Reading \(source) is a system call: see the kernel's log for why tsc is not used.")
        }
        if let isSynchronized = facts.isClockSynchronized {
            found(
                "clock", isSynchronized ? "synchronized" : "not synchronized", "synchronized", isSynchronized ? .ok : .note,
                "Run chrony or systemd-timesyncd: retention by age, and timestamps, go by it. (Nothing else does.)")
        }
    }

    static func bytes(_ count: UInt64) -> String {
        for (unit, size) in [("GiB", UInt64(1) << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] where count >= size {
            let value = Double(count) / Double(size)
            return value >= 100 ? "\(Int(value)) \(unit)" : "\((value * 10).rounded() / 10) \(unit)"
        }
        return "\(count) B"
    }

    private static func microseconds(_ value: Double) -> String { value >= 1000 ? "\((value / 100).rounded() / 10) ms" : "\(Int(value.rounded())) us" }
}
