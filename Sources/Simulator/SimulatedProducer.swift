import IO
import Wire

/// A producer in a simulation. An idempotent one has up to five batches of each partition under way and asks again for what a crash
/// has left unanswered, in order, under the same sequence numbers; a plain one never asks again.
final class SimulatedProducer {
    /// As many bytes as this make a value, with what names it, of 55 bytes: its frame takes as much as two of those with which epochs
    /// begin.
    static let uniform = -55

    let number: Int
    let isIdempotent: Bool
    private(set) var client: SimulatedClient?
    /// What was sent on this connection and is not answered yet, in order.
    private var underWay: [(correlation: Int32, batch: ProducedBatch)] = []
    /// What an idempotent producer has yet to send again.
    private var toRetry: [ProducedBatch] = []
    private var producerId: Int64 = -1
    private var asksForId: Int32?
    private var sequences: [String: Int32] = [:]
    private var nextNumber = 0
    private var connections = 0
    private var ids = 0

    init(number: Int, isIdempotent: Bool) {
        self.number = number
        self.isIdempotent = isIdempotent
    }

    func connect(_ network: SimulatedNetwork) {
        client = SimulatedClient(network)
        connections += 1
    }

    /// A plain producer's order holds on one connection, an idempotent one's under one id: what had been on its way before may come
    /// later.
    private var orderedBy: Int { 1000 * (isIdempotent ? ids : connections) + number }

    /// The connection is gone: what was under way may have been done, or not.
    func disconnect() {
        if isIdempotent { toRetry = underWay.map(\.batch).filter { $0.sequence >= 0 } + toRetry }
        underWay = []
        asksForId = nil
        client = nil
    }

    /// Its sequence numbers are no longer known: it begins anew, and leaves open what has come of the rest.
    private func beginAnew() {
        producerId = -1
        ids += 1
        sequences = [:]
        toRetry = []
        for index in underWay.indices { underWay[index].batch.sequence = -1 }
    }

    /// Sends something to that partition, if it may. Returns whether it did.
    func send(_ model: PartitionModel, records: Int, bytes: Int, acks: Int16, isBad: Bool, timestamp: Int64) throws -> Bool {
        guard let client, !client.isClosed else { return false }
        if isIdempotent && producerId < 0 {
            if asksForId == nil { asksForId = try client.send(InitProducerIdRequest(), version: 1) }
            return false
        }
        if !toRetry.isEmpty {
            try transmit(toRetry.removeFirst(), timestamp)
            return true
        }
        if isIdempotent && underWay.count(where: { $0.batch.model === model }) >= 5 { return false }
        var batch = ProducedBatch(model, acks: isIdempotent ? -1 : acks, isBad: isBad && !isIdempotent)
        for _ in 0..<records {
            let name = "\(number)-\(nextNumber)-"
            let value = name + ProducedBatch.padding(bytes < 0 ? -bytes - name.utf8.count : bytes)
            model.send(
                value,
                PartitionModel.Origin(
                    producer: orderedBy, number: nextNumber, time: timestamp, isRefused: batch.isBad,
                    isWeak: model.topic == "weak" && batch.acks == 1 || batch.acks == 0))
            nextNumber += 1
            batch.values.append(value)
        }
        if isIdempotent {
            batch.sequence = sequences[model.name] ?? 0
            sequences[model.name] = batch.sequence + Int32(records)
        }
        try transmit(batch, timestamp)
        return true
    }

    private func transmit(_ batch: ProducedBatch, _ timestamp: Int64) throws {
        let correlation = try client!.send(batch.request(producerId: producerId, timestamp: timestamp), version: 8)
        if batch.acks != 0 { underWay.append((correlation, batch)) }
    }

    /// Takes the answers that have come. Returns how many records were acknowledged durably.
    func takeAnswers(_ note: (String) -> Void) throws -> Int {
        guard let client else { return 0 }
        var commits = 0
        for answer in client.answers() {
            if answer.correlation == asksForId {
                asksForId = nil
                let response = try client.decode(InitProducerIdRequest.self, answer.frame, version: 1)
                if response.errorCode == .none { producerId = response.producerId }
                continue
            }
            guard let place = underWay.firstIndex(where: { $0.correlation == answer.correlation }) else {
                throw Violation("producer \(number): an answer without its request")
            }
            guard place == 0 else { throw Violation("producer \(number): answers leave in another order than their requests came") }
            let batch = underWay.removeFirst().batch
            let response = try client.decode(ProduceRequest.self, answer.frame, version: 8)
            guard let part = response.topics.first?.partitions.first else { throw Violation("an answer without its partition") }
            commits += try take(batch, part, note)
        }
        return commits
    }

    private func take(_ batch: ProducedBatch, _ part: ProduceResponse.Partition, _ note: (String) -> Void) throws -> Int {
        switch part.errorCode {
        case .none:
            guard !batch.isBad else { throw Violation("\(batch.model.name): a damaged batch was taken") }
            try batch.model.acknowledge(batch.values, at: part.baseOffset)
            return batch.model.topic == "weak" && batch.acks == 1 ? 0 : batch.values.count
        case .corruptMessage where batch.isBad: note("refused")
        case .corruptMessage, .invalidRecord: throw Violation("\(batch.model.name): a sound batch is refused with \(part.errorCode)")
        case .outOfOrderSequenceNumber, .invalidProducerEpoch:
            // Of a batch before it the outcome is open: so is that of all that follow.
            note("outOfOrder")
            if batch.sequence >= 0 { beginAnew() }
        default:
            note("refusedForNow")
            // A batch that fails breaks the sequence of those behind it.
            if batch.sequence >= 0 { beginAnew() }
        }
        return 0
    }
}
