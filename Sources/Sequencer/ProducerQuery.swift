import Host

/// Asks a write stage for the idempotent producers that it knows of.
public final class ProducerQuery: Sendable {
    /// The asker's, to tell reports apart.
    public let token: UInt64
    public let group: UInt16
    /// The partitions, by their numbers in the group.
    let partitions: Set<UInt32>

    public init(token: UInt64, group: UInt16, partitions: Set<UInt32>) {
        self.token = token
        self.group = group
        self.partitions = partitions
    }
}

/// What a write stage says to it.
public final class ProducerReport: Sendable {
    public struct Producer: Sendable {
        public let partition: UInt32
        public let id: Int64
        public let epoch: Int16
        /// The sequence number of its last record; -1: it has sent none in this epoch.
        public let lastSequence: Int32
        /// Of its last batch, in milliseconds since 1970.
        public let lastTime: Int64

        init(_ state: ProducerState) {
            partition = state.partition
            id = state.id
            epoch = state.epoch
            lastSequence = state.count > 0 ? state[Int(state.count) - 1].lastSequence : -1
            lastTime = state.lastTime
        }
    }

    public let token: UInt64
    public let group: UInt16
    public let producers: [Producer]

    init(_ query: ProducerQuery, _ producers: [Producer]) {
        token = query.token
        group = query.group
        self.producers = producers
    }
}

/// How far a query has got.
struct ProducerSearch {
    private struct Name: Hashable {
        let partition: UInt32
        let id: Int64
    }

    /// So many producers are looked at in one step, so that requests don't wait.
    private static let looksAStep = 4096

    /// From here on all have been seen. Backwards: one that takes the place of one that is forgotten comes from there, and is seen again rather than not at all.
    private var end: Int
    private var found: [Name: ProducerReport.Producer] = [:]

    init(_ producers: ProducerTable) { end = producers.count }

    var isDone: Bool { end == 0 }
    var producers: [ProducerReport.Producer] { found.values.sorted { ($0.partition, $0.id) < ($1.partition, $1.id) } }

    mutating func look(_ producers: ProducerTable, for query: ProducerQuery) {
        let last = min(end, producers.count)
        end = max(last - ProducerSearch.looksAStep, 0)
        for state in producers.all[end..<last] where query.partitions.contains(state.partition) {
            found[Name(partition: state.partition, id: state.id)] = ProducerReport.Producer(state)
        }
    }
}

extension SequencerStage {
    /// Goes on with what is asked about producers. Returns how much was done.
    mutating func report() -> Int {
        // It stays in its channel until it is answered: another stage may take this one's place.
        guard let query = links.queries.peek()?.takeUnretainedValue(), links.reports.hasRoom() else { return 0 }
        var search = search ?? ProducerSearch(state.producers)
        search.look(state.producers, for: query)
        self.search = search.isDone ? nil : search
        guard search.isDone else { return 1 }
        let sent = links.reports.send(Unmanaged.passRetained(ProducerReport(query, search.producers)))
        precondition(sent, "there was room")
        links.queries.pop()?.release()
        links.queries.release()
        return 1
    }
}
