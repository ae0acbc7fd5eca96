import Wire

/// A connection to one broker: requests, each waiting for its answer, in the highest version that both sides serve.
public final class Connection {
    private let socket: Socket
    private let clientId: String
    private let timeoutMs: Int
    private var lastCorrelationId: Int32 = 0
    /// What the broker advertises, by API key; empty until it was asked.
    private var advertised: [Int16: ClosedRange<Int16>] = [:]

    /// The largest answer that is taken, in bytes: anything longer is a sign of another protocol.
    private static let maxResponse = 1 << 30

    /// Connects and asks for the broker's versions.
    public convenience init(host: String, port: Int32, clientId: String, timeoutMs: Int) throws {
        try self.init(
            socket: Socket(host: host, port: port, timeoutMs: timeoutMs), clientId: clientId, timeoutMs: timeoutMs)
    }

    init(socket: Socket, clientId: String, timeoutMs: Int) throws {
        self.socket = socket
        self.clientId = clientId
        self.timeoutMs = timeoutMs
        try negotiate()
    }

    /// Sends a request and waits for its answer.
    ///
    /// - Parameters:
    ///   - patienceMs: how long the broker may itself wait before it answers, in milliseconds.
    ///   - wantsReceipt: asks for a ``Receipt``.
    /// - Throws: ``ClientError`` or ``WireError``. The connection must not be used after either.
    public func call<R: Request>(_ request: R, patienceMs: Int = 0, wantsReceipt: Bool = false) throws -> R.Response {
        let version = try version(of: R.api)
        try send(request, version: version, wantsReceipt: wantsReceipt)
        return try receive(R.self, version: version, patienceMs: patienceMs)
    }

    /// Sends a request that the broker does not answer: a Produce with acks 0.
    public func send<R: Request>(_ request: R) throws {
        try send(request, version: try version(of: R.api))
    }

    /// The version in which an API is spoken here.
    public func version(of api: APIKey) throws(ClientError) -> Int16 {
        guard let spec = APIs.spec(api) else { throw .protocolMismatch("\(api) is not spoken by this client.") }
        guard let theirs = advertised[api.rawValue] else {
            throw .protocolMismatch("The broker \(socket.peer) does not serve \(spec.name).")
        }
        let version = min(spec.versions.upperBound, theirs.upperBound)
        guard version >= max(spec.versions.lowerBound, theirs.lowerBound) else {
            throw .protocolMismatch(
                "The broker \(socket.peer) serves \(spec.name) \(theirs), this client \(spec.versions).")
        }
        return version
    }

    private func send<R: Request>(_ request: R, version: Int16, wantsReceipt: Bool = false) throws {
        lastCorrelationId &+= 1
        try socket.write(
            RequestFrame.encode(
                request, version: version, correlationId: lastCorrelationId, clientId: clientId, wantsReceipt: wantsReceipt))
    }

    private func receive<R: Request>(_ type: R.Type, version: Int16, patienceMs: Int = 0) throws -> R.Response {
        let frame = try receiveFrame(patienceMs: patienceMs)
        let header = try frame.withUnsafeBytes { try ResponseHeader.decode($0, api: R.api, version: version) }
        guard header.correlationId == lastCorrelationId else {
            throw ClientError.protocolMismatch("\(socket.peer) answered another request than the one that was asked.")
        }
        return try R.Response.decode(frame[header.bodyOffset...], version: version, ignoringRest: true)
    }

    private func receiveFrame(patienceMs: Int) throws -> [UInt8] {
        socket.setTimeout(timeoutMs + patienceMs)
        let length = try socket.read(4).reduce(0) { $0 << 8 | Int($1) }
        guard length <= Self.maxResponse else {
            throw ClientError.protocolMismatch("\(socket.peer) does not speak the Kafka protocol.")
        }
        return try socket.read(length)
    }

    /// Learns the broker's versions (KIP-511): a broker that does not know ours says so in version 0, with its own.
    private func negotiate() throws {
        var request = ApiVersionsRequest()
        request.clientSoftwareName = "hutong"
        request.clientSoftwareVersion = "1"
        let ours = APIs.spec(.apiVersions)?.versions ?? 0...0
        try send(request, version: ours.upperBound)
        let frame = try receiveFrame(patienceMs: 0)
        let response: ApiVersionsResponse
        if frame.dropFirst(4).starts(with: [0, UInt8(ErrorCode.unsupportedVersion.rawValue)]) {
            // Some brokers do not say which versions they have: all have 0.
            let refusal = try? ApiVersionsResponse.decode(frame.dropFirst(4), version: 0, ignoringRest: true)
            let theirs = refusal?.apiKeys.first { $0.apiKey == APIKey.apiVersions.rawValue }?.maxVersion ?? 0
            let version = max(ours.lowerBound, min(ours.upperBound, theirs))
            try send(request, version: version)
            response = try receive(ApiVersionsRequest.self, version: version)
        } else {
            response = try ApiVersionsResponse.decode(frame.dropFirst(4), version: ours.upperBound, ignoringRest: true)
        }
        guard response.errorCode == .none else {
            throw ClientError.refused(what: "ApiVersions", code: response.errorCode, message: nil)
        }
        for api in response.apiKeys where api.minVersion <= api.maxVersion {
            advertised[api.apiKey] = api.minVersion...api.maxVersion
        }
    }
}
