import ArgumentParser
import Glibc
import IO
import Journal
import Metadata

/// `hutong journal`: looks at the journals of a data directory.
struct JournalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "journal", abstract: "Look at the journals of a data directory. Nothing is changed.",
        discussion: """
            Meant for the directory of a broker that has stopped: while one runs, what is being written may look damaged.
            """,
        subcommands: [Inspect.self, Verify.self, ExplainRecovery.self])

    struct Directory: ParsableArguments {
        @Argument(help: "The data directory.")
        var directory: String

        @Option(name: .long, help: "Only this partition group.")
        var group: UInt16?

        /// Shows each group's findings; exits with 1 where something is wrong.
        func examine(_ look: (JournalExaminer) throws -> JournalExaminer.Findings) {
            var problems = 0
            do {
                let ring = try RingSet(.auto, count: 1).rings[0]
                ring.attach()
                let blocking = BlockingFiles(files: ring.makePort(), source: ring)
                let state = try EmbeddedStore.read(directory: directory, blocking: blocking)
                for (number, journal) in state.journals.sorted(by: { $0.key < $1.key }) where group == nil || group == number {
                    let starts = (state.epochs[number] ?? []).map { EpochHistory.Start(epoch: $0.epoch, position: $0.position) }
                    let examiner = try JournalExaminer(
                        JournalIdentity(group: number, key: journal.key), directory: JournalPaths.directory(in: directory, group: number),
                        epochs: EpochHistory(starts), blocking: blocking)
                    let findings = try look(examiner)
                    for line in findings.lines { print(line) }
                    problems += findings.problems
                }
            } catch {
                Output.say("\(error)")
                Glibc.exit(2)
            }
            if problems > 0 {
                print("\(problems) problems")
                Glibc.exit(1)
            }
        }
    }

    struct Inspect: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "inspect", abstract: "What is there: segments, epochs, archives and, where asked for, frames.")

        @OptionGroup var directory: Directory

        @Option(name: .long, help: "How many frames to list.")
        var frames = 0

        @Option(name: .long, help: "List frames from this position on.")
        var from: UInt64 = 0

        @Option(name: .long, help: "Only this partition number (of the group, not of the topic).")
        var partition: UInt32?

        func run() { directory.examine { try $0.inspect(frames: frames, from: from, partition: partition) } }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "verify", abstract: "Read everything, and check every frame, index, catalog and checkpoint. Exit code 1: damage.")

        @OptionGroup var directory: Directory

        func run() {
            directory.examine { examiner in
                var progress = ProgressLine()
                defer { progress.clear() }
                return try examiner.verify { read, of in progress.show("\(read >> 20) of \(of >> 20) MiB read") }
            }
        }
    }

    struct ExplainRecovery: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "explain-recovery", abstract: "What the next start would do about the journal, and why.")

        @OptionGroup var directory: Directory

        func run() { directory.examine { try $0.explainRecovery() } }
    }
}
