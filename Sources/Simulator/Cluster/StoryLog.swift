import Logging
import Synchronization

/// What simulated brokers log, for a story: collected, and taken by whoever tells it.
final class StoryLog: Sendable {
    private let lines = Mutex<[String]>([])

    func add(_ line: String) { lines.withLock { $0.append(line) } }

    func take() -> [String] {
        lines.withLock { lines in
            defer { lines = [] }
            return lines
        }
    }

    /// A logger of the broker with that node id.
    func logger(_ id: Int32) -> Logger { Logger(label: "broker \(id)") { StoryLogHandler(story: self, label: $0) } }
}

private struct StoryLogHandler: LogHandler {
    let story: StoryLog
    let label: String
    var metadata = Logger.Metadata()
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { story.add("\(label): \(event.message)") }
}
