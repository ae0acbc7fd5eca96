import CHost
import Glibc

/// A log of what happened in which order, for tests that check promises against the order of events. Off in production;
/// each line is one write to a file opened for appending, so lines of several threads stand in the order of the writes.
public final class EventTrace: Sendable {
    private let file: Int32

    /// Nil where the file can't be opened.
    public init?(path: String) {
        file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        if file < 0 { return nil }
    }

    deinit { close(file) }

    public func line(_ text: String) {
        let line = "\(hutong_monotonic_ns()) \(text)\n"
        _ = line.utf8.withContiguousStorageIfAvailable { write(file, $0.baseAddress!, $0.count) }
    }
}
