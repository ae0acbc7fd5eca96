import ArgumentParser
import Client
import Glibc
import Wire

struct ConsumeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consume", abstract: "Print the records of a topic.",
        discussion: """
            FORMAT is kcat's: %t topic, %p partition, %o offset, %k key, %s value, %h headers, %T timestamp in milliseconds, \
            %K and %S length of key and value in bytes (-1: null), %% a percent sign; \\n, \\t, \\r, \\0 and \\\\.
            """)

    @Argument(help: "The topic.") var topic: String
    @Option(name: .shortAndLong, help: "Partitions, may be repeated; by default all.") var partition: [Int32] = []
    @Option(
        name: [.customShort("G"), .long],
        help: "Read as a member of this consumer group: the partitions that are this member's, from where the group has come to; --offset counts where it has not begun.")
    var group: String?
    @Option(name: .shortAndLong, parsing: .unconditional, help: ArgumentHelp("Where to begin: \(LogPlaceArgument.help).", valueName: "place"))
    var offset = LogPlaceArgument(.start)
    @Option(name: [.customShort("n"), .long], help: "Records after which to stop.") var count: Int?
    @Flag(name: [.customShort("e"), .long], help: "Stop at the end instead of waiting for more.") var exit = false
    @Option(name: .shortAndLong, help: "How to print a record.") var format = RecordFormat("%s\\n")
    @OptionGroup var server: ServerOption

    func validate() throws {
        if let count, count < 0 { throw ValidationError("--count must not be negative.") }
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
        let isPrinted = try print(consumer.poll) { consumer.isAtEnd }
        try consumer.leave(commits: isPrinted)
    }

    /// Prints what comes until that is enough. False: nobody reads what is printed any more.
    private func print(_ poll: ((Int32, Record) throws -> Bool) throws -> Void, _ isAtEnd: () -> Bool) throws -> Bool {
        var left = count ?? .max
        // Who reads records in the terminal sees them come.
        var progress = isatty(STDOUT_FILENO) == 1 ? nil : ProgressLine()
        defer { progress?.clear() }
        while left > 0, !Interruption.isAsked {
            var text: [UInt8] = []
            try poll { partition, record in
                format.append(record, topic: topic, partition: partition, to: &text)
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
