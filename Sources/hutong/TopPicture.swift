import Meters
import Monitoring

/// The live picture of a broker, as lines of text.
struct TopPicture {
    let lines: [String]

    /// - Parameters:
    ///   - isLit: with colours, for a terminal.
    ///   - isAlive: the broker's process is there.
    init(_ view: BrokerView, width: Int, isLit: Bool, isAlive: Bool) {
        var lines = [
            "hutong \(view.version)  broker \(view.brokerId)  \(view.listen)  pid \(view.processId)  up \(Quantities.time(view.uptimeSeconds))  \(view.backend)  flush \(view.flushMethod)  layout \(view.layout)",
            "requests \(Quantities.rate(view.requestsPerSecond))  produce \(Quantities.rate(view.producesPerSecond))  in \(Quantities.bytes(view.receivedBytesPerSecond))/s  out \(Quantities.bytes(view.sentBytesPerSecond))/s  connections \(view.connections)",
            "",
        ]
        if !isAlive { lines[2] = "THE PROCESS IS GONE: these are its last counters." }
        lines += TopPicture.stages(view, isLit: isLit)
        lines.append("")
        for group in view.partitionGroups where group.journaled > 0 || group.epoch > 0 { lines += TopPicture.positions(group) }
        lines.append(TopPicture.verdict(view))
        lines += TopPicture.threads(view)
        self.lines = lines.map { isLit ? TopPicture.cut($0, width) : $0 }
    }

    private static func stages(_ view: BrokerView, isLit: Bool) -> [String] {
        let shown = view.stages.filter { stage in
            switch stage.kind {
            case .io, .write, .flush, .replicate, .respond, .loader: true
            case .archive, .read, .control, .groups: stage.workPerSecond > 0 || stage.depth > 0
            }
        }.sorted { (order($0.kind), $0.number) < (order($1.kind), $1.number) }
        let rows = shown.map { stage in
            [
                (view.bottleneck?.stage == stage.name ? "▶ " : "  ") + stage.name, stage.thread, bar(stage), waiting(stage), Quantities.latency(stage.oldestSeconds),
                Quantities.rate(stage.workPerSecond), batch(stage), stage.medianSeconds.map(Quantities.latency) ?? "-", stage.p99Seconds.map(Quantities.latency) ?? "-",
            ]
        }
        let header = ["  STAGE", "THREAD", "WAITING", "", "OLDEST", "DONE", "BATCH 50/99%", "P50", "P99"]
        let table = Output.table(header, rows).split(separator: "\n").map(String.init)
        guard isLit else { return table }
        return table.enumerated().map { number, line in
            if number == 0 { return "\u{1b}[1m\(line)\u{1b}[0m" }
            guard let found = view.bottleneck, found.stage == shown[number - 1].name else { return line }
            return (found.isStuck ? "\u{1b}[41;97m" : "\u{1b}[43;30m") + line + "\u{1b}[0m"
        }
    }

    private static func order(_ kind: StageKind) -> Int { StageKind.allCases.firstIndex(of: kind) ?? 0 }

    private static let barWidth = 16

    private static func bar(_ stage: BrokerView.Stage) -> String {
        guard stage.capacity > 0 else { return String(repeating: " ", count: barWidth) }
        let share = min(Double(stage.depth) / Double(stage.capacity), 1)
        let full = stage.depth > 0 ? max(1, Int(share * Double(barWidth))) : 0
        return String(repeating: "█", count: full) + String(repeating: "░", count: barWidth - full)
    }

    private static func waiting(_ stage: BrokerView.Stage) -> String {
        guard stage.kind != .archive else { return "-" }
        if stage.unit == "bytes" { return "\(Quantities.bytes(Double(stage.depth))) of \(Quantities.bytes(Double(stage.capacity)))" }
        return stage.capacity > 0 ? "\(stage.depth) of \(stage.capacity) \(stage.unit)" : "\(stage.depth) \(stage.unit)"
    }

    private static func batch(_ stage: BrokerView.Stage) -> String {
        guard let median = stage.batchMedian, let most = stage.batch99 else { return "-" }
        return "\(median)/\(most)"
    }

    /// received → journaled → flushed → replicated → committed → answered.
    private static func positions(_ group: BrokerView.PartitionGroup) -> [String] {
        let role = group.epoch > 0 ? "leads in epoch \(group.epoch), \(group.inSyncReplicas) in sync" : "does not lead"
        func behind(_ name: String, _ position: UInt64) -> String {
            let behind = group.journaled > position ? group.journaled - position : 0
            return "\(name) " + (behind == 0 ? "=" : "-\(Quantities.bytes(Double(behind)))")
        }
        var line = "group \(group.number) (\(role))  \(Quantities.bytes(group.bytesPerSecond))/s  received +\(group.receivedRequests) requests ▶ journaled \(group.journaled)"
        line += " ▶ \(behind("flushed", group.flushed)) ▶ \(behind("replicated", group.replicated)) ▶ \(behind("committed", group.committed))"
        if group.epoch > 0 { line += " ▶ \(behind("answered", group.answered))" }
        var lines = [line]
        if let failure = group.failure { lines.append("  STORAGE HAS FAILED (errno \(failure)): nothing is acknowledged any more.") }
        if !group.hasSpace { lines.append("  NO SPACE: no segment can be made, producers are refused.") }
        return lines
    }

    private static func verdict(_ view: BrokerView) -> String {
        guard let found = view.bottleneck else { return "Nothing waits for long." }
        return (found.isStuck ? "STUCK: " : "Bottleneck: ") + found.sentence
    }

    private static func threads(_ view: BrokerView) -> [String] {
        ["", "threads: " + view.threads.map { thread in
            let state = thread.sleeps ? "sleeps" : thread.silentSeconds > 1 ? "in \(thread.stage ?? "?") for \(Quantities.latency(thread.silentSeconds))" : "runs"
            return "\(thread.name)\(thread.cpu.map { "@\($0)" } ?? "") \(state)"
        }.joined(separator: ", ")]
    }

    /// To so many columns; what colours it counts nothing.
    private static func cut(_ line: String, _ width: Int) -> String {
        var (count, isEscape, text) = (0, false, "")
        for character in line {
            if character == "\u{1b}" { isEscape = true }
            if isEscape {
                text.append(character)
                if character == "m" { isEscape = false }
                continue
            }
            count += 1
            if count <= width { text.append(character) }
        }
        return text
    }
}

/// Quantities as people read them.
enum Quantities {
    static func rate(_ perSecond: Double) -> String { scaled(perSecond, ["", "K", "M", "G"], 1000) + "/s" }
    static func bytes(_ count: Double) -> String { scaled(count, ["B", "KiB", "MiB", "GiB", "TiB"], 1024, space: " ") }
    static func latency(_ seconds: Double) -> String { seconds <= 0 ? "-" : Durations.text(UInt64(seconds * 1e9)) }

    static func time(_ seconds: Double) -> String {
        let whole = Int(seconds)
        let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60)
        return days > 0 ? "\(days)d\(hours)h" : hours > 0 ? "\(hours)h\(minutes)m" : minutes > 0 ? "\(minutes)m\(whole % 60)s" : "\(whole)s"
    }

    private static func scaled(_ value: Double, _ units: [String], _ step: Double, space: String = "") -> String {
        var (value, unit) = (value, 0)
        while value >= step, unit < units.count - 1 {
            value /= step
            unit += 1
        }
        let text = unit == 0 ? "\(Int(value))" : value >= 100 ? "\(Int(value.rounded()))" : "\((value * 10).rounded() / 10)"
        return text + space + units[unit]
    }
}
