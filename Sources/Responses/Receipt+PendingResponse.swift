import CHost
import Journal
import Wire

extension Receipt {
    /// When each position passed what the response answers, which leaves now.
    init(_ response: PendingResponse, _ positions: JournalPositions) {
        self.init()
        func since(_ time: UInt64?) -> Int64 { time.map { Int64(clamping: $0) - Int64(clamping: response.arrival) } ?? -1 }
        if response.position > 0 {
            position = Int64(clamping: response.position)
            journaled = since(positions.appended.passed(response.position))
            flushed = since(positions.flushed.passed(response.position))
            replicated = since(positions.replicated.passed(response.position))
            committed = since(positions.committed.passed(response.position))
        }
        answered = since(hutong_monotonic_ns())
    }
}
