import Host
import Meters
import Testing

/// Which stage is blamed, for every way in which one can stand while others wait for it.
@Suite struct DiagnosisTests {
    private static let second: UInt64 = 1_000_000_000

    private func snapshot() throws -> MeterSnapshot {
        let machine = Topology(nodes: [.init(id: 0, cores: [[0], [1]])])
        let board = try MeterBoard(
            BoardDescription(
                version: "1", brokerId: 0, listen: "", advertised: "", dataDirectory: "", backend: "", flushMethod: "", isCluster: false,
                plan: PlacementPlan.make(topology: machine)))
        var snapshot = board.snapshot()
        for thread in snapshot.threads.indices {
            snapshot.threads[thread].turnedAt = snapshot.takenAt
            snapshot.threads[thread].sleeps = true
        }
        snapshot.groups[0] = snapshot.groups[0].with(.hasSpace, 1)
        // All have been at work just now.
        for stage in snapshot.stages.indices { snapshot.stages[stage].workedAt = snapshot.takenAt }
        return snapshot
    }

    private func index(_ kind: StageKind, _ snapshot: MeterSnapshot) throws -> Int {
        try #require(snapshot.description.stages.firstIndex { $0.kind == kind })
    }

    /// Something has waited for them for so long, in which they did nothing.
    private func standing(_ kinds: [StageKind], seconds: UInt64 = 5) throws -> MeterSnapshot {
        var snapshot = try snapshot()
        for kind in kinds {
            let stage = try index(kind, snapshot)
            snapshot.stages[stage].depth = 3
            snapshot.stages[stage].oldest = seconds * Self.second
            snapshot.stages[stage].workedAt = snapshot.takenAt - min(seconds * Self.second, snapshot.takenAt - 1)
        }
        // The broker has run for longer than that.
        snapshot.startedAt = 1
        return snapshot
    }

    @Test func nothingIsFoundWhereNothingWaits() throws { #expect(Diagnosis(try snapshot()) == nil) }

    @Test(arguments: [
        ([.flush], .flush), ([.flush, .respond], .flush), ([.flush, .loader, .write, .io, .respond], .flush), ([.replicate, .respond], .replicate),
        ([.loader, .write, .io], .loader), ([.write, .io], .write), ([.respond], .respond), ([.io], .io),
    ] as [([StageKind], StageKind)])
    func theCauseIsBlamed(standing kinds: [StageKind], cause: StageKind) throws {
        let snapshot = try standing(kinds)
        let found = try #require(Diagnosis(snapshot))
        #expect(found.isStuck && snapshot.description.stages[found.stage].kind == cause)
    }

    @Test func whatCantBeMadeForLackOfSpaceStandsNot() throws {
        var snapshot = try standing([.loader])
        #expect(Diagnosis(snapshot)?.isStuck == true)
        snapshot.groups[0] = snapshot.groups[0].with(.hasSpace, 0)
        #expect(Diagnosis(snapshot)?.isStuck != true)
    }

    @Test func onlyThisProcessIsBlamedForWhatIsItsOwn() throws {
        let (write, respond) = (try standing([.write]), try standing([.respond]))
        #expect(try #require(Diagnosis(write)).isOwn(write.description))
        #expect(try !#require(Diagnosis(respond)).isOwn(respond.description))
    }

    @Test func aThreadThatDoesNotComeBackIsBlamedFirst() throws {
        var snapshot = try standing([.flush])
        let write = try index(.write, snapshot)
        let thread = snapshot.description.stages[write].thread
        snapshot.threads[thread].sleeps = false
        snapshot.threads[thread].stage = write
        snapshot.threads[thread].turnedAt = snapshot.takenAt - min(3 * Self.second, snapshot.takenAt - 1)
        let found = try #require(Diagnosis(snapshot))
        #expect(found.stage == write && found.isStuck)
        snapshot.threads[thread].sleeps = true
        #expect(Diagnosis(snapshot)?.stage != write, "it sleeps: there is nothing to do")
    }

    @Test func whatWaitsLongestIsTheBottleneck() throws {
        var snapshot = try snapshot()
        for (kind, milliseconds) in [(StageKind.write, UInt64(4)), (.flush, 9), (.respond, 11), (.loader, 500)] {
            let stage = try index(kind, snapshot)
            snapshot.stages[stage].depth = 1
            snapshot.stages[stage].oldest = milliseconds * 1_000_000
        }
        // Of the answers' eleven milliseconds nine are the flush's; and a segment that is made ahead keeps nobody waiting.
        let found = try #require(Diagnosis(snapshot))
        #expect(snapshot.description.stages[found.stage].kind == .flush && !found.isStuck)
    }
}
