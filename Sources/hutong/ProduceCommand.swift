import ArgumentParser
import Client
import Foundation
import Wire

struct ProduceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "produce", abstract: "Send the lines of standard input as records.")

    @Argument(help: "The topic.") var topic: String
    @Option(name: [.customShort("K"), .long], help: "What separates a line's key from its value; none: no keys.")
    var keyDelimiter: String?
    @Option(name: .shortAndLong, help: "The key of all records.") var key: String?
    @Option(
        name: [.customShort("H"), .long],
        help: ArgumentHelp("A header of all records, may be repeated; without = its value is null.", valueName: "name=value"))
    var header: [HeaderArgument] = []
    @Flag(name: [.customShort("Z"), .long], help: "A line, or what follows its key, that is empty is no value: in a compacted topic it deletes the key.")
    var tombstone = false
    @Option(name: .shortAndLong, help: "The partition; by default by the key, or one after the other.")
    var partition: Int32?
    @Option(name: [.customShort("z"), .long], help: "none, gzip, snappy, lz4 or zstd.")
    var compression = CompressionType.none
    @Option(name: .long, help: "Whose answer is waited for: all (-1), the leader's (1) or nobody's (0).")
    var acks: Acks?
    @Flag(name: .long, help: "Number the records, so that none is stored twice however often it is sent. Implies --acks all.")
    var idempotent = false
    @Flag(name: .long, help: "Print for each batch what each stage of the broker took for it. Only Hutong tells; needs an answer (--acks 1 or all).")
    var receipt = false
    @OptionGroup var server: ServerOption

    enum Acks: Int16, ExpressibleByArgument {
        case all = -1
        case none = 0
        case leader = 1

        init?(argument: String) {
            guard argument != "all" else { self = .all; return }
            guard let number = Int16(argument) else { return nil }
            self.init(rawValue: number)
        }
    }

    func validate() throws {
        if idempotent, let acks, acks != .all { throw ValidationError("--idempotent needs --acks all.") }
        if receipt, acks == Acks.none { throw ValidationError("--receipt needs --acks 1 or all: without an answer there is none.") }
        if key != nil, keyDelimiter != nil { throw ValidationError("--key and --key-delimiter both say what the key is.") }
        if keyDelimiter?.isEmpty == true { throw ValidationError("--key-delimiter must not be empty.") }
    }

    func run() throws {
        var options = Producer.Options()
        options.compression = compression
        options.acks = (acks ?? .all).rawValue
        options.idempotent = idempotent
        options.partition = partition
        if receipt { options.receipt = ReceiptLine.show }
        let producer = try Producer(try server.client(), topic: topic, options: options)
        var lines = LineReader()
        var progress = ProgressLine()
        var sent = 0
        // What is there is sent before more is waited for, so that typed lines arrive at once and piped ones in batches.
        while let batch = try lines.next() {
            let now = Int64(Date().timeIntervalSince1970 * 1000)
            for line in batch { try producer.add(record(line, timestamp: now)) }
            try producer.flush()
            sent += batch.count
            progress.show("\(sent) records sent")
        }
        progress.clear()
    }

    /// A line without the delimiter is a value without a key.
    private func record(_ line: ArraySlice<UInt8>, timestamp: Int64) -> Record {
        var key = key.map { Array($0.utf8) }
        var value = line
        if let keyDelimiter, let found = line.firstRange(of: Array(keyDelimiter.utf8)) {
            key = Array(line[..<found.lowerBound])
            value = line[found.upperBound...]
        }
        return Record(
            timestamp: timestamp, key: key, value: tombstone && value.isEmpty ? nil : Array(value), headers: header.map(\.header))
    }
}

/// What a receipt says, in a line.
enum ReceiptLine {
    @Sendable static func show(_ target: KafkaClient.TopicPartition, offset: Int64, count: Int, receipt: Receipt?) {
        _ = Output.write(Array((text(target, offset: offset, count: count, receipt: receipt) + "\n").utf8))
    }

    /// Times since the broker read the request.
    static func text(_ target: KafkaClient.TopicPartition, offset: Int64, count: Int, receipt: Receipt?) -> String {
        var line = "\(target.topic) partition=\(target.partition) offset=\(offset) records=\(count)"
        guard let receipt else { return line + " no receipt: the broker does not give any" }
        line += " position=\(receipt.position)"
        let steps = [
            ("journaled", receipt.journaled), ("flushed", receipt.flushed), ("replicated", receipt.replicated), ("committed", receipt.committed),
            ("answered", receipt.answered),
        ]
        for (name, time) in steps { line += " \(name)=" + (time < 0 ? "-" : Durations.text(UInt64(time))) }
        return line
    }
}

/// A record's header: NAME=VALUE, or NAME alone for one whose value is null.
struct HeaderArgument: ExpressibleByArgument {
    let header: Record.Header

    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard !parts[0].isEmpty else { return nil }
        header = Record.Header(key: String(parts[0]), value: parts.count > 1 ? Array(parts[1].utf8) : nil)
    }
}

extension CompressionType: ExpressibleByArgument {
    public init?(argument: String) {
        guard let type = Self.allCases.first(where: { $0.name == argument }) else { return nil }
        self = type
    }

    public static var allValueStrings: [String] { allCases.map(\.name) }
}

/// The lines of standard input, as many at a time as one read gives.
struct LineReader {
    /// Bytes of one read: a batch of records.
    private static let chunk = 256 << 10
    private var unfinished: [UInt8] = []
    private var isAtEnd = false

    /// The next lines, without their ends; empty if a read finished none. Nil at the end of input.
    mutating func next() throws -> [ArraySlice<UInt8>]? {
        guard !isAtEnd else { return nil }
        var buffer = [UInt8](repeating: 0, count: Self.chunk)
        var count = 0
        repeat { count = read(STDIN_FILENO, &buffer, buffer.count) } while count < 0 && errno == EINTR
        guard count >= 0 else { throw ToolError("Standard input cannot be read: \(String(cString: strerror(errno))).") }
        isAtEnd = count == 0
        unfinished.append(contentsOf: buffer[..<count])
        // The last line may lack its end.
        let last = isAtEnd ? unfinished.endIndex : unfinished.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        let whole = Array(unfinished[..<last])
        unfinished.removeFirst(last)
        var lines = whole.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        // What follows the last line's end is no line.
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }
}
