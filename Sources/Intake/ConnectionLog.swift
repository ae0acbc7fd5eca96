import Logging

/// What is logged of connections that were refused or closed: so many lines a second and no more, because whoever floods the
/// broker must not fill its disk as well.
public struct ConnectionLog: Sendable {
    private static let linesASecond = 20

    private let logger: Logger
    private var second: UInt64 = 0
    private var lines = 0
    private var unsaid = 0

    /// - Parameter logger: where the lines go.
    public init(_ logger: Logger) { self.logger = logger }

    /// Logs the line, or counts it where there were too many in this second; the number follows with the next line.
    /// - Parameter now: monotonic nanoseconds.
    public mutating func note(_ level: Logger.Level, _ line: @autoclosure () -> String, _ now: UInt64) {
        if now / 1_000_000_000 != second {
            if unsaid > 0 { logger.notice("\(unsaid) more connections were refused or closed") }
            second = now / 1_000_000_000
            lines = 0
            unsaid = 0
        }
        lines += 1
        if lines > ConnectionLog.linesASecond { unsaid += 1 } else { logger.log(level: level, "\(line())") }
    }
}
