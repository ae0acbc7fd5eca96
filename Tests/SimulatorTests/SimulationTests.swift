import Simulator
import Testing

/// Whole lives from a seed. Many more seeds are run by `hutong sim`, from scripts/test.
@Suite struct SimulationTests {
    @Test(arguments: UInt64(1)...4) func nothingIsLost(seed: UInt64) {
        let report = Simulation(SimulationOptions(seed: seed, commits: 500, lives: 6, crashes: 3)).run()
        #expect(report.failure == nil, "\(report.transcript.suffix(20).joined(separator: "\n"))")
        #expect(report.commits >= 500 && report.crashes >= 3)
    }

    /// A seed tells the same story whenever it is run.
    @Test func aSeedReproduces() {
        let options = SimulationOptions(seed: 99, commits: 300, lives: 4, crashes: 2)
        let first = Simulation(options).run()
        let second = Simulation(options).run()
        #expect(first.transcript == second.transcript && first.transcript.count > 10)
        #expect(first.commits == second.commits && first.counts == second.counts)
        #expect(Simulation(SimulationOptions(seed: 100, commits: 300, lives: 4, crashes: 2)).run().transcript != first.transcript)
    }
}
