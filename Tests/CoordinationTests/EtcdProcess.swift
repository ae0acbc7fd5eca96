import Foundation
import Glibc
import Testing

@testable import Coordination

/// Why there is no etcd to test with.
struct EtcdProcessError: Error, CustomStringConvertible {
    let description: String
}

/// An etcd of the test's own: on free ports of the loopback, with its data in a directory of its own. It must be ended by `end`.
final class EtcdProcess {
    private static let program = "/usr/bin/etcd"

    let directory: String
    let port: Int
    private let peerPort: Int
    /// For the client's port; nil: no TLS.
    private let tls: Certificates?
    private var process: Process?

    init(tls: Certificates? = nil) throws {
        guard FileManager.default.isExecutableFile(atPath: Self.program) else {
            throw EtcdProcessError(description: "\(Self.program) is not there: scripts/setup --tests installs it (Debian's etcd-server)")
        }
        // In memory where it goes: nothing here is about the disk, and a busy one syncs slowly.
        let memory = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm/" : NSTemporaryDirectory()
        directory = memory + "hutong-etcd-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        self.tls = tls
        (port, peerPort) = try Self.freePorts()
        try start()
    }

    var endpoint: String { "\(tls == nil ? "http" : "https")://127.0.0.1:\(port)" }

    /// Starts it, with what is there of its data. It may not answer yet.
    func start() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.program)
        let peer = "http://127.0.0.1:\(peerPort)"
        process.arguments = [
            "--data-dir", directory + "/data", "--listen-client-urls", endpoint, "--advertise-client-urls", endpoint,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=\(peer)",
            // It need not wait long for peers that it has not got.
            "--heartbeat-interval", "50", "--election-timeout", "500",
        ]
        if let tls {
            process.arguments? += [
                "--cert-file", tls.serverCertificate, "--key-file", tls.serverKey, "--client-cert-auth", "--trusted-ca-file", tls.authority,
            ]
        }
        // Not the settings of another etcd on this machine.
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("ETCD_") }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        _ = FileManager.default.createFile(atPath: directory + "/log", contents: nil)
        process.standardError = FileHandle(forWritingAtPath: directory + "/log")
        try process.run()
        self.process = process
    }

    func signal(_ number: Int32) {
        guard let process, process.isRunning else { return }
        Glibc.kill(process.processIdentifier, number)
    }

    /// Stops it, and waits until each of its threads stands still: on a busy machine some run on for a while.
    func pause() async {
        signal(SIGSTOP)
        #expect(await eventually { self.standsStill }, "it runs on")
    }

    private var standsStill: Bool {
        guard let process else { return false }
        let tasks = "/proc/\(process.processIdentifier)/task"
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
        return !threads.isEmpty && threads.allSatisfy { thread in
            // The state stands behind the name, which is in brackets.
            let stat = (try? String(contentsOfFile: "\(tasks)/\(thread)/stat", encoding: .utf8)) ?? ""
            return stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].dropFirst(2).first == "T"
        }
    }

    /// Ends it at once, and waits until it has ended.
    func kill() async {
        signal(SIGKILL)
        _ = await eventually { self.process?.isRunning != true }
        process = nil
    }

    func end() async {
        await kill()
        try? FileManager.default.removeItem(atPath: directory)
    }

    private static func freePorts() throws -> (Int, Int) {
        let sockets = [boundSocket(), boundSocket()]
        defer { for socket in sockets { close(socket.file) } }
        guard sockets.allSatisfy({ $0.port > 0 }) else { throw EtcdProcessError(description: "no port is free on the loopback") }
        return (sockets[0].port, sockets[1].port)
    }

    private static func boundSocket() -> (file: Int32, port: Int) {
        let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                _ = bind(file, address, length)
                _ = getsockname(file, address, &length)
            }
        }
        return (file, Int(UInt16(bigEndian: address.sin_port)))
    }

    /// Runs a test with an etcd that answers, and ends it whatever happens.
    static func with(tls: Certificates? = nil, _ body: (EtcdProcess) async throws -> Void) async throws {
        let etcd = try EtcdProcess(tls: tls)
        do {
            try await etcd.answering()
            try await body(etcd)
        } catch {
            await etcd.end()
            throw error
        }
        await etcd.end()
    }

    func options(requestMilliseconds: Int = 2000, leaseSeconds: Int = 3) -> EtcdOptions {
        var options = EtcdOptions(endpoints: [endpoint], prefix: "/test/", leaseSeconds: leaseSeconds, requestMilliseconds: requestMilliseconds)
        if let tls {
            options.caFile = tls.authority
            options.certificateFile = tls.clientCertificate
            options.keyFile = tls.clientKey
        }
        return options
    }

    /// Waits until it answers.
    func answering() async throws {
        let end = ContinuousClock.now + .seconds(60)
        while true {
            do {
                try await admin("/v3/kv/range", ["key": "AA=="])
                return
            } catch {
                guard ContinuousClock.now < end else {
                    throw EtcdProcessError(description: "etcd does not answer: \(error); its log is \(log.suffix(1000))")
                }
                try await Task.sleep(for: .milliseconds(30))
            }
        }
    }

    private var log: String { (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? "" }

    /// One call with a client of its own, whose answer doesn't matter.
    func admin(_ path: String, _ fields: [String: String] = [:]) async throws {
        _ = try await ask(path, fields) as EtcdNothing
    }

    func ask<Answer: Decodable>(_ path: String, _ fields: [String: String] = [:]) async throws -> Answer {
        let gateway = try EtcdGateway(options(requestMilliseconds: 15_000))
        let answer: Result<Answer, EtcdFailure>
        do { answer = .success(try await gateway.call(path, fields)) } catch { answer = .failure(error) }
        await gateway.shutdown()
        return try answer.get()
    }
}

/// An authority, and a server's and a client's certificate by it.
struct Certificates {
    let directory: String
    var authority: String { directory + "/ca.pem" }
    var serverCertificate: String { directory + "/server.pem" }
    var serverKey: String { directory + "/server.key" }
    var clientCertificate: String { directory + "/client.pem" }
    var clientKey: String { directory + "/client.key" }

    init() throws {
        directory = NSTemporaryDirectory() + "hutong-certificates-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem")
        // etcd's gateway shows the server's certificate to the server, as a client.
        for (name, use) in [("server", "serverAuth,clientAuth"), ("client", "clientAuth")] {
            try "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=\(use)\n".write(
                toFile: directory + "/\(name).ext", atomically: true, encoding: .utf8)
            try run("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=\(name) -keyout \(name).key -out \(name).csr")
            try run("x509 -req -in \(name).csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile \(name).ext -out \(name).pem")
        }
    }

    func remove() { try? FileManager.default.removeItem(atPath: directory) }

    private func run(_ arguments: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments.split(separator: " ").map(String.init)
        process.currentDirectoryURL = URL(fileURLWithPath: directory)
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw EtcdProcessError(description: "openssl \(arguments) has failed") }
    }
}

/// Whether the condition came to hold within that time, which is long: other programs may have the machine.
func eventually(seconds: Double = 30, _ condition: () throws -> Bool) async rethrows -> Bool {
    let end = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < end {
        if try condition() { return true }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return try condition()
}
