import Host
import Intake
import Wire

/// Where a stage takes clients' requests and leaves its answers: one end of each of its channels from the io stages, and to their respond stages.
public struct ClientDesk: ~Copyable {
    /// From each io stage.
    private var requests: OwnedArray<Receiver<ClientRequest>>
    /// To each io stage.
    private var releases: OwnedArray<Sender<Release>>
    /// To the respond stage that belongs to each io stage.
    private var answers: OwnedArray<Sender<Unmanaged<Answer>>>

    public init(
        requests: consuming OwnedArray<Receiver<ClientRequest>>, releases: consuming OwnedArray<Sender<Release>>,
        answers: consuming OwnedArray<Sender<Unmanaged<Answer>>>
    ) {
        self.requests = requests
        self.releases = releases
        self.answers = answers
    }

    /// How many io stages there are.
    public var count: Int { requests.count }

    /// The next request of an io stage's; nil: there is none, or no room for its answer and those that are owed already.
    public mutating func next(_ io: Int, owed: Int) -> ClientRequest? {
        guard answers[io].hasRoom(for: owed + 1), releases[io].hasRoom() else { return nil }
        return requests[io].pop()
    }

    /// The request's bytes are not needed any more.
    public mutating func giveBack(_ request: ClientRequest, _ io: Int) {
        let released = releases[io].push(request.release)
        precondition(released, "there was room")
    }

    public mutating func send(_ answer: Answer, _ io: Int) {
        let sent = answers[io].push(Unmanaged.passRetained(answer))
        precondition(sent, "there was room when the request was taken")
    }

    /// Answers a request. Returns how many bytes the answer has.
    /// - Parameters:
    ///   - version: that it is encoded in; nil: the request's.
    ///   - budget: what its memory is taken from.
    public mutating func answer(
        _ response: some Response, _ request: ClientRequest, _ io: Int, version: Int16? = nil, budget: AnswerBudget
    ) throws(WireError) -> Int {
        let frame = try ResponseFrame.encode(response, version: version ?? request.version, correlationId: request.correlation)
        send(Answer(request.connection, number: request.answer, bytes: frame, budget: budget), io)
        return frame.count
    }

    /// Instead of an answer its connection is closed.
    public mutating func close(_ request: ClientRequest, _ io: Int) { send(Answer(closing: request.connection, number: request.answer), io) }

    /// At a step's end: shows the others what was taken and what was left.
    public mutating func publish() {
        for io in 0..<count {
            requests[io].release()
            answers[io].publish()
            releases[io].publish()
        }
    }
}
