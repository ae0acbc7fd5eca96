import Simulator
import Testing

/// Whole clusters from a seed. Many more seeds are run by `hutong sim --brokers 3`, from scripts/test.
@Suite struct ClusterSimulationTests {
    @Test(arguments: [3, 5]) func nothingIsLost(brokers: Int) {
        for seed in UInt64(1)...2 {
            let report = ClusterSimulation(ClusterOptions(seed: seed, brokers: brokers, commits: 150, elections: 2)).run()
            #expect(report.failure == nil, "seed \(seed): \(report.transcript.suffix(20).joined(separator: "\n"))")
            #expect(report.commits >= 150 && report.counts["elections", default: 0] >= 2)
        }
    }

    /// A seed tells the same story whenever it is run.
    @Test func aSeedReproduces() {
        func run(_ seed: UInt64) -> SimulationReport {
            ClusterSimulation(ClusterOptions(seed: seed, brokers: 3, commits: 150, elections: 2)).run()
        }
        let (first, second) = (run(5), run(5))
        #expect(first.transcript == second.transcript && first.transcript.count > 10)
        #expect(first.commits == second.commits && first.counts == second.counts)
        #expect(run(6).transcript != first.transcript)
    }
}
