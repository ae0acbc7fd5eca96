import Foundation
import Wire

/// A record as an object of JSON in a line (RFC 8259), written by hand: there may be millions of them.
enum RecordLine {
    static func append(_ record: Record, topic: String, partition: Int32, to text: inout [UInt8]) {
        append("{\"topic\":", to: &text)
        appendQuoted(topic.utf8, to: &text)
        append(",\"partition\":\(partition),\"offset\":\(record.offset),\"timestamp\":\(record.timestamp)", to: &text)
        append(",", to: &text)
        append("key", record.key, to: &text)
        append(",", to: &text)
        append("value", record.value, to: &text)
        append(",\"headers\":[", to: &text)
        for (place, header) in record.headers.enumerated() {
            append(place == 0 ? "{\"key\":" : ",{\"key\":", to: &text)
            appendQuoted(header.key.utf8, to: &text)
            append(",", to: &text)
            append("value", header.value, to: &text)
            append("}", to: &text)
        }
        append("]}\n", to: &text)
    }

    private static func append(_ plain: String, to text: inout [UInt8]) { text.append(contentsOf: plain.utf8) }

    /// What is no text is told in base 64, under a name that says so.
    private static func append(_ name: String, _ bytes: [UInt8]?, to text: inout [UInt8]) {
        guard let bytes else { return append("\"\(name)\":null", to: &text) }
        if String(validating: bytes, as: UTF8.self) != nil {
            append("\"\(name)\":", to: &text)
            appendQuoted(bytes, to: &text)
        } else {
            append("\"\(name)Base64\":\"\(Data(bytes).base64EncodedString())\"", to: &text)
        }
    }

    /// - Parameter utf8: sound UTF-8.
    private static func appendQuoted(_ utf8: some Sequence<UInt8>, to text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "\""): append("\\\"", to: &text)
            case UInt8(ascii: "\\"): append("\\\\", to: &text)
            case UInt8(ascii: "\n"): append("\\n", to: &text)
            case UInt8(ascii: "\r"): append("\\r", to: &text)
            case UInt8(ascii: "\t"): append("\\t", to: &text)
            case ..<0x20: append("\\u00" + (byte < 0x10 ? "0" : "1") + String(byte & 0xf, radix: 16), to: &text)
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}
