import ArgumentParser
import Foundation
import Glibc
import TestSupport

/// Feeds every decoder of what comes from outside (sockets, files, compressed data) with inputs that are nearly right, and with
/// noise. A trap ends the run and names the input; so does a property that does not hold. The same seed makes the same inputs.
@main
struct Fuzz: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fuzz", abstract: "Feed the decoders with damaged inputs and noise.")

    @Option(help: "A target's name, or the beginning of several names; all: every one.") var target = "all"
    @Option(help: "How many inputs, over all targets.") var inputs = 100_000
    @Option(help: "Where the random numbers begin.") var seed: UInt64 = 1
    @Option(help: "The number of the first input of each target: to run one again that was named.") var from = 0
    @Flag(help: "Print the targets' names.") var list = false

    func run() throws {
        let targets = try allTargets().filter { target == "all" || $0.name.hasPrefix(target) }
        guard !targets.isEmpty, inputs > 0 else { throw ValidationError("no target is called \(target); --list names them") }
        if list { return print(targets.map(\.name).joined(separator: "\n")) }
        LastWords.install(seed: seed)
        let weights = targets.reduce(0) { $0 + $1.weight }
        let start = Date()
        var total = 0
        for target in targets {
            let count = target === targets.last ? max(1, inputs - total) : max(1, inputs * target.weight / weights)
            let began = Date()
            let accepted = try run(target, count)
            total += count
            let seconds = Date().timeIntervalSince(began)
            print(
                "\(target.name): \(count) inputs, \(accepted) accepted, \(Int(seconds * 1e9) / count) ns each")
        }
        let seconds = Int(Date().timeIntervalSince(start).rounded())
        print("fuzz: \(targets.count) targets, \(total) inputs, seed \(seed), \(seconds) s: 0 findings")
    }

    /// Returns how many of the inputs the decoder took for good ones.
    private func run(_ target: FuzzTarget, _ count: Int) throws -> Int {
        var accepted = 0
        LastWords.name(target.name)
        for number in from..<from + count {
            LastWords.number(number)
            let input = target.input(number: number, seed: seed)
            do {
                if try GuardedInput.with(input, target.check) { accepted += 1 }
            } catch let finding as Finding {
                let hex = input.map { String(format: "%02x", $0) }.joined()
                print("\(target.name): input \(number) of seed \(seed): \(finding.what)\n\(hex)")
                throw ExitCode.failure
            }
        }
        return accepted
    }
}

/// A property that does not hold.
struct Finding: Error {
    let what: String

    init(_ what: String) { self.what = what }

    /// Throws unless it holds.
    static func unless(_ holds: Bool, _ what: @autoclosure () -> String) throws {
        if !holds { throw Finding(what()) }
    }
}

/// The input at the end of memory of just its size, so that the address sanitizer sees whoever reads beyond it, or before.
enum GuardedInput {
    static func with<Result>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        let memory = malloc(bytes.count)!
        defer { free(memory) }
        bytes.withUnsafeBytes { if let base = $0.baseAddress { memory.copyMemory(from: base, byteCount: $0.count) } }
        return try body(UnsafeRawBufferPointer(start: memory, count: bytes.count))
    }
}

/// Says which input it was when the process traps. A signal handler may only write what is there, so it is kept ready.
enum LastWords {
    nonisolated(unsafe) private static let text = UnsafeMutablePointer<CChar>.allocate(capacity: 256)
    nonisolated(unsafe) private static var seed: UInt64 = 0
    nonisolated(unsafe) private static let current = UnsafeMutablePointer<CChar>.allocate(capacity: 128)

    static func install(seed: UInt64) {
        LastWords.seed = seed
        for code in [SIGILL, SIGTRAP, SIGABRT, SIGFPE] {
            signal(code) { code in
                _ = write(2, LastWords.text, strlen(LastWords.text))
                signal(code, SIG_DFL)
                raise(code)
            }
        }
    }

    static func name(_ name: String) { withVaList([]) { _ = vsnprintf(current, 128, name, $0) } }

    static func number(_ number: Int) {
        withVaList([current, number, seed]) { _ = vsnprintf(text, 256, "\nfuzz: %s: input %ld of seed %lu\n", $0) }
    }
}
