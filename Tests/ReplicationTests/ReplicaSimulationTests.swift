import Simulator
import Testing

@Suite struct ReplicaSimulationTests {
    @Test(arguments: [3, 5]) func nothingCommittedIsLostAndProgressResumes(brokers: Int) {
        var counts: [String: Int] = [:]
        for seed in 1...60 as ClosedRange<UInt64> {
            let report = ReplicaSimulation(seed: seed, brokers: brokers).run(steps: 10_000)
            #expect(report.failure == nil, "seed \(seed), \(brokers) brokers")
            for (what, number) in report.counts { counts[what, default: 0] += number }
        }
        // With five a majority rarely lacks anything.
        let rare = brokers == 3 ? [] : ["leftOut", "replicatedLost"]
        for fault in ReplicaSimulation.faults where !rare.contains(fault) { #expect(counts[fault, default: 0] > 0, "\(fault) never happened") }
    }
}
