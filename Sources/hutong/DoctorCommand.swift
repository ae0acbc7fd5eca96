import ArgumentParser
import Bench
import Doctor
import Foundation
import Settings

/// `hutong doctor`: whether a host is right for a broker.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Say whether this host is right for a broker, and how to mend what is not.",
        discussion: """
            Settings are read as `hutong serve` reads them. Durable writes are measured for a second in the data directory, or where it would be made, with a \
            file that is removed again. Exits with 1 where a broker would not run, or not keep its promises; with --strict, where anything costs speed.
            """)

    @Option(name: .long, help: "A YAML file of settings.") var config: String?
    @Option(name: .long, help: "The data directory, where it is not the settings'.") var dataDir: String?
    @Option(name: .long, help: ArgumentHelp("Judge the host that a JSON file describes, as --facts-only prints one.", valueName: "file")) var facts: String?
    @Flag(name: .long, help: "Print what was found of the host as JSON, without a judgement.") var factsOnly = false
    @Flag(name: .long, help: "Do not measure durable writes.") var noMeasure = false
    @Flag(name: .long, help: "Exit with 1 for warnings too.") var strict = false
    @Flag(name: .long, help: "Print JSON.") var json = false

    private struct Report: Encodable {
        let severity: Finding.Severity
        let findings: [Finding]
    }

    func run() throws {
        let environment = ProcessInfo.processInfo.environment
        let settings: Settings
        do { settings = try Settings.load(file: config ?? environment[Settings.fileVariable], environment: environment, flags: []) } catch {
            throw ValidationError("\(error)")
        }
        let facts = try gathered(settings)
        guard !factsOnly else { return print(try Output.json(facts), terminator: "") }
        let groups = settings.partitionGroups ?? (settings.etcdEndpoints == nil ? 1 : 8)
        let examination = Examination(
            facts,
            Examination.Wishes(
                cacheBytes: UInt64(settings.journalSegmentBytes * settings.journalCacheSegments * groups), locksMemory: settings.memoryLock,
                connections: settings.maxConnections, reserveBytes: UInt64(settings.diskReserveBytes)))
        if json {
            print(try Output.json(Report(severity: examination.severity, findings: examination.findings)), terminator: "")
        } else {
            show(examination)
        }
        if examination.severity == .error || strict && examination.severity == .warning { throw ExitCode(1) }
    }

    private func gathered(_ settings: Settings) throws -> HostFacts {
        if let facts {
            do { return try JSONDecoder().decode(HostFacts.self, from: Data(contentsOf: URL(fileURLWithPath: facts))) } catch {
                throw ToolError("\(facts) does not describe a host: \(error)")
            }
        }
        var measure: ((String) throws -> HostFacts.Durability)?
        if !noMeasure { measure = { try DoctorCommand.measure($0) } }
        return HostFacts.gather(dataDirectory: dataDir ?? settings.dataDir, measure: measure)
    }

    /// A second of durable writes.
    private static func measure(_ directory: String) throws -> HostFacts.Durability {
        let figure = try DriveCeiling(directory: directory, sizes: [4096], seconds: 1).figures[0]
        func microseconds(_ share: Double) -> Double { Double(figure.latencies.percentile(share)) / 1000 }
        return HostFacts.Durability(writes: figure.writes, medianMicroseconds: microseconds(50), p99Microseconds: microseconds(99))
    }

    private func show(_ examination: Examination) {
        let marks: [Finding.Severity: String] = [.ok: "ok", .note: "note", .warning: "WARNING", .error: "ERROR"]
        let rows = examination.findings.map { [marks[$0.severity] ?? "", $0.condition, $0.found, $0.wanted] }
        print(Output.table(["", "CONDITION", "FOUND", "WANTED"], rows))
        for finding in examination.findings.sorted(by: { $0.severity > $1.severity }) {
            guard let remedy = finding.remedy else { continue }
            print("\(marks[finding.severity] ?? ""): \(finding.condition): \(remedy)")
        }
        switch examination.severity {
        case .ok, .note: print("This host is right for a broker.")
        case .warning: print("A broker runs here and keeps its promises; what is marked costs speed, or is a risk.")
        case .error: print("This host is not right for a broker: see what is marked ERROR.")
        }
    }
}

/// `hutong tune`: changes a host for a broker.
struct TuneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tune", abstract: "Set this host's kernel as a broker wants it; --dry-run only says what would be done, and how to undo it.",
        discussion: "None of it outlives a restart of the host. What is printed to undo it are commands for a shell.")

    @Flag(name: .long, help: "Change nothing.") var dryRun = false
    @Option(name: .long, help: "The broker's data directory; by default the settings'.") var dataDir: String?
    @Flag(name: .long, help: "Print JSON.") var json = false

    private struct Report: Encodable {
        let steps: [TuningStep]
        let advice: [String]
        let isDone: Bool
    }

    func run() throws {
        let environment = ProcessInfo.processInfo.environment
        let settings = try? Settings.load(file: environment[Settings.fileVariable], environment: environment, flags: [])
        let facts = HostFacts.gather(dataDirectory: dataDir ?? settings?.dataDir ?? Settings().dataDir, measure: nil)
        let plan = TuningPlan(facts) { TuneCommand.read($0) }
        if !dryRun { for step in plan.steps { try TuneCommand.write(step) } }
        if json { return print(try Output.json(Report(steps: plan.steps, advice: plan.advice, isDone: !dryRun)), terminator: "") }
        guard !plan.steps.isEmpty || !plan.advice.isEmpty else { return print("There is nothing to change.") }
        for step in plan.steps { print("# \(step.what): \(step.before) -> \(step.after), so that \(step.why)\n\(step.change)") }
        if !plan.steps.isEmpty {
            print("\n# \(dryRun ? "Nothing was changed. To undo it, it would be" : "Done. To undo it"):")
            for step in plan.steps { print(step.undo) }
        }
        if !plan.advice.isEmpty { print("\n# Not to be changed from here:") }
        for line in plan.advice { print("# \(line)") }
    }

    private static func read(_ path: String) -> String? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        let whole = text.trimmingCharacters(in: .whitespacesAndNewlines)
        return whole.split(separator: " ").first { $0.hasPrefix("[") }.map { String($0.dropFirst().dropLast()) } ?? whole
    }

    private static func write(_ step: TuningStep) throws {
        guard let file = fopen(step.file, "w") else { throw ToolError("\(step.file) can't be written to: \(String(cString: strerror(errno))). Run it as root.") }
        let isWritten = fputs(step.after, file) >= 0
        guard fclose(file) == 0, isWritten else { throw ToolError("\(step.file) does not take '\(step.after)': \(String(cString: strerror(errno))).") }
    }
}
