import ArgumentParser
import Bench
import Foundation
import Host
import IO
import Settings

/// `hutong bench null`.
struct BenchNull: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "null",
        abstract: "Serve Produce requests on the broker's transport without parsing records or keeping anything.",
        discussion: "What `hutong bench produce` reaches against it is the ceiling of transport and load generator.")

    @Option(name: .long, help: ArgumentHelp("Where to listen; port 0: any that is free, which is printed.", valueName: "host:port"))
    var listen = "127.0.0.1:0"

    func run() throws {
        guard let address = HostPort(listen) else { throw ValidationError("--listen must be host:port.") }
        let listener = try Listener(host: address.host, port: address.port)
        let rings = try RingSet(.auto, count: 1)
        let stage = StageBox("null", NullServer(listener, ring: rings.rings[0]))
        print("listening on \(address.host):\(listener.port), \(rings.backend.rawValue)")
        fflush(nil)
        // Where the broker of one group on so small a host has its io thread.
        let cpu = Topology.discover().nodes.first?.cores.first?.first
        let executor = Executor(name: "null", cpu: cpu, stages: [stage], source: rings.rings[0], spins: 0)
        let started = executor.start()
        guard started == 0 else { throw LoadError("starting a thread: \(describe(errno: -started))") }
        while true { sleep(1000) }
    }
}
