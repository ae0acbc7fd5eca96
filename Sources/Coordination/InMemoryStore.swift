import Synchronization

/// What several `InMemoryStore`s share: the keys, their revisions, and who holds them. It has no thread and no clock of its own;
/// whoever drives it decides when news come, who is cut off, and whose lease ends.
public final class InMemoryCoordination: Sendable {
    struct Value {
        var bytes: [UInt8]
        var revision: Int64
        /// The number of the client whose lease it is under.
        var owner: Int?
    }

    /// What one client has seen and what it wants.
    struct Client {
        var take: (@Sendable (StoreNews) -> Void)?
        /// The last revision that it was told of; nil: it is owed a snapshot.
        var seen: Int64?
        var isAvailable: Bool?
        var isCutOff = false
        var losesAnswers = false
        var hasStopped = false
        /// Somebody is giving it news just now.
        var isTaking = false
        var held: [String: [UInt8]] = [:]
    }

    struct State {
        var keys: [String: Value] = [:]
        var revision: Int64 = 1
        /// The changes of each revision behind `forgotten`, in order.
        var history: [[StoredEntry]] = []
        /// The last revision of which the changes are no longer known.
        var forgotten: Int64 = 1
        var clients: [Client] = []
    }

    let state = Mutex(State())
    private let deliversAtOnce: Bool

    /// - Parameter deliversAtOnce: news come within the call that makes a change, to all clients in the order in which they were made;
    ///   otherwise when `deliver` is called.
    public init(deliversAtOnce: Bool = false) {
        self.deliversAtOnce = deliversAtOnce
    }

    /// Another client.
    /// - Parameter name: only for people.
    public func client(name: String) -> InMemoryStore {
        state.withLock { state in
            let store = InMemoryStore(self, number: state.clients.count, name: name)
            state.clients.append(Client())
            return store
        }
    }

    /// The revision of the last change.
    public var revision: Int64 { state.withLock { $0.revision } }

    /// The key's value.
    public func value(_ key: String) -> [UInt8]? { state.withLock { $0.keys[key]?.bytes } }

    /// Ends the client's lease: what it holds goes away, all at one revision. One that is not cut off notices when news are given next, and
    /// holds it again.
    public func expire(_ client: InMemoryStore) {
        state.withLock { $0.removeHeld(client.number) }
        spread()
    }

    /// Forgets what each revision changed: clients that have not seen it yet get a snapshot.
    public func compact() {
        state.withLock { state in
            state.history = []
            state.forgotten = state.revision
        }
    }

    /// Gives news to all, where they come at once.
    func spread() {
        guard deliversAtOnce else { return }
        let count = state.withLock { state in
            for number in state.clients.indices { state.placeHeld(number) }
            return state.clients.count
        }
        for number in 0..<count { deliver(to: number) }
    }

    func deliver(to number: Int) {
        let take: (@Sendable (StoreNews) -> Void)? = state.withLock { state in
            state.placeHeld(number)
            guard !state.clients[number].isTaking, let take = state.clients[number].take else { return nil }
            state.clients[number].isTaking = true
            return take
        }
        guard let take else { return }
        while true {
            let news: StoreNews? = state.withLock { state in
                let news = state.nextNews(number)
                if news == nil { state.clients[number].isTaking = false }
                return news
            }
            guard let news else { return }
            take(news)
        }
    }
}

extension InMemoryCoordination.State {
    /// Makes the changes at the next revision.
    mutating func apply(_ changes: [(key: String, value: [UInt8]?)], owner: Int?) {
        revision += 1
        for (key, value) in changes {
            keys[key] = value.map { InMemoryCoordination.Value(bytes: $0, revision: revision, owner: owner) }
        }
        history.append(changes.map { StoredEntry(key: $0.key, value: $0.value, revision: revision) })
    }

    /// What the client holds goes away.
    mutating func removeHeld(_ client: Int) {
        let gone = keys.filter { $0.value.owner == client }.keys.sorted()
        if !gone.isEmpty { apply(gone.map { ($0, nil) }, owner: nil) }
    }

    /// What the client is to hold and does not stand there is put there, a revision for each.
    mutating func placeHeld(_ client: Int) {
        guard !clients[client].isCutOff && !clients[client].hasStopped else { return }
        for (key, value) in clients[client].held.sorted(by: { $0.key < $1.key }) {
            if let there = keys[key], there.owner == client && there.bytes == value { continue }
            apply([(key, value)], owner: client)
        }
    }

    mutating func swap(_ changes: [StoreChange]) -> SwapOutcome {
        let puts = changes.compactMap { change in change.value.map { (key: change.key, value: Optional($0)) } }
        guard Set(puts.map(\.key)).count == puts.count else { return .unknown("a key is given two values at once") }
        for change in changes {
            if let expected = change.expected, keys[change.key]?.revision ?? 0 != expected { return .conflict }
        }
        if !puts.isEmpty { apply(puts, owner: nil) }
        return .done(revision: revision)
    }

    /// What the client is to be told next; nil: nothing.
    mutating func nextNews(_ number: Int) -> StoreNews? {
        let client = clients[number]
        guard client.take != nil && !client.hasStopped else { return nil }
        if client.isCutOff {
            guard client.isAvailable != false else { return nil }
            clients[number].isAvailable = false
            return .available(false)
        }
        guard let seen = client.seen, seen >= forgotten else {
            clients[number].seen = revision
            let entries = keys.map { StoredEntry(key: $0.key, value: $0.value.bytes, revision: $0.value.revision) }
            return .snapshot(entries.sorted { $0.key < $1.key }, revision: revision)
        }
        if client.isAvailable != true {
            clients[number].isAvailable = true
            return .available(true)
        }
        guard seen < revision else { return nil }
        clients[number].seen = revision
        return .changed(Array(history[Int(seen - forgotten)...].joined()))
    }
}

/// One client of an `InMemoryCoordination`. What it is asked is done within the call.
public final class InMemoryStore: CoordinationStore {
    private let shared: InMemoryCoordination
    let number: Int
    public let name: String

    init(_ shared: InMemoryCoordination, number: Int, name: String) {
        self.shared = shared
        self.number = number
        self.name = name
    }

    /// While it is: swaps are not made, and end in `.unknown`; nothing more is held; no news but that the store is not available.
    /// What has changed comes afterwards.
    public var isCutOff: Bool {
        get { shared.state.withLock { $0.clients[number].isCutOff } }
        set {
            shared.state.withLock { $0.clients[number].isCutOff = newValue }
            shared.spread()
        }
    }

    /// While it does, swaps are made and end in `.unknown` all the same.
    public var losesAnswers: Bool {
        get { shared.state.withLock { $0.clients[number].losesAnswers } }
        set { shared.state.withLock { $0.clients[number].losesAnswers = newValue } }
    }

    /// Gives the news that there are, and holds again what was lost. While news are being given, a second call returns at once, and what
    /// it would have given is given by the first.
    public func deliver() { shared.deliver(to: number) }

    public func start(_ take: @escaping @Sendable (StoreNews) -> Void) {
        shared.state.withLock { state in
            precondition(state.clients[number].take == nil, "a store is started once")
            state.clients[number].take = take
        }
        shared.spread()
    }

    public func swap(_ changes: [StoreChange], _ finished: @escaping @Sendable (SwapOutcome) -> Void) {
        let outcome: SwapOutcome = shared.state.withLock { state in
            let client = state.clients[number]
            if client.hasStopped { return .unknown("the store has stopped") }
            if client.isCutOff { return .unknown("\(name) is cut off") }
            let outcome = state.swap(changes)
            return client.losesAnswers ? .unknown("\(name) loses answers") : outcome
        }
        finished(outcome)
        shared.spread()
    }

    public func hold(_ key: String, value: [UInt8]) {
        shared.state.withLock { state in
            state.clients[number].held[key] = value
            state.placeHeld(number)
        }
        shared.spread()
    }

    /// Where it is cut off, what is held stays until its lease ends.
    public func stop() {
        shared.state.withLock { state in
            guard !state.clients[number].hasStopped else { return }
            state.clients[number].hasStopped = true
            if !state.clients[number].isCutOff { state.removeHeld(number) }
        }
        shared.spread()
    }
}
