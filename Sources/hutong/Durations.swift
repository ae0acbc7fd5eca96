import Foundation

/// Durations as people read them.
enum Durations {
    /// Three digits and a unit.
    static func text(_ nanoseconds: UInt64) -> String {
        let units: [(String, Double)] = [("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9)]
        let (unit, size) = units.last { Double(nanoseconds) >= $0.1 } ?? units[0]
        let value = Double(nanoseconds) / size
        let digits = value >= 100 || unit == "ns" ? 0 : value >= 10 ? 1 : 2
        return String(format: "%.\(digits)f%@", value, unit)
    }
}
