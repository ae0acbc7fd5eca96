// Unsafe on purpose: counters lie in a memory file, which other processes map to read them.

import CHost
import Foundation
import Glibc
import Host

/// Why there is no board to be read, or none can be made.
public struct BoardError: Error, CustomStringConvertible, Sendable {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// A running broker's counters, in memory that other processes can read though the broker hangs or is stopped: a file in memory
/// (memfd_create(2)), which is found by what the broker writes into its directory's lock: its process and the file's descriptor there.
public final class MeterBoard: @unchecked Sendable {
    static let magic: UInt64 = 0x4855_544f_4e47_4d42
    static let layoutVersion: UInt64 = 1
    static let groupWords = 16
    /// Of requests by API key, and of answers by error code; the last counts all that have no counter of their own.
    static let apiCount = 128
    static let errorCount = 160
    private static let headerWords = 16

    /// What a partition group's words hold, copied from its positions.
    public enum GroupWord: Int, CaseIterable, Sendable {
        case start, appended, flushed, replicated, committed, answered, recoverable, servingEpoch, inSyncReplicas, majority, failure, hasSpace
    }

    public let description: BoardDescription
    /// In this process.
    public let file: Int32
    let base: UnsafeMutablePointer<UInt64>
    let layout: Layout

    /// Where each part begins, in words.
    struct Layout {
        let threads: Int
        let stages: Int
        let groups: Int
        let apis: Int
        let errors: Int
        let text: Int
        let words: Int

        init(_ description: BoardDescription, textBytes: Int) {
            threads = MeterBoard.headerWords
            stages = threads + ThreadMeter.words * description.threads.count
            groups = stages + StageMeter.words * description.stages.count
            apis = groups + MeterBoard.groupWords * description.partitionGroups
            errors = apis + MeterBoard.apiCount
            text = errors + MeterBoard.errorCount
            words = text + (textBytes + 7) / 8
        }
    }

    public init(_ description: BoardDescription) throws {
        let text = try JSONEncoder().encode(description)
        layout = Layout(description, textBytes: text.count)
        self.description = description
        file = hutong_memory_file("hutong-meters", layout.words * 8)
        guard file >= 0 else { throw BoardError("no memory for counters: \(String(cString: strerror(-file)))") }
        guard let memory = mmap(nil, layout.words * 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), memory != MAP_FAILED else {
            throw BoardError("no memory for counters: \(String(cString: strerror(errno)))")
        }
        base = memory.assumingMemoryBound(to: UInt64.self)
        text.withUnsafeBytes { UnsafeMutableRawPointer(base + layout.text).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        let header: [UInt64] = [
            MeterBoard.magic, MeterBoard.layoutVersion, UInt64(layout.words), UInt64(layout.text), UInt64(text.count), UInt64(getpid()), hutong_monotonic_ns(),
        ]
        for (word, value) in header.enumerated() { base[word] = value }
    }

    deinit {
        munmap(base, layout.words * 8)
        close(file)
    }

    /// The counters of a stage; where the board has none of it, some that nobody looks at.
    public func meter(of stage: StageID) -> StageMeter {
        let (kind, number) = StageKind.of(stage)
        guard let index = description.stages.firstIndex(where: { $0.kind == kind && $0.number == number }) else { return .unwatched }
        return meter(index)
    }

    func meter(_ stage: Int) -> StageMeter { StageMeter(base + layout.stages + StageMeter.words * stage) }

    /// Requests by API key.
    public var requests: SharedCounters { SharedCounters(base + layout.apis, count: MeterBoard.apiCount) }

    /// Answers to produce requests by error code.
    public var errors: SharedCounters { SharedCounters(base + layout.errors, count: MeterBoard.errorCount) }

    /// What a thread is to tell of itself.
    /// - Parameters:
    ///   - queues: of each of the thread's stages, what waits for it; nil: nothing that could be counted.
    ///   - copies: what else is to be copied every now and then.
    public func meter(ofThread thread: Int, queues: [StageQueue?], copies: [() -> Void]) -> ThreadMeter {
        let stages = zip(description.threads[thread].stages, queues).map { ThreadMeter.Watched(meter($0), $1) }
        return ThreadMeter(base + layout.threads + ThreadMeter.words * thread, stages: stages, copies: copies)
    }

    /// Sets one of a partition group's words.
    public func set(group: Int, _ word: GroupWord, _ value: UInt64) {
        hutong_store(base + layout.groups + MeterBoard.groupWords * group + word.rawValue, value)
    }

    /// All counters as they are now.
    public func snapshot() -> MeterSnapshot {
        MeterSnapshot(description, processId: getpid(), startedAt: base[6], takenAt: hutong_monotonic_ns(), layout, base)
    }

    // MARK: How it is found

    /// What the directory's lock says while the broker runs.
    public var address: String { "\(getpid()) \(file)\n" }
}

/// Another process's board, mapped to be read.
public final class MeterReader {
    private let base: UnsafeMutablePointer<UInt64>
    private let words: Int
    private let layout: MeterBoard.Layout
    public let description: BoardDescription
    public let processId: Int32

    /// - Parameter dataDirectory: of the broker, which has to run, be it stopped or hanging, as this user's process, unless this is root's.
    public init(dataDirectory: String) throws {
        let lock = "\(dataDirectory)/lock"
        guard let text = try? String(contentsOfFile: lock, encoding: .utf8) else {
            throw BoardError("\(lock) can't be read: no broker has its data in \(dataDirectory), or this user may not see it.")
        }
        let numbers = text.split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
        guard numbers.count == 2 else { throw BoardError("\(lock) names no process: the broker there is starting, or is of another version.") }
        processId = numbers[0]
        let path = "/proc/\(numbers[0])/fd/\(numbers[1])"
        let gone = "no broker runs on \(dataDirectory)"
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw BoardError(errno == EACCES ? "the counters of process \(numbers[0]) may be read by its own user and by root only." : "\(gone).")
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_size >= 16 * 8,
            let memory = mmap(nil, Int(status.st_size), PROT_READ, MAP_SHARED, file, 0), memory != MAP_FAILED
        else { throw BoardError("\(gone): process \(numbers[0]) is another program.") }
        base = memory.assumingMemoryBound(to: UInt64.self)
        words = Int(status.st_size) / 8
        guard base[0] == MeterBoard.magic, base[1] == MeterBoard.layoutVersion else {
            let reason = base[0] == MeterBoard.magic ? "its broker is of another version than this program" : "\(gone): process \(numbers[0]) is another program"
            munmap(memory, Int(status.st_size))
            throw BoardError("\(reason).")
        }
        let (whole, text0, count) = (Int(clamping: base[2]), Int(clamping: base[3]), Int(clamping: base[4]))
        guard whole <= words, text0 >= 0, text0 < words, count >= 0, count <= (words - text0) * 8,
            let description = try? JSONDecoder().decode(BoardDescription.self, from: Data(bytes: base + text0, count: count)), description.isSound,
            MeterBoard.Layout(description, textBytes: count).words <= words
        else {
            munmap(memory, Int(status.st_size))
            throw BoardError("the counters of process \(numbers[0]) can't be understood: it is of another version than this program.")
        }
        self.description = description
        layout = MeterBoard.Layout(description, textBytes: count)
    }

    deinit { munmap(base, words * 8) }

    /// All counters as they are now.
    public func snapshot() -> MeterSnapshot {
        MeterSnapshot(description, processId: processId, startedAt: base[6], takenAt: hutong_monotonic_ns(), layout, base)
    }

    /// Whether the process is still there.
    public var isAlive: Bool { kill(processId, 0) == 0 || errno == EPERM }
}
