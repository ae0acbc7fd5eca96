import ArgumentParser
import Client
import Glibc
import Wire

struct ConsumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume", abstract: "Print the records of a topic.",
        discussion: """
            FORMAT is kcat's: %t topic, %p partition, %o offset, %k key, %s value, %h headers, %T timestamp in milliseconds, \
            %K and %S length of key and value in bytes (-1: null), %R the length of the value as four bytes, the most significant first, %% a percent sign; \
            \\n, \\t, \\r, \\0, \\\\ and \\xNN, a byte. With --json a record is a line, whose key, value and headers' values are text; those that are no UTF-8 \
            are told in base 64, as keyBase64 and valueBase64.
            """)

    @Argument(help: "The topic.") var topic: String
    @Option(name: [.customShort("p", allowingJoined: true), .long], help: "Partitions, may be repeated; by default all.") var partition: [Int32] = []
    @Option(
        name: [.customShort("G", allowingJoined: true), .long],
        help: "Read as a member of this consumer group: the partitions that are this member's, from where the group has come to; --offset counts where it has not begun.")
    var group: String?
    @Option(
        name: [.customShort("o", allowingJoined: true), .long], parsing: .unconditional, help: ArgumentHelp("Where to begin: \(LogPlaceArgument.help).", valueName: "place"))
    var offset = LogPlaceArgument(.start)
    @Option(name: [.customShort("n", allowingJoined: true), .long], help: "Records after which to stop.") var count: Int?
    @Flag(name: [.customShort("e"), .long], help: "Stop at the end instead of waiting for more.") var exit = false
    @Option(name: [.customShort("f", allowingJoined: true), .long], help: "How to print a record.") var format: RecordFormat?
    @Flag(help: "Print each record as an object of JSON, in a line.") var json = false
    @OptionGroup var server: ServerOption

    func validate() throws {
        if let count, count < 0 { throw ValidationError("--count must not be negative.") }
        if json, format != nil { throw ValidationError("--format and --json both say how to print a record.") }
        if group?.isEmpty == true { throw ValidationError("--group must not be empty.") }
        if group != nil, !partition.isEmpty { throw ValidationError("--partition can't be named with --group: the group says who reads what.") }
    }

    func run() throws {
        guard let group else {
            let consumer = try Consumer(try server.client(), topic: topic, partitions: partition.isEmpty ? nil : partition, start: offset.place)
            _ = try print(consumer.poll) { consumer.isAtEnd }
            return
        }
        Interruption.take()
        let consumer = try GroupConsumer(try server.client(), group: group, topic: topic, start: offset.place)
        consumer.notice = Output.say
        let isPrinted = try print(consumer.poll) { consumer.isAtEnd }
        try consumer.leave(commits: isPrinted)
    }

    /// Prints what comes until that is enough. False: nobody reads what is printed any more.
    private func print(_ poll: ((Int32, Record) throws -> Bool) throws -> Void, _ isAtEnd: () -> Bool) throws -> Bool {
        var left = count ?? .max
        let format = format ?? RecordFormat("%s\\n")
        // Who reads records in the terminal sees them come.
        var progress = isatty(STDOUT_FILENO) == 1 ? nil : ProgressLine()
        defer { progress?.clear() }
        while left > 0, !Interruption.isAsked {
            var text: [UInt8] = []
            try poll { partition, record in
                if json {
                    RecordLine.append(record, topic: topic, partition: partition, to: &text)
                } else {
                    format.append(record, topic: topic, partition: partition, to: &text)
                }
                left -= 1
                return left > 0
            }
            // A reader that has gone, as head does, has seen enough.
            guard Output.write(text) else { return false }
            progress?.show("\((count ?? .max) - left) records read")
            if exit, isAtEnd() { break }
        }
        return true
    }
}
