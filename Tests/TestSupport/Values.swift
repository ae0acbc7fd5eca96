import Wire

/// Where the fields of a sample get their values from.
public protocol Values {
    mutating func error() -> ErrorCode
    mutating func bool() -> Bool
    mutating func int8() -> Int8
    mutating func int16() -> Int16
    mutating func int32() -> Int32
    mutating func int64() -> Int64
    /// Authorized operations.
    mutating func bits() -> Int32
    mutating func uuid() -> Uuid
    mutating func string() -> String
    mutating func nullableString() -> String?
    mutating func bytes() -> [UInt8]
    mutating func nullableBytes() -> [UInt8]?
    mutating func records() -> [UInt8]?
    mutating func count() -> Int
    /// Whether something optional is there.
    mutating func isPresent() -> Bool
}

extension Values {
    public mutating func error() -> ErrorCode { ErrorCode(rawValue: int16())! }

    public mutating func array<T>(_ element: (inout Self) -> T) -> [T] {
        var elements: [T] = []
        for _ in 0..<count() { elements.append(element(&self)) }
        return elements
    }

    public mutating func optional<T>(_ value: (inout Self) -> T) -> T? {
        isPresent() ? value(&self) : nil
    }
}

/// The next number each, as scripts/wire-vectors.py counts them.
public struct CountedValues: Values {
    private var last = 0

    public init() {}

    private mutating func next() -> Int {
        last += 1
        return last
    }

    public mutating func bool() -> Bool { next() % 2 == 1 }
    public mutating func int8() -> Int8 { Int8(next() % 100) }
    public mutating func int16() -> Int16 { Int16(next() % 100) }
    public mutating func int32() -> Int32 { Int32(next() * 65537) }
    public mutating func int64() -> Int64 { Int64(next() * 4_294_967_311) }
    public mutating func bits() -> Int32 { Int32(next()) }

    public mutating func uuid() -> Uuid {
        let number = UInt64(next())
        return Uuid(high: number * 4_294_967_311, low: number)
    }

    public mutating func string() -> String { "s\(next())" }

    public mutating func nullableString() -> String? {
        let number = next()
        return number % 2 == 0 ? nil : "s\(number)"
    }

    public mutating func bytes() -> [UInt8] { Self.bytes(next()) }

    public mutating func nullableBytes() -> [UInt8]? {
        let number = next()
        return number % 2 == 0 ? nil : Self.bytes(number)
    }

    public mutating func records() -> [UInt8]? { bytes() }

    private static func bytes(_ number: Int) -> [UInt8] {
        [UInt8(number % 256), UInt8((number + 1) % 256), UInt8((number + 2) % 256)]
    }

    public mutating func count() -> Int { 2 }
    public mutating func isPresent() -> Bool { true }
}

/// Random values from a seed, small arrays, and now and then an extreme.
public struct RandomValues: Values {
    var random: SeededRandom

    public init(seed: UInt64) { random = SeededRandom(seed: seed) }

    private mutating func integer<T: FixedWidthInteger & SignedInteger>() -> T {
        switch Int.random(in: 0..<6, using: &random) {
        case 0: .min
        case 1: .max
        case 2: -1
        default: .random(in: .min ... .max, using: &random)
        }
    }

    public mutating func bool() -> Bool { .random(using: &random) }
    public mutating func int8() -> Int8 { integer() }
    public mutating func int16() -> Int16 { integer() }
    public mutating func int32() -> Int32 { integer() }
    public mutating func int64() -> Int64 { integer() }
    public mutating func bits() -> Int32 { integer() }
    public mutating func error() -> ErrorCode { ErrorCode.allCases.randomElement(using: &random)! }
    public mutating func uuid() -> Uuid { .random(using: &random) }

    public mutating func string() -> String {
        let letters = ["a", "Z", "9", ".", "é", "吃", "😀", "\0"]
        let length = [0, 1, 5, 126, 127, 128].randomElement(using: &random)!
        var text = ""
        for _ in 0..<length { text += letters.randomElement(using: &random)! }
        return text
    }

    public mutating func nullableString() -> String? { optional { $0.string() } }

    public mutating func bytes() -> [UInt8] { array { UInt8.random(in: 0...255, using: &$0.random) } }
    public mutating func nullableBytes() -> [UInt8]? { optional { $0.bytes() } }
    public mutating func records() -> [UInt8]? { nullableBytes() }

    public mutating func count() -> Int { [0, 1, 2, 3].randomElement(using: &random)! }
    public mutating func isPresent() -> Bool { bool() }
}
