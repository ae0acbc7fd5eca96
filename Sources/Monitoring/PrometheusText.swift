/// The text that Prometheus reads (its exposition format, version 0.0.4).
struct PrometheusText {
    enum Kind: String {
        case counter, gauge, histogram
    }

    private(set) var text = ""

    /// Begins a metric; samples follow.
    mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    }

    mutating func sample(_ name: String, _ labels: [(String, String)] = [], _ value: Double) {
        text += name
        if !labels.isEmpty { text += "{" + labels.map { "\($0)=\"\(PrometheusText.escaped($1))\"" }.joined(separator: ",") + "}" }
        text += " \(PrometheusText.number(value))\n"
    }

    /// A metric with one sample.
    mutating func single(_ name: String, _ kind: Kind, _ help: String, _ value: Double) {
        begin(name, kind, help)
        sample(name, [], value)
    }

    /// One histogram of a metric.
    /// - Parameter buckets: upper limits, ascending, with how many are in each bucket; what is above the last is in `count`.
    mutating func histogram(_ name: String, _ labels: [(String, String)], _ buckets: [(limit: Double, count: UInt64)], sum: Double, count: UInt64) {
        var below: UInt64 = 0
        for bucket in buckets {
            below += bucket.count
            sample(name + "_bucket", labels + [("le", PrometheusText.number(bucket.limit))], Double(below))
        }
        sample(name + "_bucket", labels + [("le", "+Inf")], Double(count))
        sample(name + "_sum", labels, sum)
        sample(name + "_count", labels, Double(count))
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
