import ArgumentParser
import Client
import Foundation
import Settings

/// `hutong health`: whether a broker answers; for health checks of containers.
struct HealthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "health", abstract: "Ask a broker whether it serves clients: exits with 0 if it does.",
        discussion: "Without --server it asks the one that the settings of the environment describe (HUTONG_LISTEN, HUTONG_CONFIG, KAFKA_LISTENERS), as in a container.")

    @Option(name: .long, help: ArgumentHelp("The broker.", valueName: "host:port")) var server: String?
    @Option(name: .long, help: ArgumentHelp("How long it may take.", valueName: "seconds")) var timeout = 5

    func validate() throws {
        guard (1...3600).contains(timeout) else { throw ValidationError("--timeout must be from 1 to 3600 seconds.") }
        if let server, HostPort(server) == nil { throw ValidationError("--server is '\(server)', but must be host:port, e.g. 127.0.0.1:9092.") }
    }

    func run() throws {
        var address = try server.flatMap { HostPort($0) } ?? Self.configured()
        if address.isWildcard { address.host = address.host == "::" ? "::1" : "127.0.0.1" }
        do {
            let client = KafkaClient(bootstrap: [.init(host: address.host, port: Int32(address.port))], clientId: "hutong-health", timeoutMs: timeout * 1000)
            let brokers = try client.metadata(topics: []).brokers
            print("\(address) serves clients; it knows of \(brokers.count) broker\(brokers.count == 1 ? "" : "s").")
        } catch {
            Output.say("\(address) does not serve clients: \(error)")
            throw ExitCode(1)
        }
    }

    private static func configured() throws -> HostPort {
        let environment = ProcessInfo.processInfo.environment
        do { return try Settings.load(file: environment[Settings.fileVariable], environment: environment, flags: []).listen } catch {
            throw ValidationError("\(error)")
        }
    }
}
