import Coordination
import DequeModule
import Host
import Metadata
import Synchronization

/// The metadata of a cluster, for the control stage: what is proposed becomes the next change in the store, unless another broker was
/// faster; then it is tried again as long as it still makes sense.
final class ClusterMetadata: MetadataStore {
    private struct Proposal {
        var changes: [MetadataChange]
        var token: UInt64
    }

    private static let attempts = 10

    private let cluster: Cluster
    private let answers: Inbox<(number: UInt64, outcome: SwapOutcome)>
    private var waiting: Deque<Proposal> = []
    private var underWay: Proposal?
    private var attempt = 0
    /// The number that another broker's change has got.
    private var retries: UInt64?
    /// The change under way is done, by that number: it counts when the news of it have come.
    private var doneNumber: UInt64?
    private var outcomes: Deque<MetadataOutcome> = []
    private(set) var state = MetadataState()
    private var known: UInt64 = 0
    private var told: UInt64 = 0

    /// - Parameter waker: of the control stage's thread.
    init(cluster: Cluster, waker: Waker) {
        self.cluster = cluster
        answers = Inbox(waker: waker)
        if let now = cluster.metadata(after: known) { (state, known) = now }
    }

    func propose(_ changes: [MetadataChange], token: UInt64) { waiting.append(Proposal(changes: changes, token: token)) }

    var isIdle: Bool { waiting.isEmpty && underWay == nil && outcomes.isEmpty }
    func nextOutcome() -> MetadataOutcome? { outcomes.popFirst() }

    func step() -> Int {
        var progress = 0
        if let now = cluster.metadata(after: known) {
            (state, known) = now
            progress += 1
        } else if told != known {
            // Only now, a step later: the other stages have been sent the topics.
            told = known
            cluster.controlKnows(known)
        }
        for (number, outcome) in answers.take() {
            progress += 1
            take(outcome, number)
        }
        retry()
        if let number = doneNumber, known > number {
            doneNumber = nil
            finish(nil)
        }
        if underWay == nil, let next = waiting.popFirst() {
            // One at a time: each is tried again, or refused, for itself.
            underWay = next
            attempt = 0
            progress += 1
            makeChange()
        }
        return progress
    }

    private func makeChange() {
        attempt += 1
        guard let changes = underWay?.changes.map(renewed) else { return }
        underWay?.changes = changes
        if changes.isEmpty { return finish(nil) }
        if let flaw = changes.lazy.compactMap({ self.state.flaw($0) }).first { return finish(flaw) }
        cluster.change(changes) { [answers] number, outcome in answers.put((number, outcome)) }
    }

    /// Producer ids go on from where they are now.
    private func renewed(_ change: MetadataChange) -> MetadataChange {
        guard case .producerIds = change else { return change }
        return .producerIds(below: state.producerIdsBelow + MetadataState.producerIdBlock)
    }

    private func take(_ outcome: SwapOutcome, _ number: UInt64) {
        switch outcome {
        case .done: doneNumber = number
        case .conflict:
            // What was faster is known first.
            guard attempt < ClusterMetadata.attempts else { return finish("other brokers change the metadata all the time; try again") }
            retries = number
        case .unknown(let reason): finish("the cluster's store does not answer: \(reason)")
        }
    }

    /// Tries again once it is known what was faster.
    private func retry() {
        guard let number = retries, known > number else { return }
        retries = nil
        makeChange()
    }

    private func finish(_ failure: String?) {
        guard let proposal = underWay else { return }
        outcomes.append(MetadataOutcome(token: proposal.token, failure: failure, changes: proposal.changes))
        underWay = nil
    }
}
