/// Kafka's rules for the names of topics.
public enum TopicName {
    /// Bytes.
    public static let maxLength = 249
    /// The topic that brokers keep consumer groups in. Clients may read it, and can't write to it.
    public static let consumerOffsets = "__consumer_offsets"

    /// Whether brokers alone write to the topic of that name, and none of their clients makes or deletes it.
    public static func isInternal(_ name: String) -> Bool { name == consumerOffsets }

    /// Why this is no name for a topic, as the end of a sentence; nil if it is one.
    public static func validate(_ name: String) -> String? {
        let bytes = name.utf8
        if bytes.isEmpty { return "a topic's name must not be empty" }
        if bytes.count > maxLength { return "a topic's name has at most \(maxLength) characters, this one \(bytes.count)" }
        if name == "." || name == ".." { return "a topic's name must not be '.' or '..'" }
        if !bytes.allSatisfy(isAllowed) {
            return "a topic's name consists of ASCII letters, digits, '.', '_' and '-', which '\(name)' does not"
        }
        return nil
    }

    /// Whether the two names differ in nothing but `.` and `_`: in Kafka's metrics they would be the same name.
    public static func collides(_ name: String, _ other: String) -> Bool {
        name != other && name.utf8.count == other.utf8.count
            && zip(name.utf8, other.utf8).allSatisfy { unified($0) == unified($1) }
    }

    private static func unified(_ byte: UInt8) -> UInt8 {
        byte == UInt8(ascii: ".") ? UInt8(ascii: "_") : byte
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
