import CHost
import CIO
import Foundation
import Glibc
import Host
import IO

extension HostFacts {
    /// This host's.
    /// - Parameters:
    ///   - dataDirectory: where a broker keeps, or is to keep, its data. It is not made.
    ///   - measure: measures durable writes in that directory; nil: they are not measured.
    public static func gather(dataDirectory: String, measure: ((String) throws -> Durability)?) -> HostFacts {
        let status = text("/proc/self/status") ?? ""
        return HostFacts(
            kernel: kernelRelease(), topology: .discover(), memoryBytes: memory("MemTotal"), memoryLimitBytes: memoryLimit(), swapBytes: memory("SwapTotal"),
            swappiness: text("/proc/sys/vm/swappiness").flatMap { Int($0) }, ioUring: probeIOUring(), isFiltered: status.contains("\nSeccomp:\t2"),
            memlockBytes: limit("Max locked memory"), openFiles: limit("Max open files") ?? .max, hugePages: chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
            governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clockSource: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"), isClockSynchronized: clockIsSynchronized(),
            listenBacklog: text("/proc/sys/net/core/somaxconn").flatMap { Int($0) }, data: examine(dataDirectory, measure))
    }

    private static func text(_ path: String) -> String? {
        (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Of `a [b] c` the one in brackets.
    private static func chosen(_ path: String) -> String? {
        text(path)?.split(separator: " ").first { $0.hasPrefix("[") }.map { String($0.dropFirst().dropLast()) }
    }

    private static func kernelRelease() -> String {
        var names = utsname()
        uname(&names)
        return withUnsafeBytes(of: &names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static func memory(_ key: String) -> UInt64 {
        let line = text("/proc/meminfo")?.split(separator: "\n").first { $0.hasPrefix("\(key):") }
        return line?.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }.map { $0 << 10 } ?? 0
    }

    private static func memoryLimit() -> UInt64? {
        let own = text("/proc/self/cgroup")?.split(separator: "\n").first { $0.hasPrefix("0::") }.map { String($0.dropFirst(3)) } ?? "/"
        return [own, "/"].compactMap { text("/sys/fs/cgroup\($0)/memory.max") }.compactMap { UInt64($0) }.first
    }

    /// A hard limit of this process (proc(5), limits); nil: none.
    private static func limit(_ name: String) -> UInt64? {
        let line = text("/proc/self/limits")?.split(separator: "\n").first { $0.hasPrefix(name) }
        return line?.dropFirst(name.count).split(separator: " ").dropFirst().first.flatMap { UInt64($0) }
    }

    private static func clockIsSynchronized() -> Bool? {
        let answer = hutong_clock_is_synchronized()
        return answer < 0 ? nil : answer == 1
    }

    /// IORING_FEAT_* by their bits (io_uring_setup(2)).
    private static let featureNames = [
        "single_mmap", "nodrop", "submit_stable", "rw_cur_pos", "cur_personality", "fast_poll", "poll_32bits", "sqpoll_nonfixed", "ext_arg", "native_workers",
        "rsrc_tags", "cqe_skip", "linked_file", "reg_reg_ring",
    ]

    private static func probeIOUring() -> IOUring {
        var found = IOUring()
        var abilities = hutong_uring_abilities()
        let result = hutong_uring_probe(&abilities)
        guard result == 0 else {
            found.isAllowed = false
            found.hasDeferredWork = false
            let error = IOError(code: -result, doing: "setting up io_uring")
            found.refusal = RingRefusal(error)?.description ?? "\(error)."
            return found
        }
        found.features = featureNames.enumerated().filter { abilities.features & 1 << UInt32($0.offset) != 0 }.map(\.element)
        found.hasDeferredWork = abilities.deferred != 0
        return found
    }

    // MARK: The data directory

    private static func examine(_ path: String, _ measure: ((String) throws -> Durability)?) -> DataDirectory {
        // Where it is not there yet, what it would be made in.
        var existing = URL(fileURLWithPath: path).path
        while !FileManager.default.fileExists(atPath: existing), existing != "/" { existing = URL(fileURLWithPath: existing).deletingLastPathComponent().path }
        let mount = mount(of: existing)
        var space = statvfs()
        let free = statvfs(existing, &space) == 0 ? UInt64(space.f_bavail) * UInt64(space.f_frsize) : 0
        var data = DataDirectory(
            path: path, fileSystem: mount.fileSystem, mountOptions: mount.options, freeBytes: free, directAlignment: nil, drive: drive(of: existing))
        guard access(existing, W_OK | X_OK) == 0 else {
            data.problem = "\(existing) can't be written to by this user."
            return data
        }
        data.directAlignment = directAlignment(in: existing)
        do { data.durability = try measure?(existing) } catch { data.problem = "durable writes fail: \(error)" }
        return data
    }

    /// What is mounted where the path lies (proc(5), mountinfo): the last mount that is a prefix of it and not hidden by a later one.
    private static func mount(of path: String) -> (fileSystem: String, options: String) {
        var found = (length: -1, fileSystem: "unknown", options: "")
        for line in (text("/proc/self/mountinfo") ?? "").split(separator: "\n") {
            let fields = line.split(separator: " ").map(String.init)
            guard fields.count > 8, let dash = fields.firstIndex(of: "-"), dash + 1 < fields.count else { continue }
            let point = fields[4].replacing("\\040", with: " ")
            guard path == point || path.hasPrefix(point == "/" ? "/" : point + "/"), point.count >= found.length else { continue }
            found = (point.count, fields[dash + 1], fields[5])
        }
        return (found.fileSystem, found.options)
    }

    private static func drive(of path: String) -> Drive? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        let device = UInt64(status.st_dev)
        // gnu_dev_major(3) and gnu_dev_minor(3).
        let major = device >> 8 & 0xfff | device >> 32 & ~0xfff
        let minor = device & 0xff | device >> 12 & ~0xff
        let link = "/sys/dev/block/\(major):\(minor)"
        guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: link) else { return nil }
        var directory = URL(fileURLWithPath: target, relativeTo: URL(fileURLWithPath: "/sys/dev/block/")).standardizedFileURL
        // A partition's queue is that of its drive.
        if !FileManager.default.fileExists(atPath: directory.appendingPathComponent("queue").path) { directory.deleteLastPathComponent() }
        let queue = directory.appendingPathComponent("queue").path
        return Drive(
            name: directory.lastPathComponent, isRotational: text("\(queue)/rotational") == "1", writeCache: text("\(queue)/write_cache"),
            scheduler: chosen("\(queue)/scheduler") ?? text("\(queue)/scheduler"))
    }

    private static func directAlignment(in directory: String) -> Int? {
        let path = "\(directory)/.hutong-doctor-\(getpid())"
        let file = hutong_open(path, HUTONG_OPEN_CREATE.rawValue | HUTONG_OPEN_DIRECT.rawValue)
        guard file >= 0 else { return nil }
        defer {
            close(file)
            unlink(path)
        }
        let memory = AlignedBuffer(count: 8192)
        return [512, 4096].first { size in
            pwrite(file, memory.base, size, off_t(size)) == size && pread(file, memory.base, size, off_t(size)) == size
        }
    }
}
