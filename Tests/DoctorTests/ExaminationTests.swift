import Doctor
import Host
import Testing

/// Made-up hosts, and what is said of each.
@Suite struct ExaminationTests {
    private let wishes = Examination.Wishes(cacheBytes: 384 << 20, locksMemory: false, connections: 10_000, reserveBytes: 512 << 20)

    private var good: HostFacts {
        var ring = HostFacts.IOUring()
        ring.features = ["nodrop", "fast_poll"]
        return HostFacts(
            kernel: "6.12.3-amd64", topology: Topology(nodes: [.init(id: 0, cores: [[0], [1], [2], [3]])]), memoryBytes: 16 << 30, memoryLimitBytes: nil, swapBytes: 0,
            swappiness: 60, ioUring: ring, isFiltered: false, memlockBytes: 8 << 20, openFiles: 1 << 20, hugePages: "madvise", governor: "performance",
            clockSource: "tsc", isClockSynchronized: true, listenBacklog: 4096,
            data: .init(
                path: "/var/lib/hutong", fileSystem: "ext4", mountOptions: "rw,relatime", freeBytes: 100 << 30, directAlignment: 512,
                durability: .init(writes: 9000, medianMicroseconds: 90, p99Microseconds: 300),
                drive: .init(name: "nvme0n1", isRotational: false, writeCache: "write back", scheduler: "none")))
    }

    private func found(_ facts: HostFacts, _ condition: String, _ wishes: Examination.Wishes? = nil) throws -> Finding {
        try #require(Examination(facts, wishes ?? self.wishes).findings.first { $0.condition == condition })
    }

    @Test func aGoodHostIsCalledSo() {
        let examination = Examination(good, wishes)
        #expect(examination.severity == .ok, "\(examination.findings.filter { $0.severity > .ok })")
        #expect(examination.findings.allSatisfy { $0.remedy == nil } && Set(examination.findings.map(\.condition)).count == examination.findings.count)
    }

    @Test func littleMemlock() throws {
        var facts = good
        facts.memlockBytes = 64 << 10
        #expect(try found(facts, "memlock").severity == .ok)
        var locking = wishes
        locking.locksMemory = true
        let finding = try found(facts, "memlock", locking)
        #expect(finding.severity == .error && finding.remedy?.contains("ulimit -l") == true && finding.found == "64.0 KiB")
    }

    @Test func ringsAreRefused() throws {
        var facts = good
        facts.ioUring.isAllowed = false
        facts.ioUring.refusal = "io_uring is refused here."
        facts.isFiltered = true
        #expect(try found(facts, "io_uring").severity == .warning && found(facts, "seccomp").severity == .warning)
        #expect(try found(facts, "io_uring").remedy?.contains("epoll") == true)
        #expect(Examination(facts, wishes).severity == .warning, "it runs on epoll")
    }

    @Test(arguments: [("tmpfs", Finding.Severity.error), ("overlay", .error), ("nfs4", .warning), ("btrfs", .warning), ("xfs", .ok), ("f2fs", .note)])
    func fileSystems(name: String, severity: Finding.Severity) throws {
        var facts = good
        facts.data.fileSystem = name
        #expect(try found(facts, "file system").severity == severity)
    }

    @Test func oneCoreAndOldKernel() throws {
        var facts = good
        facts.topology = Topology(nodes: [.init(id: 0, cores: [[0]])])
        facts.kernel = "5.15.0-91-generic"
        #expect(try found(facts, "cores").severity == .warning && found(facts, "kernel").severity == .warning)
        facts.kernel = "5.19.1"
        #expect(try found(facts, "kernel").severity == .note)
    }

    @Test func driversThatLieAreSuspected() throws {
        var facts = good
        facts.data.durability = .init(writes: 900_000, medianMicroseconds: 1.1, p99Microseconds: 2)
        #expect(try found(facts, "durability").severity == .error)
        facts.data.durability = .init(writes: 9, medianMicroseconds: 90_000, p99Microseconds: 400_000)
        #expect(try found(facts, "durability").severity == .warning)
        facts.data.directAlignment = nil
        #expect(try found(facts, "O_DIRECT").severity == .error)
    }

    @Test func memorySwapFilesGovernorClock() throws {
        var facts = good
        facts.memoryLimitBytes = 256 << 20
        facts.swapBytes = 1 << 30
        facts.openFiles = 1024
        facts.governor = "powersave"
        facts.clockSource = "hpet"
        facts.isClockSynchronized = false
        facts.hugePages = "never"
        facts.data.freeBytes = 1 << 20
        for (condition, severity) in [
            ("memory", Finding.Severity.error), ("swap", .warning), ("open files", .warning), ("governor", .warning), ("clock source", .warning), ("clock", .note),
            ("huge pages", .note), ("free space", .error),
        ] {
            let finding = try found(facts, condition)
            #expect(finding.severity == severity && finding.remedy != nil, "\(condition)")
        }
        facts.data.problem = "/var/lib/hutong can't be written to by this user."
        #expect(try found(facts, "data directory").severity == .error)
    }

    @Test func whatIsTunedCanBeUndone() {
        var facts = good
        facts.swapBytes = 1 << 30
        let host = [
            "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave", "/sys/kernel/mm/transparent_hugepage/enabled": "never", "/proc/sys/vm/swappiness": "60",
            "/proc/sys/net/core/somaxconn": "128", "/sys/block/nvme0n1/queue/scheduler": "mq-deadline",
        ]
        let plan = TuningPlan(facts) { host[$0] }
        #expect(Set(plan.steps.map(\.file)) == Set(host.keys))
        for step in plan.steps { #expect(step.before == host[step.file] && step.undo == "echo \(host[step.file]!) > \(step.file)" && step.change.hasSuffix(step.file)) }
        let after = Dictionary(uniqueKeysWithValues: plan.steps.map { ($0.file, $0.after) })
        #expect(TuningPlan(facts) { after[$0] }.steps.isEmpty, "what is as wanted is left alone")
        #expect(plan.advice.isEmpty)
    }
}
