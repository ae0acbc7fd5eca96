import ArgumentParser
import Client
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
    @Option(name: .shortAndLong, parsing: .unconditional, help: ArgumentHelp("Where to begin: \(LogPlaceArgument.help).", valueName: "place"))
    var offset = LogPlaceArgument(.start)
    @Option(name: [.customShort("n"), .long], help: "Records after which to stop.") var count: Int?
    @Flag(name: [.customShort("e"), .long], help: "Stop at the end instead of waiting for more.") var exit = false
    @Option(name: .shortAndLong, help: "How to print a record.") var format = RecordFormat("%s\\n")
    @OptionGroup var server: ServerOption

    func validate() throws {
        if let count, count < 0 { throw ValidationError("--count must not be negative.") }
    }

    func run() throws {
        let consumer = try Consumer(
            try server.client(), topic: topic, partitions: partition.isEmpty ? nil : partition, start: offset.place)
        var left = count ?? .max
        while left > 0 {
            var text: [UInt8] = []
            try consumer.poll { partition, record in
                format.append(record, topic: topic, partition: partition, to: &text)
                left -= 1
                return left > 0
            }
            // A reader that has gone, as head does, has seen enough.
            guard Output.write(text), !(exit && consumer.isAtEnd) else { return }
        }
    }
}
