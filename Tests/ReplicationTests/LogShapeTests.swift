import Replication
import Testing

/// A history from pairs of epoch and start.
func history(_ starts: (UInt32, UInt64)...) -> LogHistory { LogHistory(starts.map { EpochStart(epoch: $0.0, position: $0.1) }) }

@Suite struct LogShapeTests {
    @Test func logsAreEqualUpToTheLesserEndOfTheirLastCommonEpoch() {
        let mine = LogShape(history: history((1, 0), (3, 100), (4, 200)), end: 250)
        #expect(mine.common(with: LogShape(history: history((1, 0), (3, 100)), end: 150)) == 150)
        #expect(mine.common(with: LogShape(history: history((1, 0), (3, 100)), end: 300)) == 200)
        #expect(mine.common(with: LogShape(history: history((1, 0), (5, 80)), end: 300)) == 80)
        #expect(mine.common(with: LogShape(history: history((1, 0), (3, 100), (4, 200)), end: 220)) == 220)
        #expect(mine.common(with: LogShape(history: history((2, 0)), end: 300)) == 0)
        #expect(mine.common(with: LogShape()) == 0)
        #expect(LogShape(history: history((1, 0), (5, 80)), end: 300).common(with: mine) == 80)
    }

    @Test func anEpochWithoutFramesIsNoMoreThanAStart() {
        let empty = LogShape(history: history((1, 0), (3, 100)), end: 100)
        #expect(empty.common(with: LogShape(history: history((1, 0), (2, 60)), end: 100)) == 60)
        #expect(empty.common(with: LogShape(history: history((1, 0), (4, 100)), end: 180)) == 100)
    }

    @Test func anEpochTakesOutWhatBeganWhereItBegins() {
        var log = history((1, 0), (3, 100), (4, 200))
        log.begin(6, at: 100)
        #expect(log == history((1, 0), (6, 100)))
        log.cut(at: 101)
        #expect(log == history((1, 0), (6, 100)))
        log.cut(at: 100)
        #expect(log == history((1, 0)))
    }

    @Test func theBetterLogHasTheHigherLastEpochThenTheGreaterLength() {
        let short = LogShape(history: history((1, 0), (4, 50)), end: 60)
        let long = LogShape(history: history((1, 0), (3, 50)), end: 900)
        #expect(short.isBetter(than: long))
        #expect(!long.isBetter(than: short))
        #expect(!short.isBetter(than: short))
    }
}

@Suite struct LogChoiceTests {
    let a = ReplicaID(broker: 1, incarnation: 1)
    let b = ReplicaID(broker: 2, incarnation: 2)
    let c = ReplicaID(broker: 3, incarnation: 3)
    var set: [ReplicaID] { [a, b, c] }
    let whole = LogShape(history: history((1, 0)), end: 100)

    private func choose(_ promises: [ReplicaID: LogShape]) -> LogChoice { LogChoice.make(own: a, promises: promises, replicas: set) }

    @Test func aMajorityIsNeeded() {
        #expect(choose([a: whole]) == .wait)
        #expect(choose([a: whole, ReplicaID(broker: 2, incarnation: 9): whole]) == .wait)
        #expect(choose([a: whole, b: whole]) == .take(LogPlan(history: whole.history, end: 100, keeps: 100, reads: [])))
    }

    /// Who may have had more is no proof that there was no more; unless somebody has begun an epoch since, or there is nobody left to ask.
    @Test func whoIsUnsureProvesNothing() {
        let unsure = LogShape(history: history((1, 0)), end: 100, isUnsure: true)
        #expect(choose([a: whole, b: unsure]) == .wait)
        #expect(choose([a: unsure, b: whole]) == .wait)
        #expect(choose([a: whole, b: whole, c: unsure]) == .take(LogPlan(history: whole.history, end: 100, keeps: 100, reads: [])))
        #expect(choose([a: unsure, b: unsure, c: unsure]) == .take(LogPlan(history: whole.history, end: 100, keeps: 100, reads: [])))
        let later = LogShape(history: history((1, 0), (2, 90)), end: 95)
        #expect(choose([a: later, b: unsure]) == .take(LogPlan(history: later.history, end: 95, keeps: 95, reads: [])))
    }

    @Test func whatIsLackingIsReadFromWhoHasIt() {
        let short = LogShape(history: history((1, 0)), end: 40)
        #expect(
            choose([a: short, c: whole])
                == .take(LogPlan(history: whole.history, end: 100, keeps: 40, reads: [.init(range: 40..<100, source: c)])))
    }

    @Test func aDivergentEndIsCutOff() {
        let mine = LogShape(history: history((1, 0), (2, 60)), end: 500)
        let best = LogShape(history: history((1, 0), (3, 50)), end: 90)
        #expect(
            choose([a: mine, b: best])
                == .take(LogPlan(history: best.history, end: 90, keeps: 50, reads: [.init(range: 50..<90, source: b)])))
    }

    @Test func damageIsReadFromOthers() {
        let mine = LogShape(history: history((1, 0)), end: 100, damaged: [20..<30])
        let other = LogShape(history: history((1, 0)), end: 100, damaged: [25..<28])
        #expect(
            choose([a: mine, b: other, c: whole])
                == .take(LogPlan(history: whole.history, end: 100, keeps: 100, reads: [.init(range: 20..<30, source: c)])))
        #expect(choose([a: mine, b: other]) == .wait)
    }

    @Test func damageOfTheBestLogIsWaitedForUnlessAMajorityNeverHadIt() {
        let torn = LogShape(history: history((1, 0)), end: 101, damaged: [100..<101])
        #expect(choose([a: whole, b: torn]) == .wait)
        #expect(
            choose([a: whole, b: torn, c: whole])
                == .take(LogPlan(history: whole.history, end: 100, keeps: 100, reads: [], leftOut: 100..<101)))
        let longer = LogShape(history: history((1, 0)), end: 120)
        #expect(
            choose([a: whole, b: torn, c: longer])
                == .take(LogPlan(history: whole.history, end: 120, keeps: 100, reads: [.init(range: 100..<120, source: c)])))
    }

    @Test func whereAllEndsAreTornNobodyIsLeftToWaitFor() {
        let torn = LogShape(history: history((1, 0)), end: 101, damaged: [100..<101])
        #expect(choose([a: torn, b: torn]) == .wait)
        #expect(
            choose([a: torn, b: torn, c: torn])
                == .take(LogPlan(history: whole.history, end: 100, keeps: 100, reads: [], leftOut: 100..<101)))
        let rotten = LogShape(history: history((1, 0)), end: 101, damaged: [50..<51])
        #expect(choose([a: rotten, b: rotten, c: rotten]) == .wait)
    }

    @Test func whoIsBehindTheJournalsStartLeavesItToOthers() {
        let late = LogShape(start: 50, history: history((1, 0)), end: 100)
        #expect(choose([a: LogShape(history: history((1, 0)), end: 40), b: late]) == .leaveTo(b))
    }
}
