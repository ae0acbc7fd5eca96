// Unsafe on purpose: like the kernel, it reads and writes the memory that operations name.

import DequeModule
import Glibc
import Host

/// The simulated twin of the host's files: a disk with a write-back cache that can be held back, made to fail, and cut off.
/// Everything happens on the caller's thread, when `poll` is called.
///
/// What was written is seen by every reader at once, but survives a crash only if it was synced, sector by sector; what
/// was created, renamed or removed survives only if its directory was synced.
public final class SimulatedDisk {
    public static let sectorBytes = 4096

    final class File {
        var content: [UInt8] = []
        var durable: [UInt8] = []
        /// Sectors whose content is not durable yet.
        var dirty: Set<Int> = []

        /// The sector is on the disk.
        func keep(_ sector: Int) {
            let start = sector * sectorBytes
            let end = min(start + sectorBytes, content.count)
            if durable.count < end { durable += [UInt8](repeating: 0, count: end - durable.count) }
            durable.replaceSubrange(start..<end, with: content[start..<end])
        }
    }

    struct Operation {
        enum Kind {
            case read(UnsafeMutableRawPointer, Int, UInt64)
            case write(UnsafeRawPointer, Int, UInt64, durable: Bool)
            case sync
            case allocate(UInt64)
        }

        var kind: Kind
        var file: Int32
        var tag: UInt64
        var port: SimulatedFilePort
        /// Ends cancelled where the operation before it did not succeed in full.
        var isLinked = false
    }

    private var names: [String: File] = [:]
    private var durableNames: [String: File] = [:]
    private var open: [Int32: (path: String, file: File?)] = [:]
    private var nextHandle: Int32 = 100
    private var operations: Deque<Operation> = []
    private var lastFailed = false

    /// While true, no sync and no durable write completes.
    public var holdsSyncs = false
    /// The errno with which the next write ends; and the next sync.
    public var nextWriteError: Int32?
    public var nextSyncError: Int32?
    /// How many bytes can still be allocated.
    public var freeBytes = Int.max
    /// Blocks that can't be read, by file and number.
    public var badBlocks: [String: Set<Int>] = [:]
    /// How many bytes the next write writes, if fewer than asked for.
    public var nextWriteLimit: Int?
    /// How many operations of each kind have completed.
    public private(set) var writes = 0
    public private(set) var syncs = 0

    public init() {}

    /// A port for one stage.
    public func makePort() -> SimulatedFilePort { SimulatedFilePort(disk: self) }

    /// Completes what can complete, in order. Returns how much that was.
    public func poll() -> Int {
        var count = 0
        var held: Deque<Operation> = []
        var holds = false
        while let operation = operations.popFirst() {
            let waits = holdsSyncs && isSync(operation)
            if waits || (holds && operation.isLinked) {
                holds = true
                held.append(operation)
                continue
            }
            count += 1
            complete(operation)
        }
        operations = held
        return count
    }

    private func isSync(_ operation: Operation) -> Bool {
        switch operation.kind {
        case .sync: true
        case .write(_, _, _, let durable): durable
        case .read, .allocate: false
        }
    }

    func submit(_ operation: Operation) { operations.append(operation) }

    private func complete(_ operation: Operation) {
        let result: Int32
        var isWhole = true
        if operation.isLinked && lastFailed { result = -ECANCELED } else {
            switch operation.kind {
            case .read(let into, let count, let offset): result = read(operation.file, into, count, offset)
            case .write(let from, let count, let offset, let durable):
                result = write(operation.file, from, count, offset, durable)
                isWhole = Int(result) == count
            case .sync: result = sync(operation.file)
            case .allocate(let count):
                let fits = Int(count) <= freeBytes
                if fits {
                    freeBytes -= Int(count)
                    extend(operation.file, to: Int(count))
                }
                result = fits ? 0 : -ENOSPC
            }
        }
        lastFailed = result < 0 || !isWhole
        operation.port.deliver(Completion(tag: operation.tag, result: result))
    }

    private func read(_ handle: Int32, _ into: UnsafeMutableRawPointer, _ count: Int, _ offset: UInt64) -> Int32 {
        guard let opened = open[handle], let file = opened.file else { return -EBADF }
        if let bad = badBlocks[opened.path], bad.contains(where: {
            $0 * SimulatedDisk.sectorBytes < Int(offset) + count && ($0 + 1) * SimulatedDisk.sectorBytes > Int(offset)
        }) {
            return -EIO
        }
        let available = max(0, min(count, file.content.count - Int(offset)))
        file.content.withUnsafeBytes { content in
            if available > 0 { into.copyMemory(from: content.baseAddress! + Int(offset), byteCount: available) }
        }
        return Int32(available)
    }

    private func write(_ handle: Int32, _ from: UnsafeRawPointer, _ count: Int, _ offset: UInt64, _ durable: Bool) -> Int32 {
        guard let file = open[handle]?.file else { return -EBADF }
        if let error = nextWriteError {
            nextWriteError = nil
            return -error
        }
        let written = min(count, nextWriteLimit ?? count)
        nextWriteLimit = nil
        writes += 1
        extend(handle, to: Int(offset) + written)
        file.content.withUnsafeMutableBytes { ($0.baseAddress! + Int(offset)).copyMemory(from: from, byteCount: written) }
        if written > 0 {
            for sector in Int(offset) / SimulatedDisk.sectorBytes...(Int(offset) + written - 1) / SimulatedDisk.sectorBytes {
                file.dirty.insert(sector)
            }
        }
        return durable ? (sync(handle) < 0 ? -EIO : Int32(written)) : Int32(written)
    }

    private func extend(_ handle: Int32, to count: Int) {
        guard let file = open[handle]?.file, file.content.count < count else { return }
        file.content += [UInt8](repeating: 0, count: count - file.content.count)
    }

    func sync(_ handle: Int32) -> Int32 {
        if let error = nextSyncError {
            nextSyncError = nil
            return -error
        }
        syncs += 1
        guard let opened = open[handle] else { return -EBADF }
        if let file = opened.file {
            for sector in file.dirty { file.keep(sector) }
            if file.durable.count < file.content.count { file.durable += file.content[file.durable.count...] }
            file.dirty = []
            return 0
        }
        func isEntry(_ path: String) -> Bool {
            path.hasPrefix(opened.path + "/") && !path.dropFirst(opened.path.count + 1).contains("/")
        }
        durableNames = durableNames.filter { !isEntry($0.key) }
        for (path, file) in names where isEntry(path) { durableNames[path] = file }
        return 0
    }

    // MARK: Names

    func openFile(_ path: String, _ mode: OpenMode) throws(IOError) -> Int32 {
        var file: File?
        switch mode {
        case .directory: file = nil
        case .create, .createDirect:
            guard names[path] == nil else { throw IOError(code: EEXIST, doing: "opening \(path)") }
            file = File()
            names[path] = file
        case .direct, .readDirect, .buffered:
            guard let known = names[path] else { throw IOError(code: ENOENT, doing: "opening \(path)") }
            file = known
        }
        nextHandle += 1
        open[nextHandle] = (path, file)
        return nextHandle
    }

    func close(_ handle: Int32) { open[handle] = nil }

    func size(_ handle: Int32) throws(IOError) -> UInt64 {
        guard let file = open[handle]?.file else { throw IOError(code: EBADF, doing: "asking for a file's size") }
        return UInt64(file.content.count)
    }

    public func list(_ directory: String) -> [String] {
        names.keys.filter { $0.hasPrefix(directory + "/") }.map { String($0.dropFirst(directory.count + 1)) }
            .filter { !$0.contains("/") }.sorted()
    }

    func rename(_ path: String, to: String) throws(IOError) {
        guard let file = names.removeValue(forKey: path) else { throw IOError(code: ENOENT, doing: "renaming \(path)") }
        names[to] = file
    }

    func remove(_ path: String) throws(IOError) {
        guard names.removeValue(forKey: path) != nil else { throw IOError(code: ENOENT, doing: "removing \(path)") }
    }

    // MARK: Faults

    /// The power goes: what was under way may or may not have been done, what was not synced is lost but for the sectors
    /// that `keeps` says made it, and every open file is closed.
    public func crash(keeps: (_ path: String, _ sector: Int) -> Bool = { _, _ in false }) {
        for operation in operations {
            if case .write(let from, let count, let offset, _) = operation.kind { _ = write(operation.file, from, count, offset, false) }
        }
        operations = []
        open = [:]
        for (path, file) in names {
            for sector in file.dirty.sorted() where keeps(path, sector) {
                file.keep(sector)
            }
        }
        names = durableNames
        for file in names.values {
            file.content = file.durable
            file.dirty = []
        }
    }

    /// Damages durable bytes of a file.
    public func flip(_ path: String, byte: Int) {
        guard let file = names[path], byte < file.content.count else { return }
        file.content[byte] ^= 0xff
        if byte < file.durable.count { file.durable[byte] ^= 0xff }
    }
}

/// One stage's share of a simulated disk.
public final class SimulatedFilePort: FilePort {
    private let disk: SimulatedDisk
    private var completions: Deque<Completion> = []

    init(disk: SimulatedDisk) { self.disk = disk }

    func deliver(_ completion: Completion) { completions.append(completion) }

    public func next() -> Completion? { completions.popFirst() }
    public func open(_ path: String, _ mode: OpenMode) throws(IOError) -> Int32 { try disk.openFile(path, mode) }
    public func size(_ file: Int32) throws(IOError) -> UInt64 { try disk.size(file) }
    public func close(_ file: Int32) { disk.close(file) }
    public func list(_ directory: String) throws(IOError) -> [String] { disk.list(directory) }
    public func makeDirectory(_ path: String) throws(IOError) {}
    public func rename(_ path: String, to: String) throws(IOError) { try disk.rename(path, to: to) }
    public func remove(_ path: String) throws(IOError) { try disk.remove(path) }
    public func freeBytes(_ directory: String) -> UInt64? { UInt64(disk.freeBytes) }

    public func read(_ file: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64, tag: UInt64) {
        disk.submit(.init(kind: .read(into, count, offset), file: file, tag: tag, port: self))
    }

    public func write(_ file: Int32, from: UnsafeRawPointer, count: Int, offset: UInt64, durable: Bool, tag: UInt64) {
        disk.submit(.init(kind: .write(from, count, offset, durable: durable), file: file, tag: tag, port: self))
    }

    public func writeAndSync(
        _ file: Int32, from: UnsafeRawPointer, count: Int, offset: UInt64, writeTag: UInt64, syncTag: UInt64
    ) {
        disk.submit(.init(kind: .write(from, count, offset, durable: false), file: file, tag: writeTag, port: self))
        disk.submit(.init(kind: .sync, file: file, tag: syncTag, port: self, isLinked: true))
    }

    public func sync(_ file: Int32, dataOnly: Bool, tag: UInt64) {
        disk.submit(.init(kind: .sync, file: file, tag: tag, port: self))
    }

    public func allocate(_ file: Int32, offset: UInt64, count: UInt64, tag: UInt64) {
        disk.submit(.init(kind: .allocate(count), file: file, tag: tag, port: self))
    }

    public func syncNow(_ file: Int32) -> Int32 { disk.sync(file) }
}
