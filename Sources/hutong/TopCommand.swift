import ArgumentParser
import Foundation
import Meters
import Monitoring

/// `hutong top`: what a broker on this host is doing, from its counters in shared memory: it is not asked, so that one that hangs can be looked into.
struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Show what each stage of a broker on this host is doing, live.",
        discussion: """
            It reads the broker's counters, and does not ask the broker: one that hangs or is stopped can be read as well. q ends it. \
            What waits is shown against how much may; the stage for which things wait longest, or which does not go on, is lit.
            """)

    @Option(name: .long, help: "The broker's data directory; by default HUTONG_DATA_DIR, or ./hutong-data.") var dataDir: String?
    @Option(name: .shortAndLong, help: ArgumentHelp("Seconds between two looks.", valueName: "seconds")) var interval = 1.0
    @Flag(name: .long, help: "Look once, over one interval, and print that.") var once = false
    @Flag(name: .long, help: "As --once, as JSON.") var json = false

    func validate() throws {
        guard (0.1...3600).contains(interval) else { throw ValidationError("--interval must be from 0.1 to 3600 seconds.") }
    }

    func run() throws {
        let directory = dataDir ?? ProcessInfo.processInfo.environment["HUTONG_DATA_DIR"] ?? "./hutong-data"
        let reader: MeterReader
        do { reader = try MeterReader(dataDirectory: directory) } catch { throw ToolError("\(error)") }
        var before = reader.snapshot()
        guard !once, !json, isatty(STDOUT_FILENO) == 1 else {
            usleep(UInt32(interval * 1e6))
            let view = BrokerView(reader.snapshot(), since: before)
            if json { return print(try Output.json(view), terminator: "") }
            return print(TopPicture(view, width: 120, isLit: false, isAlive: reader.isAlive).lines.joined(separator: "\n"))
        }
        let screen = try Screen()
        defer { screen.restore() }
        while true {
            guard screen.wait(seconds: interval) else { return }
            let now = reader.snapshot()
            screen.show(TopPicture(BrokerView(now, since: before), width: screen.size.columns, isLit: true, isAlive: reader.isAlive).lines)
            before = now
        }
    }
}

/// The terminal while a live picture is shown: another screen, without a cursor, and keys come one by one.
final class Screen {
    private var before = termios()

    init() throws {
        guard tcgetattr(STDIN_FILENO, &before) == 0 else { throw ToolError("Standard input is no terminal; --once prints without one.") }
        var raw = before
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO)
        tcsetattr(STDIN_FILENO, TCSANOW, &raw)
        Interruption.take()
        put("\u{1b}[?1049h\u{1b}[?25l")
    }

    func restore() {
        put("\u{1b}[?25h\u{1b}[?1049l")
        tcsetattr(STDIN_FILENO, TCSANOW, &before)
    }

    var size: (rows: Int, columns: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 else { return (24, 80) }
        return (size.ws_row > 0 ? Int(size.ws_row) : 24, size.ws_col > 0 ? Int(size.ws_col) : 80)
    }

    func show(_ lines: [String]) {
        let rows = size.rows
        put("\u{1b}[H" + lines.prefix(max(rows - 1, 1)).map { $0 + "\u{1b}[K" }.joined(separator: "\r\n") + "\u{1b}[J")
    }

    /// False: it is to end.
    func wait(seconds: Double) -> Bool {
        let end = ContinuousClock.now + .milliseconds(Int(seconds * 1000))
        while !Interruption.isAsked {
            let left = end - .now
            guard left > .zero else { return true }
            var asked = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
            guard poll(&asked, 1, Int32(clamping: milliseconds) + 1) > 0 else { continue }
            // An arrow's key is several bytes, which mean nothing here.
            var keys = [UInt8](repeating: 0, count: 64)
            let count = read(STDIN_FILENO, &keys, keys.count)
            guard count > 0 else { return false }
            if count == 1, [UInt8(ascii: "q"), UInt8(ascii: "Q"), 27].contains(keys[0]) { return false }
        }
        return false
    }

    private func put(_ text: String) { _ = Output.write(Array(text.utf8)) }
}
