// @unchecked: the client is used on one queue only.

import Client
import Dispatch

/// The broker's own client, by which the status page asks what clients may ask: it goes the way that they go, and waits on a thread of its own.
final class OwnClient: @unchecked Sendable {
    typealias Client = KafkaClient

    private let queue = DispatchQueue(label: "hutong.status")
    private let address: KafkaClient.Address
    private var client: KafkaClient?
    private static let timeoutMs = 5000

    init(host: String, port: Int32) { address = .init(host: host, port: port) }

    /// Runs `body` with a client; one call after the other.
    func ask<Answer: Sendable>(_ body: @escaping @Sendable (KafkaClient) throws -> Answer) async throws -> Answer {
        try await withCheckedThrowingContinuation { continuation in
            queue.async {
                let client = self.client ?? KafkaClient(bootstrap: [self.address], clientId: "hutong-status", timeoutMs: OwnClient.timeoutMs)
                self.client = client
                continuation.resume(with: Result { try body(client) })
            }
        }
    }
}
