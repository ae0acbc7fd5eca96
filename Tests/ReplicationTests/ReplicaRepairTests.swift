import Journal
import Testing

@testable import Replication

/// What has rotted in a journal that is in use, and how it comes back.
@Suite struct ReplicaRepairTests {
    private let others = [ReplicaID(broker: 2, incarnation: 2), ReplicaID(broker: 3, incarnation: 3)]

    @Test func asksOneAfterTheOther() {
        var repair = ReplicaRepair()
        var times = ReplicaTimes()
        times.retry = 10
        times.read = 64
        #expect(repair.ask(others, times, now: 0) == nil, "nothing is damaged")
        repair.begin([100..<264, 300..<364])
        repair.begin([500..<600])
        let first = repair.ask(others, times, now: 1)
        #expect(first?.1 == 100..<164, "no more than one answer may bring")
        #expect(repair.ask(others, times, now: 5) == nil, "it may be on its way")
        let second = repair.ask(others, times, now: 11)
        #expect(second?.1 == 100..<164 && second?.0 != first?.0, "the other one may have it")
        repair.end(100..<164)
        #expect(repair.range == 164..<264)
        repair.end(100..<164)
        #expect(repair.range == 164..<264, "a late copy changes nothing")
        repair.end(164..<240)
        #expect(repair.range == 300..<364, "no frame fits into what was left")
        repair.end(300..<364)
        #expect(repair.range == nil)
    }

    @Test func onlyWholeFramesOfThisJournalAreTaken() {
        let noise = [UInt8](repeating: 0x5a, count: 256)
        noise.withUnsafeBytes {
            #expect(ReplicaRepair.soundBytes($0, at: 0, of: JournalIdentity(group: 0, key: 1), epochs: EpochHistory()) == 0)
        }
    }
}
