import ArgumentParser
import Client
import Settings

/// Which brokers a command talks to.
struct ServerOption: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Brokers to connect to first, as host:port, with commas between.", valueName: "host:port"))
    var server = "127.0.0.1:9092"

    @Option(name: .long, help: ArgumentHelp("Seconds that a call to a broker may take.", valueName: "seconds"))
    var timeout = 30

    func validate() throws {
        guard (1...86_400).contains(timeout) else { throw ValidationError("--timeout must be from 1 to 86400 seconds.") }
        _ = try addresses()
    }

    func client() throws -> KafkaClient {
        KafkaClient(bootstrap: try addresses(), timeoutMs: timeout * 1000)
    }

    private func addresses() throws -> [KafkaClient.Address] {
        try server.split(separator: ",").map { text in
            guard let address = HostPort(String(text)) else {
                throw ValidationError("--server is '\(text)', but must be host:port, e.g. 127.0.0.1:9092.")
            }
            return KafkaClient.Address(host: address.host, port: Int32(address.port))
        }
    }
}
