import Host
import Journal
import Testing

@testable import Fetching

@Suite struct RetentionRuleTests {
    /// Ten full shares of a segment and one that is being written, each of a hundred records and bytes, a second apart.
    private func units() -> [LogUnit] {
        var units: [LogUnit] = []
        for number in Int64(0)...10 {
            let place: LogUnit.Place =
                number < 10 ? .file(segment: UInt64(number), firstEntry: 0, count: 1) : .memory(segment: 10)
            let start = number * 100
            units.append(
                LogUnit(place: place, startOffset: start, endOffset: start + 100, maxTimestamp: number * 1000, bytes: 100))
        }
        return units
    }

    @Test func bySizeTheNewestStays() {
        func start(_ bytes: Int64) -> Int64 { RetentionRule(milliseconds: -1, bytes: bytes).logStart(units(), now: 0, wall: 0) }
        #expect(start(-1) == 0)
        #expect(start(100_000) == 0)
        // Five shares are counted ahead, but no more than half of the limit.
        #expect(start(1100) == 500)
        #expect(start(600) == 800)
        #expect(start(0) == 1000)
    }

    @Test func byAgeAllMayGo() {
        func start(_ milliseconds: Int64, wall: Int64?) -> Int64 {
            RetentionRule(milliseconds: milliseconds, bytes: -1).logStart(units(), now: 0, wall: wall)
        }
        #expect(start(1000, wall: 5500) == 500)
        #expect(start(1000, wall: 1_000_000) == 1100)
        #expect(start(-1, wall: 1_000_000) == 0)
        #expect(start(1000, wall: nil) == 0, "a clock that is not believed deletes nothing")
    }

    @Test func whatIsDeletedAlreadyDoesNotCount() {
        let rule = RetentionRule(milliseconds: -1, bytes: 2000)
        #expect(rule.logStart(units(), now: 600, wall: 0) == 600)
    }

    @Test func recordsWithoutTimestampAreNeverTooOld() {
        var all = units()
        all[0].maxTimestamp = -1
        #expect(RetentionRule(milliseconds: 1000, bytes: -1).logStart(all, now: 0, wall: 1_000_000) == 0)
    }

    private func moment(_ seconds: UInt64, wall: Int64) -> Moment { Moment(monotonic: seconds * 1_000_000_000, wall: wall) }

    @Test func aJumpingClockIsNotBelievedForAnHour() {
        let base: Int64 = 1_700_000_000_000
        var clock = RetentionClock(newest: base)
        #expect(clock.wall(moment(1, wall: base + 1000)) != nil)
        #expect(clock.wall(moment(2, wall: base + 3_602_000)) == nil)
        #expect(clock.wall(moment(3000, wall: base + 3_600_000 + 3_000_000)) == nil)
        #expect(clock.wall(moment(3700, wall: base + 3_600_000 + 3_700_000)) != nil)
        #expect(clock.wall(moment(3701, wall: base)) == nil, "back as well")
    }

    @Test func aClockThatIsFarAheadAtTheStartIsNotBelievedForAnHour() {
        let base: Int64 = 1_700_000_000_000
        var late = RetentionClock(newest: base)
        let wall = base + 400 * 86_400_000
        #expect(late.wall(moment(1, wall: wall)) == nil)
        #expect(late.wall(moment(3602, wall: wall + 3_601_000)) != nil)
        var fresh = RetentionClock(newest: 0)
        #expect(fresh.wall(moment(1, wall: wall)) != nil)
    }
}
