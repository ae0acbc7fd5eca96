/// One setting: its name, its default, what it may be, what it means.
public struct Setting: Sendable {
    public let key: String
    /// Further keys under which it is taken.
    public let aliases: [String]
    /// The default, as one would write it.
    public let defaultText: String
    /// What it may be, to follow "must be".
    public let expected: String
    /// What it means, in sentences.
    public let doc: String
    /// What kind of value it has.
    public let type: SettingType
    /// What it is, as programs read it: a size in bytes, without a unit.
    public let plainText: @Sendable (Settings) -> String
    /// Sets it from text; answers whether the text was one it may be.
    let apply: @Sendable (inout Settings, String) -> Bool

    init<Value: Sendable>(
        _ key: String, aliases: [String] = [], _ path: WritableKeyPath<Settings, Value> & Sendable, _ kind: Kind<Value>,
        _ doc: String
    ) {
        self.key = key
        self.aliases = aliases
        self.doc = doc
        expected = kind.expected
        type = kind.type
        plainText = { (kind.plain ?? kind.write)($0[keyPath: path]) }
        defaultText = kind.write(Settings()[keyPath: path])
        apply = { settings, text in
            guard let value = kind.read(text) else { return false }
            settings[keyPath: path] = value
            return true
        }
    }

    /// The variable of the environment for one of its keys: `HUTONG_NUM_PARTITIONS` for `num.partitions`.
    static func variable(_ key: String) -> String {
        Settings.variablePrefix + key.uppercased().map { $0 == "." ? "_" : String($0) }.joined()
    }
}

/// What kind of value a setting has.
public enum SettingType: Sendable {
    case text
    case boolean
    case number
}

/// How text becomes a value, and back.
struct Kind<Value: Sendable>: Sendable {
    var type = SettingType.text
    /// To follow "must be".
    let expected: String
    let read: @Sendable (String) -> Value?
    let write: @Sendable (Value) -> String
    /// As `write`, without units; nil: there are none.
    var plain: (@Sendable (Value) -> String)?
}

extension Kind where Value == String {
    static var text: Kind {
        Kind(expected: "a text that is not empty", read: { $0.isEmpty ? nil : $0 }, write: { $0 })
    }
}

extension Kind where Value == Bool {
    static var boolean: Kind {
        Kind(
            type: .boolean, expected: "true or false",
            read: { ["true": true, "false": false][$0.lowercased()] },
            write: { $0 ? "true" : "false" })
    }
}

extension Kind where Value == Int {
    static func integer(_ range: ClosedRange<Int>) -> Kind {
        Kind(
            type: .number, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
            read: { text in Int(text).flatMap { range.contains($0) ? $0 : nil } },
            write: { "\($0)" })
    }

    /// Bytes, with or without a unit.
    static func size(_ range: ClosedRange<Int>) -> Kind {
        Kind(
            type: .number, expected: "a number of bytes from \(Size.text(range.lowerBound)) to \(Size.text(range.upperBound)), "
                + "which may end in KiB, MiB or GiB",
            read: { text in Size.read(text).flatMap { range.contains($0) ? $0 : nil } },
            write: Size.text, plain: { "\($0)" })
    }
}

extension Kind where Value == Double {
    static var share: Kind {
        Kind(
            type: .number, expected: "a number from 0 to 1", read: { text in Double(text).flatMap { (0...1).contains($0) ? $0 : nil } },
            write: { "\($0)" })
    }
}

extension Kind where Value == HostPort {
    static var address: Kind {
        Kind(
            expected: "host:port, an IPv6 address in brackets, e.g. 127.0.0.1:9092",
            read: { HostPort($0) },
            write: { $0.description })
    }
}

extension Kind where Value == WedgedStages {
    static var wedge: Kind {
        Kind(
            expected: "one of \(WedgedStages.kinds.joined(separator: ", ")), perhaps with seconds and the word hang behind it, e.g. flush:5 or flush:5:hang",
            read: { WedgedStages($0) }, write: { $0.description })
    }
}

extension Kind where Value: RawRepresentable<String> & CaseIterable {
    static func choice() -> Kind {
        Kind(
            expected: "one of " + Value.allCases.map(\.rawValue).joined(separator: ", "),
            read: { Value(rawValue: $0.lowercased()) },
            write: { $0.rawValue })
    }
}

extension Kind {
    /// A value, or the word `none` for nil.
    static func optional<Wrapped>(_ kind: Kind<Wrapped>, none: String) -> Kind where Value == Wrapped? {
        Kind(
            expected: "'\(none)' or \(kind.expected)",
            read: { text in text == none ? .some(nil) : kind.read(text).map { .some($0) } },
            write: { $0.map(kind.write) ?? none })
    }
}

/// Bytes with binary units.
enum Size {
    private static let units: [(suffix: String, bytes: Int)] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]

    /// Nil if this is no number of bytes, or too large a one.
    static func read(_ text: String) -> Int? {
        for (suffix, bytes) in units where text.lowercased().hasSuffix(suffix.lowercased()) {
            let number = text.dropLast(suffix.count)
            guard let count = Int(number.last == " " ? number.dropLast() : number) else { return nil }
            let (size, overflow) = count.multipliedReportingOverflow(by: bytes)
            return overflow ? nil : size
        }
        return Int(text)
    }

    /// With the largest unit that leaves a whole number.
    static func text(_ size: Int) -> String {
        for (suffix, bytes) in units where size >= bytes && size % bytes == 0 {
            return "\(size / bytes)\(suffix)"
        }
        return "\(size)"
    }
}
