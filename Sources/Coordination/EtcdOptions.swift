import Foundation
import NIOCore
import NIOSSL

/// How etcd is reached, and what of it is used.
public struct EtcdOptions: Sendable {
    /// Addresses of its clients' port, `http://` or `https://`; any that answers will do.
    public var endpoints: [String]
    /// What stands before every key; the store's keys are without it.
    public var prefix: String
    /// How long held keys stay when nothing is heard of this process any more, in seconds. etcd may make it longer.
    public var leaseSeconds: Int
    /// How long a request may take, in milliseconds.
    public var requestMilliseconds: Int
    /// Nil, both: no authentication.
    public var username: String?
    public var password: String?
    /// PEM files, for https: who signs the servers' certificates (nil: the system's authorities); the client's certificate and key.
    public var caFile: String?
    public var certificateFile: String?
    public var keyFile: String?

    public init(
        endpoints: [String], prefix: String = "/hutong/", leaseSeconds: Int = 10, requestMilliseconds: Int = 2000,
        username: String? = nil, password: String? = nil, caFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil
    ) {
        self.endpoints = endpoints
        self.prefix = prefix
        self.leaseSeconds = leaseSeconds
        self.requestMilliseconds = requestMilliseconds
        self.username = username
        self.password = password
        self.caFile = caFile
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }
}

/// Why a store on etcd can't be made, in a sentence that says what to do.
public struct EtcdOptionsError: Error, CustomStringConvertible {
    public let description: String
}

extension EtcdOptions {
    /// The endpoints without a slash at their end.
    func checkedEndpoints() throws(EtcdOptionsError) -> [String] {
        guard !endpoints.isEmpty else {
            throw EtcdOptionsError(description: "There is no endpoint of etcd. Name one, as http://127.0.0.1:2379.")
        }
        var checked: [String] = []
        for endpoint in endpoints {
            guard let url = URL(string: endpoint), url.scheme == "http" || url.scheme == "https", url.host?.isEmpty == false,
                ["", "/"].contains(url.path), url.query == nil
            else {
                throw EtcdOptionsError(description: "\(endpoint) is no endpoint of etcd. It must be like http://127.0.0.1:2379.")
            }
            checked.append(endpoint.hasSuffix("/") ? String(endpoint.dropLast()) : endpoint)
        }
        return checked
    }

    func checkTimes() throws(EtcdOptionsError) {
        guard (1...86_400).contains(leaseSeconds) else {
            throw EtcdOptionsError(description: "A lease of \(leaseSeconds) seconds is not possible. It must be 1 to 86400.")
        }
        guard (10...600_000).contains(requestMilliseconds) else {
            throw EtcdOptionsError(description: "A time-out of \(requestMilliseconds) ms is not possible. It must be 10 to 600000.")
        }
        guard (username == nil) == (password == nil) else {
            throw EtcdOptionsError(description: "A user name for etcd needs a password, and a password a user name.")
        }
    }

    func tls() throws(EtcdOptionsError) -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        if let caFile {
            tls.trustRoots = .certificates(try EtcdOptions.pem(caFile, "certificates") { try NIOSSLCertificate.fromPEMFile(caFile) })
        }
        guard (certificateFile == nil) == (keyFile == nil) else {
            throw EtcdOptionsError(description: "A client's certificate for etcd needs its key, and a key its certificate.")
        }
        if let certificateFile, let keyFile {
            let chain = try EtcdOptions.pem(certificateFile, "certificates") { try NIOSSLCertificate.fromPEMFile(certificateFile) }
            tls.certificateChain = chain.map { .certificate($0) }
            tls.privateKey = .privateKey(try EtcdOptions.pem(keyFile, "a key") { try NIOSSLPrivateKey(file: keyFile, format: .pem) })
        }
        return tls
    }

    private static func pem<Content>(_ file: String, _ what: String, _ read: () throws -> Content) throws(EtcdOptionsError) -> Content {
        do { return try read() } catch {
            throw EtcdOptionsError(description: "\(file) can't be read as \(what) in PEM: \(error)")
        }
    }

    /// A key as etcd has it.
    func stored(_ key: String) -> Data { Data((prefix + key).utf8) }

    /// A key of etcd's without the prefix; nil: it is not one of ours, or not text.
    func relative(_ key: Data) -> String? {
        guard let text = String(data: key, encoding: .utf8), text.utf8.starts(with: prefix.utf8) else { return nil }
        return String(decoding: text.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
    }

    /// The first and the end of the keys that begin with the prefix, as etcd wants them: a single zero means the first of all, or no end.
    var range: (first: Data, end: Data) {
        let first = Data(prefix.utf8)
        var end = first
        while let last = end.last {
            if last < 0xff {
                end[end.count - 1] = last + 1
                return (first, end)
            }
            end.removeLast()
        }
        return (first.isEmpty ? Data([0]) : first, Data([0]))
    }
}
