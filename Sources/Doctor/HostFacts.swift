import Host

/// What is known of a host, as far as a broker cares. Read from JSON, it is a made-up one.
public struct HostFacts: Codable, Sendable, Equatable {
    public struct IOUring: Codable, Sendable, Equatable {
        public var isAllowed = true
        /// Why not, and how to allow it; in sentences.
        public var refusal: String?
        /// The kernel's feature bits, by name.
        public var features: [String] = []
        /// Rings with one submitter and deferred task work.
        public var hasDeferredWork = true

        public init() {}
    }

    public struct Drive: Codable, Sendable, Equatable {
        public var name: String
        public var isRotational: Bool
        /// `write back` or `write through`, as the kernel calls it; nil: it does not say.
        public var writeCache: String?
        public var scheduler: String?

        public init(name: String, isRotational: Bool, writeCache: String?, scheduler: String?) {
            self.name = name
            self.isRotational = isRotational
            self.writeCache = writeCache
            self.scheduler = scheduler
        }
    }

    /// A durable write of 4 KiB, again and again.
    public struct Durability: Codable, Sendable, Equatable {
        public var writes: Int
        public var medianMicroseconds: Double
        public var p99Microseconds: Double

        public init(writes: Int, medianMicroseconds: Double, p99Microseconds: Double) {
            self.writes = writes
            self.medianMicroseconds = medianMicroseconds
            self.p99Microseconds = p99Microseconds
        }
    }

    public struct DataDirectory: Codable, Sendable, Equatable {
        public var path: String
        /// Why it can't be used; nil: it can.
        public var problem: String?
        public var fileSystem: String
        public var mountOptions: String
        public var freeBytes: UInt64
        /// The smallest alignment with which O_DIRECT reads and writes work there; nil: with none.
        public var directAlignment: Int?
        /// Nil: not measured.
        public var durability: Durability?
        public var drive: Drive?

        public init(
            path: String, problem: String? = nil, fileSystem: String, mountOptions: String, freeBytes: UInt64, directAlignment: Int?,
            durability: Durability? = nil, drive: Drive? = nil
        ) {
            self.path = path
            self.problem = problem
            self.fileSystem = fileSystem
            self.mountOptions = mountOptions
            self.freeBytes = freeBytes
            self.directAlignment = directAlignment
            self.durability = durability
            self.drive = drive
        }
    }

    /// As uname(2) says it.
    public var kernel: String
    public var topology: Topology
    public var memoryBytes: UInt64
    /// Of the control group; nil: none.
    public var memoryLimitBytes: UInt64?
    public var swapBytes: UInt64
    public var swappiness: Int?
    public var ioUring: IOUring
    /// Whether a filter is on this process's system calls.
    public var isFiltered: Bool
    /// Bytes; nil: no limit.
    public var memlockBytes: UInt64?
    /// The hard limit.
    public var openFiles: UInt64
    public var hugePages: String?
    /// Nil: processors have none that can be set, as on most virtual machines.
    public var governor: String?
    public var clockSource: String?
    public var isClockSynchronized: Bool?
    public var listenBacklog: Int?
    public var data: DataDirectory

    public init(
        kernel: String, topology: Topology, memoryBytes: UInt64, memoryLimitBytes: UInt64?, swapBytes: UInt64, swappiness: Int?, ioUring: IOUring,
        isFiltered: Bool, memlockBytes: UInt64?, openFiles: UInt64, hugePages: String?, governor: String?, clockSource: String?,
        isClockSynchronized: Bool?, listenBacklog: Int?, data: DataDirectory
    ) {
        self.kernel = kernel
        self.topology = topology
        self.memoryBytes = memoryBytes
        self.memoryLimitBytes = memoryLimitBytes
        self.swapBytes = swapBytes
        self.swappiness = swappiness
        self.ioUring = ioUring
        self.isFiltered = isFiltered
        self.memlockBytes = memlockBytes
        self.openFiles = openFiles
        self.hugePages = hugePages
        self.governor = governor
        self.clockSource = clockSource
        self.isClockSynchronized = isClockSynchronized
        self.listenBacklog = listenBacklog
        self.data = data
    }

    /// The kernel's version as numbers: major, minor.
    var kernelVersion: (Int, Int) {
        let parts = kernel.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
        return (parts.first ?? 0, parts.count > 1 ? parts[1] : 0)
    }
}
