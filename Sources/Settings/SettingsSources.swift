import Foundation
import Yams

/// Why the settings cannot be used. All that is wrong is said at once.
public struct SettingsError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Sentences, each naming the source, the key, what was wrong and what to do.
    public let problems: [String]

    public var description: String { problems.joined(separator: "\n") }
}

extension Settings {
    /// What variables of the environment begin with that are settings.
    static let variablePrefix = "HUTONG_"
    /// The variable that names the configuration file. It is no setting, and read by whoever calls ``load(file:environment:flags:)``.
    public static let fileVariable = "HUTONG_CONFIG"

    /// The settings from a YAML file, overridden by the environment, overridden by flags.
    ///
    /// - Parameters:
    ///   - file: the path of a YAML file of settings, keys with dots or nested; nil for none.
    ///   - environment: of which the variables that begin with `HUTONG_` are settings, and those that begin with `KAFKA_` where they are settings of ours too.
    ///   - flags: keys and values, in the order in which they were given; the last of a key counts.
    public static func load(
        file: String?, environment: [String: String], flags: [(key: String, value: String)]
    ) throws(SettingsError) -> Settings {
        guard let file else { return try load(yaml: nil, environment: environment, flags: flags) }
        let text: String
        do { text = try String(contentsOfFile: file, encoding: .utf8) } catch {
            throw SettingsError(problems: ["The configuration file \(file) cannot be read: \(error.localizedDescription)"])
        }
        return try load(yaml: text, named: file, environment: environment, flags: flags)
    }

    /// As ``load(file:environment:flags:)``, with the file's text; `named` is what errors call it.
    public static func load(
        yaml: String?, named: String = "hutong.yaml", environment: [String: String] = [:],
        flags: [(key: String, value: String)] = []
    ) throws(SettingsError) -> Settings {
        var reader = SettingsReader()
        if let yaml { reader.read(yaml: yaml, named: named) }
        reader.read(environment: environment)
        reader.read(flags: flags)
        if reader.problems.isEmpty { reader.problems = reader.settings.conflicts() }
        guard reader.problems.isEmpty else { throw SettingsError(problems: reader.problems) }
        return reader.settings
    }

    /// A configuration file that changes nothing: every setting with what it means and what it may be, its default commented out.
    /// - Parameter given: keys and values that are set, for a file that is installed.
    public static func sample(given: [String: String] = [:]) -> String {
        var lines = [
            "# Settings of hutong serve. What is commented out is the default; a variable of the environment (HUTONG_NUM_PARTITIONS for", "# num.partitions) overrides what stands here, a flag overrides both. `hutong config check FILE` says what is wrong with it.",
        ]
        for setting in all {
            lines.append("")
            lines += wrapped(setting.doc + " It must be \(setting.expected).", width: 118).map { "# " + $0 }
            if let value = given[setting.key] { lines.append("\(setting.key): \(value)") } else { lines.append("# \(setting.key): \(setting.defaultText)") }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func wrapped(_ text: String, width: Int) -> [String] {
        var lines = [""]
        for word in text.split(separator: " ") {
            if !lines[lines.count - 1].isEmpty, lines[lines.count - 1].count + word.count >= width { lines.append("") }
            lines[lines.count - 1] += (lines[lines.count - 1].isEmpty ? "" : " ") + word
        }
        return lines
    }

    /// All settings with their defaults, for the documentation: a table in Markdown.
    public static func describe() -> String {
        var lines = ["| setting | default | may be | meaning |", "|---|---|---|---|"]
        for setting in all {
            let keys = ([setting.key] + setting.aliases).map { "`\($0)`" }.joined(separator: ", ")
            lines.append("| \(keys) | \(setting.defaultText) | \(setting.expected) | \(setting.doc) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

/// Takes settings from one source after the other, and collects what is wrong with them.
private struct SettingsReader {
    var settings = Settings()
    var problems: [String] = []

    private static let byKey: [String: Setting] = Dictionary(
        uniqueKeysWithValues: Settings.all.flatMap { setting in
            ([setting.key] + setting.aliases).map { ($0, setting) }
        })

    mutating func read(yaml: String, named name: String) {
        let root: Node?
        do { root = try Yams.compose(yaml: yaml) } catch {
            problems.append("\(name) is not YAML: \(error)")
            return
        }
        guard let root, root.null == nil else { return }
        guard case .mapping = root else {
            problems.append("\(name) must be a map of settings to values.")
            return
        }
        var seen: Set<String> = []
        read(root, prefix: "", named: name, seen: &seen)
    }

    private mutating func read(_ node: Node, prefix: String, named name: String, seen: inout Set<String>) {
        let place = node.mark.map { "\(name), line \($0.line)" } ?? name
        switch node {
        case .mapping(let mapping):
            for (key, value) in mapping {
                guard let part = key.scalar?.string else {
                    problems.append("\(place): a key must be a word.")
                    continue
                }
                read(value, prefix: prefix.isEmpty ? part : "\(prefix).\(part)", named: name, seen: &seen)
            }
        case .scalar(let scalar):
            guard let setting = find(prefix, place: place) else { return }
            guard seen.insert(setting.key).inserted else {
                problems.append("\(place): \(prefix) is set twice. Keep one.")
                return
            }
            // A key without a value is null in YAML, and surely not meant as an empty text.
            set(setting, node.null != nil ? "" : scalar.string, named: prefix, place: place)
        default:
            problems.append("\(place): \(prefix) must be a single value.")
        }
    }

    /// What Kafka's images take; our own variables count more.
    private mutating func readKafkas(_ environment: [String: String]) {
        let taken = KafkaEnvironment.take(environment, keys: Set(Self.byKey.keys))
        settings.notes += taken.ignored
        problems += taken.problems
        for (variable, key, value) in taken.settings {
            guard let setting = Self.byKey[key] else { continue }
            set(setting, value, named: variable, place: "The environment")
        }
    }

    mutating func read(environment: [String: String]) {
        readKafkas(environment)
        let byVariable = Dictionary(uniqueKeysWithValues: Self.byKey.map { (Setting.variable($0), $1) })
        var seen: Set<String> = []
        for (variable, value) in environment.sorted(by: { $0.key < $1.key }) {
            guard variable.hasPrefix(Settings.variablePrefix), variable != Settings.fileVariable else { continue }
            guard let setting = byVariable[variable] else {
                let nearest = nearest(to: variable, among: byVariable.keys)
                problems.append("The environment: \(variable) is no setting. Did you mean \(nearest)?")
                continue
            }
            guard seen.insert(setting.key).inserted else {
                problems.append("The environment: \(variable) sets \(setting.key) a second time. Keep one.")
                continue
            }
            set(setting, value, named: variable, place: "The environment")
        }
    }

    mutating func read(flags: [(key: String, value: String)]) {
        for (key, value) in flags {
            guard let setting = find(key, place: "The command line") else { continue }
            set(setting, value, named: key, place: "The command line")
        }
    }

    private mutating func find(_ key: String, place: String) -> Setting? {
        if let setting = Self.byKey[key] { return setting }
        problems.append("\(place): \(key) is no setting. Did you mean \(nearest(to: key, among: Self.byKey.keys))?")
        return nil
    }

    private mutating func set(_ setting: Setting, _ value: String, named name: String, place: String) {
        guard !setting.apply(&settings, value) else { return }
        problems.append("\(place): \(name) is '\(value)', but must be \(setting.expected).")
    }

    private func nearest(to key: String, among keys: some Collection<String>) -> String {
        keys.sorted().min { editDistance($0, key) < editDistance($1, key) } ?? ""
    }
}

/// The least number of characters to insert, delete or replace that makes one text of the other (Levenshtein 1965).
func editDistance(_ from: String, _ to: String) -> Int {
    let target = Array(to)
    var row = Array(0...target.count)
    for (i, character) in from.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for j in target.indices {
            let replaced = diagonal + (target[j] == character ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, row[j] + 1, row[j + 1] + 1)
        }
    }
    return row[target.count]
}
