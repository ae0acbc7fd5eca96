// Unsafe on purpose: it hands the bytes of its log to the kernel.

import CHost
import DequeModule
import Foundation
import Glibc
import Host
import IO

/// Why the metadata can't be opened, in a sentence that says what to do.
public struct MetadataError: Error, CustomStringConvertible {
    public let reason: String
    public var description: String { reason }
}

/// Metadata of a broker that is alone: a log of changes in a file and its copy, both synced before any change counts.
///
/// What is committed together is a line: the CRC-32C of the rest in 8 hexadecimal digits, a space, the changes as a JSON array.
/// A line that is damaged in one file is taken from the other. A last line that is whole in neither was never acknowledged and
/// is dropped; one before the end is an error.
public final class EmbeddedStore: MetadataStore {
    private struct Proposal {
        var changes: [MetadataChange]
        var token: UInt64
    }

    public private(set) var state: MetadataState
    private let files: any FilePort
    private let logs: [Int32]
    private var end: UInt64
    private var waiting: Deque<Proposal> = []
    private var underWay: [Proposal] = []
    private var buffer: AlignedBuffer?
    private var outcomes: Deque<MetadataOutcome> = []
    private var failure: String?

    /// Of the log with that number in `names`: an even tag is its write's, an odd one its sync's.
    private enum Tag {
        static func write(_ log: Int) -> UInt64 { 2 * UInt64(log) }
        static func sync(_ log: Int) -> UInt64 { 2 * UInt64(log) + 1 }
        static func isWrite(_ tag: UInt64) -> Bool { tag % 2 == 0 }
    }

    private static let names = ["metadata.log", "metadata.log.copy"]

    /// - Parameters:
    ///   - files: of the thread that will own the store.
    ///   - opened: the log, as `open` has read it.
    public init(files: any FilePort, opened: Opened) {
        self.files = files
        logs = opened.logs
        end = opened.end
        state = opened.state
    }

    /// A log that was opened and read.
    public struct Opened: Sendable {
        var logs: [Int32]
        var end: UInt64
        public internal(set) var state: MetadataState
    }

    // MARK: Opening

    /// Opens the logs in the directory, or begins them; what is damaged in one is mended from the other.
    public static func open(directory: String, blocking: BlockingFiles) throws -> Opened {
        var state = MetadataState()
        let contents = try names.map { try log("\(directory)/\($0)", blocking) }
        let whole = try replay(contents.compactMap { $0 }, directory: directory, into: &state)
        let logs = try zip(names, contents).map { name, content in
            try open(name, directory, whole: whole, content: content, blocking)
        }
        return Opened(logs: logs, end: UInt64(whole.count), state: state)
    }

    /// The state as the logs in the directory have it; nothing is changed, or made.
    public static func read(directory: String, blocking: BlockingFiles) throws -> MetadataState {
        var state = MetadataState()
        let contents = try names.compactMap { try log("\(directory)/\($0)", blocking) }
        guard !contents.isEmpty else { throw MetadataError(reason: "\(directory)/\(names[0]): there is no such file") }
        _ = try replay(contents, directory: directory, into: &state)
        return state
    }

    /// Nil where there is no such file.
    private static func log(_ path: String, _ blocking: BlockingFiles) throws(IOError) -> Data? {
        guard let (image, count) = try blocking.buffered(path) else { return nil }
        return Data(bytes: image.base, count: count)
    }

    /// One of the logs, open, and holding what both are to hold. A torn tail may follow: it is overwritten.
    private static func open(
        _ name: String, _ directory: String, whole: Data, content: Data?, _ blocking: BlockingFiles
    ) throws -> Int32 {
        let path = "\(directory)/\(name)"
        if content != whole {
            let unfinished = "\(path).unfinished"
            try? blocking.files.remove(unfinished)
            let file = try blocking.files.open(unfinished, .create)
            if !whole.isEmpty {
                let image = AlignedBuffer(count: whole.count)
                whole.withUnsafeBytes { image.base.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
                try blocking.write(file, from: image.base, count: whole.count, offset: 0)
            }
            try blocking.sync(file)
            blocking.files.close(file)
            try blocking.files.rename(unfinished, to: path)
            try blocking.syncDirectory(directory)
        }
        return try blocking.files.open(path, .buffered)
    }

    /// Takes line after line from the first log that has it whole. Returns all of them, as they stand in the file.
    private static func replay(_ logs: [Data], directory: String, into state: inout MetadataState) throws -> Data {
        var start = 0
        while true {
            var line: Data?
            for log in logs where line == nil && start < log.count {
                guard let newline = log[start...].firstIndex(of: UInt8(ascii: "\n")), isSound(log[start..<newline]) else { continue }
                let changes = try decode(log[start..<newline], directory)
                for change in changes { state.apply(change) }
                line = log[..<(newline + 1)]
            }
            guard let line else { break }
            start = line.count
        }
        // Behind the end there may be one line that is not whole, and no more.
        for log in logs where log.count > start {
            guard let newline = log[start...].firstIndex(of: UInt8(ascii: "\n")), newline < log.count - 1 else { continue }
            throw MetadataError(
                reason: "\(directory)/\(names[0]) and its copy: byte \(start) begins an entry that is damaged in both, with more behind it. Nothing was changed. Restore one of them from a copy.")
        }
        return whole(logs, start)
    }

    /// The bytes up to `end`, each line from the first log that has it whole.
    private static func whole(_ logs: [Data], _ end: Int) -> Data {
        var bytes = Data()
        while bytes.count < end {
            let start = bytes.count
            for log in logs where start < log.count {
                guard let newline = log[start...].firstIndex(of: UInt8(ascii: "\n")), isSound(log[start..<newline]) else { continue }
                bytes += log[start...newline]
                break
            }
            precondition(bytes.count > start, "each line was found before")
        }
        return bytes
    }

    /// Whether the line's checksum fits.
    private static func isSound(_ line: Data) -> Bool {
        guard line.count > 9, let text = String(data: line.prefix(8), encoding: .ascii), let sum = UInt32(text, radix: 16)
        else { return false }
        return checksum(line.dropFirst(9)) == sum
    }

    /// The changes of a sound line. What can't be understood then is not damage.
    private static func decode(_ line: Data, _ directory: String) throws -> [MetadataChange] {
        do { return try JSONDecoder().decode([MetadataChange].self, from: line.dropFirst(9)) } catch {
            throw MetadataError(
                reason: "\(directory)/\(names[0]) has an entry that only a later version knows. Nothing was changed. Start the version that wrote it.")
        }
    }

    private static func checksum(_ data: Data) -> UInt32 {
        data.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return 0 }
            return hutong_crc32c(0, base, bytes.count)
        }
    }

    private static func encode(_ changes: [MetadataChange]) -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        guard let json = try? encoder.encode(changes) else { preconditionFailure("changes are made of plain values") }
        let sum = String(checksum(json), radix: 16)
        return Data((String(repeating: "0", count: 8 - sum.count) + sum + " ").utf8) + json + Data("\n".utf8)
    }

    /// Commits changes at start-up, waiting for the disk.
    public static func commit(_ changes: [MetadataChange], to opened: inout Opened, blocking: BlockingFiles) throws(IOError) {
        let line = encode(changes)
        let buffer = AlignedBuffer(count: line.count)
        line.withUnsafeBytes { buffer.base.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        for log in opened.logs {
            try blocking.write(log, from: buffer.base, count: line.count, offset: opened.end)
            try blocking.sync(log)
        }
        opened.end += UInt64(line.count)
        for change in changes { opened.state.apply(change) }
    }

    // MARK: Running

    public func propose(_ changes: [MetadataChange], token: UInt64) {
        waiting.append(Proposal(changes: changes, token: token))
    }

    public var isIdle: Bool { waiting.isEmpty && underWay.isEmpty && outcomes.isEmpty }

    public func nextOutcome() -> MetadataOutcome? { outcomes.popFirst() }

    public func step() -> Int {
        var progress = 0
        while let completion = files.next() {
            progress += 1
            handle(completion)
        }
        if underWay.isEmpty && !waiting.isEmpty {
            progress += 1
            begin()
        }
        return progress
    }

    private func begin() {
        underWay = Array(waiting)
        waiting.removeAll()
        if failure != nil { return finish() }
        let line = EmbeddedStore.encode(underWay.flatMap(\.changes))
        let buffer = AlignedBuffer(count: line.count)
        line.withUnsafeBytes { buffer.base.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        self.buffer = buffer
        pendingBytes = line.count
        unfinished = logs.count
        for (number, log) in logs.enumerated() {
            files.writeAndSync(
                log, from: buffer.base, count: line.count, offset: end, writeTag: Tag.write(number), syncTag: Tag.sync(number))
        }
    }

    private var pendingBytes = 0
    /// How many logs are not synced yet.
    private var unfinished = 0

    private func handle(_ completion: Completion) {
        if Tag.isWrite(completion.tag) {
            // A short or failed write cancels the sync, which then says so; the log's end stays where it was.
            if completion.result >= 0 && Int(completion.result) < pendingBytes { failure = "the disk took only part of it" }
            if completion.result < 0 { failure = describe(errno: -completion.result) }
            return
        }
        if completion.result < 0 && failure == nil { failure = describe(errno: -completion.result) }
        unfinished -= 1
        guard unfinished == 0 else { return }
        if failure == nil { end += UInt64(pendingBytes) }
        finish()
    }

    /// After a failed write or sync nothing is committed any more: what is on disk is not known.
    private func finish() {
        for proposal in underWay {
            if failure == nil { for change in proposal.changes { state.apply(change) } }
            outcomes.append(MetadataOutcome(token: proposal.token, failure: failure, changes: proposal.changes))
        }
        underWay = []
        buffer = nil
    }
}
