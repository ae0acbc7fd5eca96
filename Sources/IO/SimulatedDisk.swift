// Unsafe on purpose: like the kernel, it reads and writes the memory that operations name.

import DequeModule
import Glibc
import Host

/// What can go wrong with a simulated disk while it runs, each as so many in a thousand operations; drawn from `random`.
public struct DiskFaults {
    public enum Kind: String, CaseIterable, Sendable {
        case slow, writeError, syncError, readError, shortWrite, noSpace
        // When the power goes:
        case lostSector, keptSector, tornSector, lostName
    }

    /// Not completed this time.
    public var slow = 0
    public var writeError = 0
    public var syncError = 0
    /// Of a read, once: the next one may go well.
    public var readError = 0
    public var shortWrite = 0
    public var random: SeededRandom

    public init(random: SeededRandom) { self.random = random }

    mutating func fires(_ thousandths: Int) -> Bool { thousandths > 0 && random.below(1000) < thousandths }
}

/// The simulated twin of the host's files: a disk with a write-back cache that can be held back, made to fail, and cut off.
/// Everything happens on the caller's thread, when `poll` is called.
///
/// What was written is seen by every reader at once, but survives a crash only if it was synced, sector by sector; what
/// was created, renamed or removed survives only if its directory was synced.
public final class SimulatedDisk {
    public static let sectorBytes = 4096
    /// What a drive writes at once, whatever happens.
    private static let atomicBytes = 512

    final class File {
        var content: [UInt8] = []
        var durable: [UInt8] = []
        /// Sectors whose content is not durable yet.
        var dirty: Set<Int> = []
        /// What durable sectors held at the beginning of the life in which they were written last, and the number of that.
        var older: [Int: (life: Int, bytes: [UInt8])] = [:]

        /// The sector is on the disk.
        func keep(_ sector: Int, life: Int) {
            let range = sector * sectorBytes..<(sector + 1) * sectorBytes
            if range.upperBound <= durable.count, older[sector]?.life != life { older[sector] = (life, Array(durable[range])) }
            keep(range)
        }

        func keep(_ range: Range<Int>) {
            let end = min(range.upperBound, content.count)
            guard range.lowerBound < end else { return }
            if durable.count < end { durable += [UInt8](repeating: 0, count: end - durable.count) }
            durable.withUnsafeMutableBytes { durable in
                content.withUnsafeBytes { content in
                    (durable.baseAddress! + range.lowerBound).copyMemory(
                        from: content.baseAddress! + range.lowerBound, byteCount: end - range.lowerBound)
                }
            }
        }
    }

    final class Operation {
        enum Kind {
            case read(UnsafeMutableRawPointer, Int, UInt64)
            case write(UnsafeRawPointer, Int, UInt64, durable: Bool)
            case sync
            case allocate(UInt64)
        }

        let kind: Kind
        let file: Int32
        let tag: UInt64
        let port: SimulatedFilePort
        /// Ends cancelled where that operation did not succeed in full.
        let predecessor: Operation?
        /// Whether it succeeded in full; nil: not done yet.
        var isWhole: Bool?

        init(_ kind: Kind, file: Int32, tag: UInt64, port: SimulatedFilePort, after predecessor: Operation? = nil) {
            self.kind = kind
            self.file = file
            self.tag = tag
            self.port = port
            self.predecessor = predecessor
        }
    }

    private var tree = SimulatedTree()
    private var open: [Int32: (path: String, file: File?)] = [:]
    private var nextHandle: Int32 = 100
    /// How often what has the disk has ended.
    private var life = 0
    private var operations: Deque<Operation> = []

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
    /// What goes wrong by itself.
    public var faults: DiskFaults?
    /// How often each kind of fault has come to pass.
    public private(set) var fired: [DiskFaults.Kind: Int] = [:]
    /// How many operations of each kind have completed.
    public private(set) var writes = 0
    public private(set) var syncs = 0

    public init() {}

    /// A port for one stage.
    public func makePort() -> SimulatedFilePort { SimulatedFilePort(disk: self) }

    private func note(_ kind: DiskFaults.Kind) { fired[kind, default: 0] += 1 }

    private func fires(_ rate: KeyPath<DiskFaults, Int>, _ kind: DiskFaults.Kind) -> Bool {
        guard let thousandths = faults?[keyPath: rate], faults!.fires(thousandths) else { return false }
        note(kind)
        return true
    }

    // MARK: Operations

    /// Completes what can complete. Returns how much that was.
    public func poll() -> Int {
        var count = 0
        var held: Deque<Operation> = []
        while let operation = operations.popFirst() {
            let waits = holdsSyncs && isSync(operation) || operation.predecessor.map { $0.isWhole == nil } ?? false
            if waits || fires(\.slow, .slow) {
                held.append(operation)
                continue
            }
            count += 1
            complete(operation)
        }
        operations = held
        return count
    }

    /// Whether something is under way, though `poll` may have completed nothing.
    public var isBusy: Bool { !operations.isEmpty }

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
        if operation.predecessor?.isWhole == false { result = -ECANCELED } else {
            switch operation.kind {
            case .read(let into, let count, let offset): result = read(operation.file, into, count, offset)
            case .write(let from, let count, let offset, let durable):
                result = write(operation.file, from, count, offset, durable)
                isWhole = Int(result) == count
            case .sync: result = sync(operation.file)
            case .allocate(let count): result = allocate(operation.file, Int(count))
            }
        }
        operation.isWhole = result >= 0 && isWhole
        operation.port.deliver(Completion(tag: operation.tag, result: result))
    }

    private func allocate(_ handle: Int32, _ count: Int) -> Int32 {
        guard count <= freeBytes else {
            note(.noSpace)
            return -ENOSPC
        }
        extend(handle, to: count)
        return 0
    }

    private func read(_ handle: Int32, _ into: UnsafeMutableRawPointer, _ count: Int, _ offset: UInt64) -> Int32 {
        guard let opened = open[handle], let file = opened.file else { return -EBADF }
        if isBad(opened.path, Int(offset)..<Int(offset) + count) { return -EIO }
        if fires(\.readError, .readError) { return -EIO }
        let available = max(0, min(count, file.content.count - Int(offset)))
        file.content.withUnsafeBytes { content in
            if available > 0 { into.copyMemory(from: content.baseAddress! + Int(offset), byteCount: available) }
        }
        return Int32(available)
    }

    private func isBad(_ path: String, _ range: Range<Int>) -> Bool {
        badBlocks[path]?.contains { $0 * SimulatedDisk.sectorBytes < range.upperBound && ($0 + 1) * SimulatedDisk.sectorBytes > range.lowerBound } ?? false
    }

    private func write(_ handle: Int32, _ from: UnsafeRawPointer, _ count: Int, _ offset: UInt64, _ durable: Bool) -> Int32 {
        guard open[handle]?.file != nil else { return -EBADF }
        if let error = nextWriteError {
            nextWriteError = nil
            return -error
        }
        if fires(\.writeError, .writeError) { return -EIO }
        var limit = nextWriteLimit ?? count
        if count > SimulatedDisk.sectorBytes, fires(\.shortWrite, .shortWrite) {
            limit = 1 + faults!.random.below(count - 1)
        }
        nextWriteLimit = nil
        let written = min(count, limit)
        guard put(handle, from, written, offset) else {
            note(.noSpace)
            return -ENOSPC
        }
        writes += 1
        return durable ? (sync(handle) < 0 ? -EIO : Int32(written)) : Int32(written)
    }

    /// False where there is no room.
    private func put(_ handle: Int32, _ from: UnsafeRawPointer, _ count: Int, _ offset: UInt64) -> Bool {
        guard let file = open[handle]?.file, count > 0 else { return true }
        guard Int(offset) + count - file.content.count <= freeBytes else { return false }
        extend(handle, to: Int(offset) + count)
        file.content.withUnsafeMutableBytes { ($0.baseAddress! + Int(offset)).copyMemory(from: from, byteCount: count) }
        let sector = SimulatedDisk.sectorBytes
        for each in Int(offset) / sector...(Int(offset) + count - 1) / sector { file.dirty.insert(each) }
        if let path = open[handle]?.path, badBlocks[path] != nil {
            // A drive puts what is written whole elsewhere.
            for each in (Int(offset) + sector - 1) / sector..<(Int(offset) + count) / sector { badBlocks[path]!.remove(each) }
        }
        return true
    }

    private func extend(_ handle: Int32, to count: Int) {
        guard let file = open[handle]?.file, file.content.count < count else { return }
        if freeBytes != .max { freeBytes -= count - file.content.count }
        file.content += [UInt8](repeating: 0, count: count - file.content.count)
    }

    func sync(_ handle: Int32) -> Int32 {
        if let error = nextSyncError {
            nextSyncError = nil
            return -error
        }
        // The kernel has marked what it could not write as clean: the next sync would succeed, and mean nothing.
        if fires(\.syncError, .syncError) {
            if let file = open[handle]?.file { file.dirty = file.dirty.filter { _ in faults!.random.below(2) == 0 } }
            return -EIO
        }
        syncs += 1
        guard let opened = open[handle] else { return -EBADF }
        if let file = opened.file {
            for sector in file.dirty { file.keep(sector, life: life) }
            if file.durable.count < file.content.count { file.durable += file.content[file.durable.count...] }
            file.dirty = []
            return 0
        }
        tree.sync(opened.path)
        return 0
    }

    // MARK: Names

    func openFile(_ path: String, _ mode: OpenMode) throws(IOError) -> Int32 {
        var file: File?
        switch mode {
        case .directory: file = nil
        case .create, .createDirect:
            guard tree.names[path] == nil else { throw IOError(code: EEXIST, doing: "opening \(path)") }
            file = tree.add(path)
        case .direct, .readDirect, .buffered, .read:
            guard let known = tree.names[path] else { throw IOError(code: ENOENT, doing: "opening \(path)") }
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

    /// The names of what is in the directory, sorted.
    public func list(_ directory: String) -> [String] { tree.list(directory) }

    func isDirectory(_ path: String) -> Bool { tree.isDirectory(path) }

    func makeDirectory(_ path: String) { tree.makeDirectory(path) }

    func removeDirectory(_ path: String) throws(IOError) { try tree.removeDirectory(path) }

    /// The paths of all files, sorted.
    public var paths: [String] { tree.names.keys.sorted() }

    /// What all files take, in bytes.
    public var usedBytes: Int { tree.names.values.reduce(0) { $0 + $1.content.count } }

    func rename(_ path: String, to: String) throws(IOError) {
        try tree.rename(path, to: to)
        // Who has a directory open goes on with it.
        open = open.mapValues { (SimulatedTree.moved($0.path, from: path, to: to) ?? ($0.path == path ? to : $0.path), $0.file) }
    }

    func remove(_ path: String) throws(IOError) {
        let file = try tree.remove(path)
        if freeBytes != .max { freeBytes += file.content.count }
    }

    // MARK: The power goes

    /// What was under way may or may not have been done, what was not synced is lost but for the sectors that `keeps` says made
    /// it, directories are as they were last synced, and every open file is closed.
    public func crash(keeps: (_ path: String, _ sector: Int) -> Bool = { _, _ in false }) {
        beginCrash()
        for (path, file) in tree.names {
            for sector in file.dirty.sorted() where keeps(path, sector) { file.keep(sector, life: life) }
        }
        endCrash()
    }

    /// As `crash`, by chance: of what was not synced each sector is kept with a probability of so many in a hundred, some only in
    /// part; and of the changes of names so many of the first.
    public func crash(random: inout SeededRandom, kept percent: Int) {
        beginCrash()
        for (_, file) in tree.names.sorted(by: { $0.key < $1.key }) {
            for sector in file.dirty.sorted() {
                guard random.below(100) < percent else {
                    note(.lostSector)
                    continue
                }
                note(.keptSector)
                guard random.below(8) == 0 else {
                    file.keep(sector, life: life)
                    continue
                }
                note(.tornSector)
                let start = sector * SimulatedDisk.sectorBytes
                for part in stride(from: start, to: start + SimulatedDisk.sectorBytes, by: SimulatedDisk.atomicBytes)
                where random.below(2) == 0 {
                    file.keep(part..<part + SimulatedDisk.atomicBytes)
                }
            }
        }
        let unsynced = tree.unsynced
        let kept = unsynced == 0 ? 0 : random.below(unsynced + 1)
        if kept < unsynced { note(.lostName) }
        endCrash(keptNames: kept)
    }

    /// The process ends, but the machine goes on: of what was under way some is done, and what was written is still seen, synced or
    /// not.
    public func endProcess(random: inout SeededRandom) {
        for operation in operations {
            guard case .write(let from, let count, let offset, _) = operation.kind, random.below(2) == 0 else { continue }
            _ = put(operation.file, from, count, offset)
        }
        operations = []
        open = [:]
        life += 1
    }

    private func beginCrash() {
        for operation in operations {
            if case .write(let from, let count, let offset, _) = operation.kind { _ = put(operation.file, from, count, offset) }
        }
        operations = []
        open = [:]
    }

    private func endCrash(keptNames: Int = 0) {
        life += 1
        tree.crash(kept: keptNames)
        for file in tree.names.values {
            file.content = file.durable
            file.dirty = []
        }
    }

    // MARK: Damage

    /// Damages durable bytes of a file.
    public func flip(_ path: String, byte: Int) {
        guard let file = tree.names[path], byte < file.content.count else { return }
        file.content[byte] ^= 0xff
        if byte < file.durable.count { file.durable[byte] ^= 0xff }
    }

    /// What the drive would have there, had it lost all that was written to the sector in the life in which it was written last; nil:
    /// nothing.
    public func older(_ path: String, sector: Int) -> [UInt8]? { tree.names[path]?.older[sector]?.bytes }

    /// A file's bytes, as they are seen; empty where there is no such file.
    public func bytes(_ path: String) -> [UInt8] { tree.names[path]?.content ?? [] }

    /// Whether the bytes would be there though the power went now.
    public func holdsDurably(_ path: String, at offset: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let file = tree.durable[path], offset + bytes.count <= file.durable.count else { return false }
        return file.durable.withUnsafeBytes { memcmp($0.baseAddress! + offset, bytes.baseAddress!, bytes.count) == 0 }
    }

    /// Shows bytes of a file as they are seen. False: it has not so many, or they can't be read.
    public func show(_ path: String, _ range: Range<Int>, _ look: (UnsafeRawBufferPointer) throws -> Void) rethrows -> Bool {
        guard let file = tree.names[path], range.upperBound <= file.content.count, !isBad(path, range) else { return false }
        try file.content.withUnsafeBytes { try look(UnsafeRawBufferPointer(rebasing: $0[range])) }
        return true
    }

    /// The file is gone, durably.
    public func delete(_ path: String) {
        tree.delete(path)
    }

    /// Adds bytes at the file's end, durably.
    public func append(_ path: String, _ bytes: [UInt8]) {
        guard let file = tree.names[path] else { return }
        file.content += bytes
        file.durable = file.content
    }

    /// Puts other bytes there, durably: what a drive does that writes elsewhere, or not at all.
    public func overwrite(_ path: String, at offset: Int, _ bytes: [UInt8]) {
        guard let file = tree.names[path], offset + bytes.count <= file.content.count else { return }
        file.content.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        if offset + bytes.count <= file.durable.count { file.durable.replaceSubrange(offset..<offset + bytes.count, with: bytes) }
    }
}

/// One stage's share of a simulated disk.
public final class SimulatedFilePort: FilePort {
    private let disk: SimulatedDisk
    private var completions: Deque<Completion> = []
    private var underWay = 0
    private var opened: Set<Int32> = []

    init(disk: SimulatedDisk) { self.disk = disk }

    func deliver(_ completion: Completion) {
        underWay -= 1
        completions.append(completion)
    }

    public var isIdle: Bool { underWay == 0 && completions.isEmpty }

    private func submit(_ operation: SimulatedDisk.Operation) {
        underWay += 1
        disk.submit(operation)
    }

    public func next() -> Completion? { completions.popFirst() }
    public func open(_ path: String, _ mode: OpenMode) throws(IOError) -> Int32 {
        let file = try disk.openFile(path, mode)
        opened.insert(file)
        return file
    }

    public func hand(_ file: Int32, to other: any FilePort) {
        if opened.remove(file) != nil { other.adopt(file) }
    }

    public func adopt(_ file: Int32) { opened.insert(file) }

    public func closeAll() {
        for file in opened { disk.close(file) }
        opened = []
    }

    public func size(_ file: Int32) throws(IOError) -> UInt64 { try disk.size(file) }
    public func close(_ file: Int32) {
        opened.remove(file)
        disk.close(file)
    }

    public func list(_ directory: String) throws(IOError) -> [String] {
        guard disk.isDirectory(directory) else { throw IOError(code: ENOENT, doing: "listing \(directory)") }
        return disk.list(directory)
    }

    public func makeDirectory(_ path: String) throws(IOError) { disk.makeDirectory(path) }
    public func rename(_ path: String, to: String) throws(IOError) { try disk.rename(path, to: to) }
    public func remove(_ path: String) throws(IOError) { try disk.remove(path) }
    public func removeDirectory(_ path: String) throws(IOError) { try disk.removeDirectory(path) }
    public func space(_ directory: String) -> FileSystemSpace? { FileSystemSpace(total: .max, free: UInt64(max(disk.freeBytes, 0))) }

    public func read(_ file: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64, tag: UInt64) {
        submit(.init(.read(into, count, offset), file: file, tag: tag, port: self))
    }

    public func write(_ file: Int32, from: UnsafeRawPointer, count: Int, offset: UInt64, durable: Bool, tag: UInt64) {
        submit(.init(.write(from, count, offset, durable: durable), file: file, tag: tag, port: self))
    }

    public func writeAndSync(
        _ file: Int32, from: UnsafeRawPointer, count: Int, offset: UInt64, writeTag: UInt64, syncTag: UInt64
    ) {
        let write = SimulatedDisk.Operation(.write(from, count, offset, durable: false), file: file, tag: writeTag, port: self)
        submit(write)
        submit(.init(.sync, file: file, tag: syncTag, port: self, after: write))
    }

    public func sync(_ file: Int32, dataOnly: Bool, tag: UInt64) {
        submit(.init(.sync, file: file, tag: tag, port: self))
    }

    public func allocate(_ file: Int32, offset: UInt64, count: UInt64, tag: UInt64) {
        submit(.init(.allocate(count), file: file, tag: tag, port: self))
    }

    public func syncNow(_ file: Int32) -> Int32 { disk.sync(file) }
}
