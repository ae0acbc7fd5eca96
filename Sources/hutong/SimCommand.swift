import ArgumentParser
import Foundation
import Glibc
import Simulator

/// `hutong sim`: a whole broker in one thread, on a simulated disk, network and clock that go wrong, from a seed.
struct SimCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sim", abstract: "Run a whole broker on a simulated disk, network and clock, with faults, from a seed.",
        discussion: """
            After each of its lives everything that was ever acknowledged is held against what can be read. A seed that fails \
            prints its story, and does the same again whenever it is run. Exit code 1: a seed has failed, or, of a hundred or more, \
            none has met some kind of fault.
            """)

    @Option(name: .long, help: "The first seed.")
    var seed: UInt64 = 1

    @Option(name: .long, help: "How many seeds, from the first on.")
    var seeds: UInt64 = 1

    @Option(name: .long, help: "How many records each seed has to see acknowledged durably.")
    var steps = 2000

    @Option(name: .long, help: "How many lives each seed's broker has, at least.")
    var lives = 12

    @Flag(name: .long, help: "Stop at the first seed that fails.")
    var stop = false

    @Flag(name: .long, help: "Print each seed's story, also where nothing failed.")
    var verbose = false

    @Option(name: .long, help: "Instead of a whole broker: so many replicas of one journal, on a model of disk, network and metadata store.")
    var replicas: Int?

    @Option(name: .long, help: "Instead of one broker: a cluster of so many whole brokers, and a store that they share.")
    var brokers: Int?

    @Option(name: .long, help: "With --brokers: how many epochs have to be begun by leaders.")
    var elections = 5

    @Flag(name: .long, help: "With --brokers: the story tells what the brokers log as well.")
    var logs = false

    @Option(name: .long, help: "Leave in this directory what was on the last seed's disk at its end, for `hutong journal`.")
    var keep: String?

    func run() throws {
        SimCommand.makeHashingDeterministic()
        if let brokers { return try runCluster(brokers) }
        guard let replicas else {
            return try run(faults: Simulation.faults) { seed, isKept in
                let simulation = Simulation(SimulationOptions(seed: seed, commits: steps, lives: lives))
                let report = simulation.run()
                if let keep, isKept(report.failure) { try SimCommand.write(simulation.files, to: keep) }
                return Outcome(commits: report.commits, counts: report.counts, failure: report.failure, transcript: report.transcript)
            }
        }
        guard (1...9).contains(replicas), keep == nil else { throw ValidationError("--replicas: from 1 to 9, and without --keep") }
        try run(faults: ReplicaSimulation.faults) { seed, _ in
            let report = ReplicaSimulation(seed: seed, brokers: replicas).run(steps: 10 * steps)
            let counts = report.counts.merging(["elections": report.elections]) { $0 + $1 }
            return Outcome(commits: report.commits, counts: counts, failure: report.failure, transcript: report.transcript)
        }
    }

    private func runCluster(_ brokers: Int) throws {
        guard (1...9).contains(brokers), keep == nil, replicas == nil else {
            throw ValidationError("--brokers: from 1 to 9, and without --keep and --replicas")
        }
        try run(faults: ClusterSimulation.faults) { seed, _ in
            let report = ClusterSimulation(ClusterOptions(seed: seed, brokers: brokers, commits: steps, elections: elections, tellsLogs: logs)).run()
            return Outcome(commits: report.commits, counts: report.counts, failure: report.failure, transcript: report.transcript)
        }
    }

    /// What has come of one seed.
    private struct Outcome {
        var commits: Int
        var counts: [String: Int]
        var failure: String?
        var transcript: [String]
    }

    /// - Parameters:
    ///   - faults: what must have come to pass among many seeds.
    ///   - simulate: does a seed; it may ask whether that was the last, given its failure.
    private func run(faults: [String], simulate: (UInt64, (String?) -> Bool) throws -> Outcome) throws {
        var counts: [String: Int] = [:]
        var commits = 0
        var failed = 0
        var done: UInt64 = 0
        let began = Date()
        for seed in seed..<seed + seeds {
            done += 1
            let outcome = try simulate(seed) { failure in done == seeds || stop && failure != nil }
            counts.merge(outcome.counts) { $0 + $1 }
            commits += outcome.commits
            if let failure = outcome.failure {
                failed += 1
                Output.say("seed \(seed) FAILED: \(failure)")
            }
            if verbose || outcome.failure != nil { for line in outcome.transcript { print(line) } }
            if stop && failed > 0 { break }
            if (seed &+ 1) % 500 == 0 { Output.say("seed \(seed): \(failed) failed so far") }
        }
        for (what, count) in counts.sorted(by: { $0.key < $1.key }) { print("\(what): \(count)") }
        let seconds = String(format: "%.1f", Date().timeIntervalSince(began))
        print("\(done) seeds, \(commits) commits, \(counts["crash"] ?? 0) crashes, \(failed) failed, \(seconds) s")
        let missing = done < SimCommand.enoughSeeds ? [] : faults.filter { counts[$0, default: 0] == 0 }
        if !missing.isEmpty { Output.say("these faults never came to pass, so nothing is known of them: \(missing.joined(separator: ", "))") }
        if failed > 0 || !missing.isEmpty { Glibc.exit(1) }
    }

    private static func write(_ files: [(path: String, bytes: [UInt8])], to directory: String) throws {
        for (path, bytes) in files {
            let url = URL(fileURLWithPath: directory + path)
            try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(bytes).write(to: url)
        }
    }

    /// Among so many seeds every kind of fault must come to pass.
    private static let enoughSeeds: UInt64 = 100

    /// Swift's dictionaries have another order in each process, unless the environment says so from the start.
    private static func makeHashingDeterministic() {
        guard getenv("SWIFT_DETERMINISTIC_HASHING") == nil else { return }
        setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv("/proc/self/exe", arguments)
        Output.say("can't run again with deterministic hashing: seeds may not reproduce exactly")
    }
}
