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
    @Option(name: .shortAndLong, help: "Where to begin: start, end or an offset.") var offset = Start(.earliest)
    @Option(name: [.customShort("n"), .long], help: "Records after which to stop.") var count: Int?
    @Flag(name: [.customShort("e"), .long], help: "Stop at the end instead of waiting for more.") var exit = false
    @Option(name: .shortAndLong, help: "How to print a record.") var format = RecordFormat("%s\\n")
    @OptionGroup var server: ServerOption

    struct Start: ExpressibleByArgument, CustomStringConvertible {
        let start: Consumer.Start

        init(_ start: Consumer.Start) { self.start = start }

        init?(argument: String) {
            switch argument {
            case "start", "beginning": start = .earliest
            case "end": start = .latest
            default:
                guard let offset = Int64(argument), offset >= 0 else { return nil }
                start = .offset(offset)
            }
        }

        var description: String {
            switch start {
            case .earliest: "start"
            case .latest: "end"
            case .offset(let offset): "\(offset)"
            }
        }
    }

    func validate() throws {
        if let count, count < 0 { throw ValidationError("--count must not be negative.") }
    }

    func run() throws {
        let consumer = try Consumer(
            try server.client(), topic: topic, partitions: partition.isEmpty ? nil : partition, start: offset.start)
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
