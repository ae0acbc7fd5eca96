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

/// Metadata of a broker that is alone: a log of changes in one file, synced before any change counts.
///
/// What is committed together is a line: the CRC-32C of the rest in 8 hexadecimal digits, a space, the changes as a JSON array.
/// A last line that is not whole was never acknowledged and is dropped; a damaged one before the end is an error.
public final class EmbeddedStore: MetadataStore {
    private struct Proposal {
        var changes: [MetadataChange]
        var token: UInt64
    }

    public private(set) var state: MetadataState
    private let files: any FilePort
    private let file: Int32
    private var end: UInt64
    private var waiting: Deque<Proposal> = []
    private var underWay: [Proposal] = []
    private var buffer: AlignedBuffer?
    private var outcomes: Deque<MetadataOutcome> = []
    private var failure: String?

    private enum Tag {
        static let write: UInt64 = 1
        static let sync: UInt64 = 2
    }

    /// - Parameters:
    ///   - files: of the thread that will own the store.
    ///   - opened: the log, as `open` has read it.
    public init(files: any FilePort, opened: Opened) {
        self.files = files
        file = opened.file
        end = opened.end
        state = opened.state
    }

    /// A log that was opened and read.
    public struct Opened: Sendable {
        var file: Int32
        var end: UInt64
        public internal(set) var state: MetadataState
    }

    // MARK: Opening

    /// Opens the log in the directory, or begins one.
    public static func open(directory: String, blocking: BlockingFiles) throws -> Opened {
        let path = "\(directory)/metadata.log"
        let isNew = !(try blocking.files.list(directory)).contains("metadata.log")
        let file = try blocking.files.open(path, isNew ? .create : .buffered)
        if isNew {
            try blocking.sync(file)
            try blocking.syncDirectory(directory)
        }
        let size = Int(try blocking.files.size(file))
        let buffer = AlignedBuffer(count: max(size, 1))
        let count = try blocking.read(file, into: buffer.base, count: size, offset: 0)
        var state = MetadataState()
        let end = try replay(Data(bytes: buffer.base, count: count), path: path, into: &state)
        return Opened(file: file, end: UInt64(end), state: state)
    }

    /// The state as the log in the directory has it; nothing is changed, or made.
    public static func read(directory: String, blocking: BlockingFiles) throws -> MetadataState {
        let path = "\(directory)/metadata.log"
        let file = try blocking.files.open(path, .buffered)
        defer { blocking.files.close(file) }
        let size = Int(try blocking.files.size(file))
        let buffer = AlignedBuffer(count: max(size, 1))
        let count = try blocking.read(file, into: buffer.base, count: size, offset: 0)
        var state = MetadataState()
        _ = try replay(Data(bytes: buffer.base, count: count), path: path, into: &state)
        return state
    }

    /// Returns where the last whole line ends.
    private static func replay(_ log: Data, path: String, into state: inout MetadataState) throws -> Int {
        var start = 0
        while let newline = log[start...].firstIndex(of: UInt8(ascii: "\n")) {
            guard let changes = decode(log[start..<newline]) else {
                let isLast = newline == log.count - 1
                if isLast { return start }
                throw MetadataError(
                    reason: "\(path): byte \(start) begins a damaged entry, with more behind it. Nothing was changed. Restore the file from a copy.")
            }
            for change in changes { state.apply(change) }
            start = newline + 1
        }
        return start
    }

    private static func decode(_ line: Data) -> [MetadataChange]? {
        guard line.count > 9, let text = String(data: line.prefix(8), encoding: .ascii), let sum = UInt32(text, radix: 16)
        else { return nil }
        let json = line.dropFirst(9)
        guard checksum(json) == sum else { return nil }
        return try? JSONDecoder().decode([MetadataChange].self, from: json)
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
        try blocking.write(opened.file, from: buffer.base, count: line.count, offset: opened.end)
        try blocking.sync(opened.file)
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
        files.writeAndSync(
            file, from: buffer.base, count: line.count, offset: end, writeTag: Tag.write, syncTag: Tag.sync)
    }

    private var pendingBytes = 0

    private func handle(_ completion: Completion) {
        if completion.tag == Tag.write {
            // A short or failed write cancels the sync, which then says so; the log's end stays where it was.
            if completion.result >= 0 && Int(completion.result) < pendingBytes { failure = "the disk took only part of it" }
            if completion.result < 0 { failure = describe(errno: -completion.result) }
            return
        }
        if completion.result < 0 && failure == nil { failure = describe(errno: -completion.result) }
        if failure == nil { end += UInt64(pendingBytes) }
        finish()
    }

    /// After a failed write or sync nothing is committed any more: what is on disk is not known.
    private func finish() {
        for proposal in underWay {
            if failure == nil { for change in proposal.changes { state.apply(change) } }
            outcomes.append(MetadataOutcome(token: proposal.token, failure: failure))
        }
        underWay = []
        buffer = nil
    }
}
