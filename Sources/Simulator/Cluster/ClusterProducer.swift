import Host
import IO
import Wire

/// A producer of one partition in a simulated cluster: it finds the leader as clients do, goes on with another one where that fails, and, where it
/// is idempotent, asks again for what has been left unanswered, in order, under the same sequence numbers. A plain one never asks again.
final class ClusterProducer {
    private enum Link {
        case none
        /// Who leads? Asked at that time.
        case asking(SimulatedClient, correlation: Int32, since: UInt64)
        case leader(SimulatedClient)
    }

    /// After so many nanoseconds without an answer it looks for the leader anew.
    private static let patience: UInt64 = 1_500_000_000
    private static let underWayAtMost = 5

    let number: Int
    let isIdempotent: Bool
    let model: PartitionModel
    /// Its partition's topic answers before a majority has it on stable storage.
    private let isEarly: Bool
    private var link = Link.none
    /// What was sent to this leader and is not answered yet, in order.
    private var underWay: [(correlation: Int32, batch: ProducedBatch, since: UInt64)] = []
    private var toRetry: [ProducedBatch] = []
    private var producerId: Int64 = -1
    private var asksForId: (correlation: Int32, since: UInt64)?
    private var sequence: Int32 = 0
    private var nextNumber = 0
    private var connections = 0

    init(number: Int, isIdempotent: Bool, model: PartitionModel, isEarly: Bool) {
        self.number = number
        self.isIdempotent = isIdempotent
        self.model = model
        self.isEarly = isEarly
    }

    private var client: SimulatedClient? {
        switch link {
        case .none: nil
        case .asking(let client, _, _), .leader(let client): client
        }
    }

    /// Nothing is unanswered.
    var isAtRest: Bool { underWay.isEmpty && toRetry.isEmpty }

    func disconnect() {
        client?.leave()
        link = .none
        if isIdempotent { toRetry = underWay.map(\.batch) + toRetry }
        underWay = []
        asksForId = nil
    }

    // MARK: The leader

    /// Goes on with finding the leader. True: there is a way to it.
    private func hasLeader(_ simulation: ClusterSimulation) throws -> Bool {
        if let client, client.isClosed { disconnect() }
        switch link {
        case .leader: return true
        case .asking(let client, let correlation, let since):
            if let answer = client.answers().first(where: { $0.correlation == correlation }) {
                let metadata = try client.decode(MetadataRequest.self, answer.frame, version: 8)
                let part = metadata.topics.first?.partitions.first { $0.partitionIndex == model.partition }
                disconnect()
                if let leader = part?.leaderId, let network = simulation.network(of: leader) { connect(network) }
            } else if simulation.now >= since + ClusterProducer.patience / 3 {
                disconnect()
            }
        case .none:
            guard let network = simulation.network(of: simulation.anyBroker()) else { return false }
            let client = SimulatedClient(network)
            var request = MetadataRequest()
            request.topics = [.init(name: model.topic)]
            request.allowAutoTopicCreation = false
            link = .asking(client, correlation: try client.send(request, version: 8), since: simulation.now)
        }
        return false
    }

    private func connect(_ network: SimulatedNetwork) {
        link = .leader(SimulatedClient(network))
        connections += 1
    }

    // MARK: Sending

    /// Asks again for what is to be asked for again. True: it may send more.
    @discardableResult
    func goOn(_ simulation: ClusterSimulation) throws -> Bool {
        guard try hasLeader(simulation), let client else { return false }
        if isIdempotent && producerId < 0 {
            if asksForId == nil { asksForId = (try client.send(InitProducerIdRequest(), version: 1), simulation.now) }
            return false
        }
        while !toRetry.isEmpty { try transmit(toRetry.removeFirst(), simulation) }
        return !isIdempotent || underWay.count < ClusterProducer.underWayAtMost
    }

    /// Sends something, if it may.
    func send(_ simulation: ClusterSimulation, records: Int, bytes: Int, acks: Int16, isBad: Bool) throws {
        guard try goOn(simulation) else { return }
        let acks = isIdempotent ? -1 : acks
        var batch = ProducedBatch(model, acks: acks, isBad: isBad && !isIdempotent)
        for _ in 0..<records {
            let value = "\(number)-\(nextNumber)-" + ProducedBatch.padding(bytes)
            // A plain producer's order holds on one connection.
            model.send(
                value,
                PartitionModel.Origin(
                    producer: isIdempotent ? number : 1000 * connections + number, number: nextNumber, time: 0, isRefused: batch.isBad,
                    isWeak: acks != -1 || isEarly))
            nextNumber += 1
            batch.values.append(value)
        }
        if isIdempotent {
            batch.sequence = sequence
            sequence += Int32(records)
        }
        try transmit(batch, simulation)
    }

    private func transmit(_ batch: ProducedBatch, _ simulation: ClusterSimulation) throws {
        guard let client else { return }
        let correlation = try client.send(batch.request(producerId: producerId, timestamp: ClusterSimulation.epoch), version: 8)
        if batch.acks != 0 { underWay.append((correlation, batch, simulation.now)) }
    }

    // MARK: Answers

    /// Takes the answers that have come. Returns how many records were acknowledged durably.
    func takeAnswers(_ simulation: ClusterSimulation) throws -> Int {
        guard case .leader(let client) = link else { return 0 }
        var commits = 0
        var given: (error: ErrorCode, behind: [(correlation: Int32, batch: ProducedBatch, since: UInt64)])?
        for answer in client.answers() {
            if let given {
                // What it sent behind a batch that failed: others would take this for final as well.
                guard let sent = given.behind.first(where: { $0.correlation == answer.correlation }) else { continue }
                let response = try client.decode(ProduceRequest.self, answer.frame, version: 8)
                if response.topics.first?.partitions.first?.errorCode == .outOfOrderSequenceNumber {
                    throw Violation("\(model.name): producer \(number), sequence \(sent.batch.sequence): out of order behind \(given.error)")
                }
                continue
            }
            if answer.correlation == asksForId?.correlation {
                asksForId = nil
                let response = try client.decode(InitProducerIdRequest.self, answer.frame, version: 1)
                if response.errorCode == .none { producerId = response.producerId }
                continue
            }
            // What was given up has its answer all the same.
            guard let place = underWay.firstIndex(where: { $0.correlation == answer.correlation }) else { continue }
            guard place == 0 else { throw Violation("producer \(number): answers leave in another order than their requests came") }
            let batch = underWay.removeFirst().batch
            let response = try client.decode(ProduceRequest.self, answer.frame, version: 8)
            guard let part = response.topics.first?.partitions.first else { throw Violation("an answer without its partition") }
            let behind = underWay
            commits += try take(batch, part, simulation)
            if case .none = link { given = (part.errorCode, behind) }
        }
        if given != nil { return commits }
        let waitsSince = underWay.first?.since ?? asksForId?.since
        if client.isClosed || waitsSince.map({ simulation.now >= $0 + ClusterProducer.patience }) ?? false {
            if !client.isClosed { simulation.count("clientGaveUp") }
            disconnect()
        }
        return commits
    }

    private func take(_ batch: ProducedBatch, _ part: ProduceResponse.Partition, _ simulation: ClusterSimulation) throws -> Int {
        switch part.errorCode {
        case .none:
            guard !batch.isBad else { throw Violation("\(model.name): a damaged batch was taken") }
            // What is answered before it is committed may be lost with its leader.
            guard batch.acks == -1 && !isEarly else { return 0 }
            try model.acknowledge(batch.values, at: part.baseOffset)
            return batch.values.count
        case .corruptMessage where batch.isBad: simulation.count("refused")
        case .notLeaderOrFollower, .leaderNotAvailable, .requestTimedOut, .notEnoughReplicas, .notEnoughReplicasAfterAppend, .kafkaStorageError,
            .unknownTopicOrPartition:
            simulation.count("answered \(part.errorCode)")
            disconnect()
            // It was the first of what is to be asked for again.
            if isIdempotent { toRetry.insert(batch, at: 0) }
        default: throw Violation("\(model.name): a sound batch of producer \(number), sequence \(batch.sequence), is refused with \(part.errorCode)")
        }
        return 0
    }
}
