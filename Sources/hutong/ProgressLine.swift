import Foundation

/// How far long work has come: a line on standard error, written over twice a second. Where that is no terminal nothing is said, and nothing in the first second.
struct ProgressLine {
    private let isShown = isatty(STDERR_FILENO) == 1
    private var next = ContinuousClock.now + .seconds(1)
    private var width = 0

    mutating func show(_ text: @autoclosure () -> String) {
        guard isShown, ContinuousClock.now >= next else { return }
        next = ContinuousClock.now + .milliseconds(500)
        put(text())
    }

    /// What comes next stands where the line was.
    mutating func clear() {
        guard width > 0 else { return }
        put("")
        width = 0
    }

    private mutating func put(_ text: String) {
        let padding = String(repeating: " ", count: max(width - text.count, 0))
        width = text.count
        _ = Output.write(Array("\r\(text)\(padding)\(text.isEmpty ? "\r" : "")".utf8), to: STDERR_FILENO)
    }
}
