import ArgumentParser
import Wire

/// How a record is printed, in kcat's notation.
struct RecordFormat: ExpressibleByArgument, CustomStringConvertible {
    private enum Part {
        case text([UInt8])
        case topic, partition, offset, key, value, headers, timestamp, keyLength, valueLength, valueLengthBytes
    }

    /// As it was written.
    let description: String
    private let parts: [Part]

    init(_ notation: String) {
        description = notation
        parts = Self.parse(notation)
    }

    init?(argument: String) { self.init(argument) }

    func append(_ record: Record, topic: String, partition: Int32, to text: inout [UInt8]) {
        for part in parts {
            switch part {
            case .text(let bytes): text.append(contentsOf: bytes)
            case .topic: text.append(contentsOf: topic.utf8)
            case .partition: text.append(contentsOf: "\(partition)".utf8)
            case .offset: text.append(contentsOf: "\(record.offset)".utf8)
            case .key: text.append(contentsOf: record.key ?? [])
            case .value: text.append(contentsOf: record.value ?? [])
            case .timestamp: text.append(contentsOf: "\(record.timestamp)".utf8)
            case .keyLength: text.append(contentsOf: "\(record.key?.count ?? -1)".utf8)
            case .valueLength: text.append(contentsOf: "\(record.value?.count ?? -1)".utf8)
            case .valueLengthBytes: text.append(contentsOf: withUnsafeBytes(of: Int32(clamping: record.value?.count ?? -1).bigEndian, Array.init))
            case .headers: append(record.headers, to: &text)
            }
        }
    }

    private func append(_ headers: [Record.Header], to text: inout [UInt8]) {
        for (place, header) in headers.enumerated() {
            if place > 0 { text.append(UInt8(ascii: ",")) }
            text.append(contentsOf: "\(header.key)=".utf8)
            text.append(contentsOf: header.value ?? Array("NULL".utf8))
        }
    }

    /// What is no field and no escape stands for itself.
    private static func parse(_ notation: String) -> [Part] {
        let fields: [Character: Part] = [
            "t": .topic, "p": .partition, "o": .offset, "k": .key, "s": .value, "h": .headers, "T": .timestamp,
            "K": .keyLength, "S": .valueLength, "R": .valueLengthBytes, "%": .text([UInt8(ascii: "%")]),
        ]
        let escapes: [Character: [UInt8]] = ["n": [10], "t": [9], "r": [13], "0": [0], "\\": [92]]
        var parts: [Part] = []
        var rest = notation[...]
        while let first = rest.popFirst() {
            if first == "%", let field = rest.first.flatMap({ fields[$0] }) {
                parts.append(field)
                rest.removeFirst()
            } else if first == "\\", let bytes = rest.first.flatMap({ escapes[$0] }) {
                parts.append(.text(bytes))
                rest.removeFirst()
            } else if first == "\\", rest.first == "x", let byte = hexadecimal(rest.dropFirst().prefix(2)) {
                parts.append(.text([byte]))
                rest.removeFirst(3)
            } else {
                parts.append(.text(Array(String(first).utf8)))
            }
        }
        return parts
    }

    /// Two digits; nil: they are none.
    private static func hexadecimal(_ digits: Substring) -> UInt8? {
        digits.utf8.count == 2 && digits.allSatisfy(\.isHexDigit) ? UInt8(digits, radix: 16) : nil
    }
}
