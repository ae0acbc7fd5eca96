import ArgumentParser

/// `hutong bench`: loads whose every answer is checked.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure a broker, and what it stands on: the drive, the transport.",
        subcommands: [BenchProduce.self, BenchNull.self])
}
