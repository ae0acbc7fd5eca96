import Foundation
import Logging
import Synchronization

/// A coordination store on etcd (3.4 or later), through its JSON gateway.
///
/// Two tasks of its own: one follows what changes and alone gives the news, one keeps the lease. Each swap is a task of its own.
/// All of them run on one thread that the process's stores share.
public final class EtcdStore: CoordinationStore {
    private struct State {
        var tasks: [Task<Void, Never>] = []
        var hasStarted = false
        var hasStopped = false
        var held: [String: [UInt8]] = [:]
        var lease: Int64?
    }

    /// How far the news have got.
    private struct Position {
        var cluster: EtcdInteger?
        var revision: Int64
    }

    private let gateway: EtcdGateway
    private let log: Logger
    private let state = Mutex(State())
    private let followBell = Bell()
    private let leaseBell = Bell()

    /// Nothing is asked of etcd before `start`, `swap` or `hold`.
    public init(_ options: EtcdOptions, log: Logger) throws(EtcdOptionsError) {
        gateway = try EtcdGateway(options)
        self.log = log
    }

    private var options: EtcdOptions { gateway.options }
    private var hasStopped: Bool { state.withLock { $0.hasStopped } }

    /// A task on the store's thread.
    @discardableResult
    private static func run(_ body: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        Task.detached(executorPreference: LoopExecutor.shared, operation: body)
    }

    // MARK: - The protocol

    public func start(_ take: @escaping @Sendable (StoreNews) -> Void) {
        let isFirst = state.withLock { state in
            defer { state.hasStarted = true }
            return !state.hasStarted
        }
        precondition(isFirst, "a store is started once")
        keepRunning { store in
            var follower = Follower(take: take)
            await store.follow(&follower)
        }
    }

    public func swap(_ changes: [StoreChange], _ finished: @escaping @Sendable (SwapOutcome) -> Void) {
        EtcdStore.run { [self] in finished(await swapped(changes)) }
    }

    public func hold(_ key: String, value: [UInt8]) {
        let isFirst = state.withLock { state in
            defer { state.held[key] = value }
            return state.held.isEmpty
        }
        if isFirst { keepRunning { await $0.keepLease() } }
        leaseBell.ring()
    }

    /// A task that ends with the store.
    private func keepRunning(_ body: @escaping @Sendable (EtcdStore) async -> Void) {
        state.withLock { state in
            guard !state.hasStopped else { return }
            state.tasks.append(EtcdStore.run { [self] in await body(self) })
        }
    }

    /// Not to be called by what takes the news.
    public func stop() {
        let stopping: State? = state.withLock { state in
            guard !state.hasStopped else { return nil }
            state.hasStopped = true
            return state
        }
        guard let stopping else { return }
        for task in stopping.tasks { task.cancel() }
        followBell.ring()
        leaseBell.ring()
        let done = DispatchSemaphore(value: 0)
        EtcdStore.run { [gateway] in
            if let lease = stopping.lease {
                _ = try? await gateway.call(
                    "/v3/lease/revoke", EtcdLease(id: EtcdInteger(lease)), milliseconds: 600, as: EtcdNothing.self)
            }
            await gateway.shutdown()
            done.signal()
        }
        _ = done.wait(timeout: .now() + 1)
    }

    // MARK: - Swapping

    private func swapped(_ changes: [StoreChange]) async -> SwapOutcome {
        guard !hasStopped else { return .unknown("the store has stopped") }
        let compare = changes.compactMap { change in
            change.expected.map { EtcdTxnRequest.Compare(key: options.stored(change.key), modRevision: $0) }
        }
        let puts = changes.compactMap { change in
            change.value.map { EtcdTxnRequest.Operation(put: .init(key: options.stored(change.key), value: Data($0))) }
        }
        do {
            let answer: EtcdTxnAnswer = try await gateway.call("/v3/kv/txn", EtcdTxnRequest(compare: compare, success: puts))
            guard answer.succeeded == true else { return .conflict }
            guard let revision = answer.header.revision else { return .unknown("etcd does not say at which revision") }
            return .done(revision: revision.value)
        } catch { return .unknown(error.description) }
    }

    // MARK: - Following

    /// What the task that gives the news knows; it alone calls `take`.
    private struct Follower {
        let take: @Sendable (StoreNews) -> Void
        var position: Position?
        var isAvailable: Bool?
        /// For a log without repetitions.
        var complaint: String?
        var backOff: Int64 = EtcdStore.leastBackOff
    }

    /// In milliseconds.
    private static let leastBackOff: Int64 = 100
    private static let mostBackOff: Int64 = 1000

    private func follow(_ follower: inout Follower) async {
        while !hasStopped {
            do throws(EtcdFailure) {
                try await followOnce(&follower)
            } catch {
                guard !hasStopped else { return }
                await lost(error, &follower)
            }
        }
    }

    private func give(_ news: StoreNews, _ follower: Follower) {
        if !hasStopped { follower.take(news) }
    }

    /// After a failure: says so, and waits for the next attempt.
    private func lost(_ failure: EtcdFailure, _ follower: inout Follower) async {
        if failure.kind == .compacted {
            log.notice("etcd no longer keeps the revision that comes next: all is read anew")
            follower.position = nil
            return
        }
        if failure.isOfToken { gateway.forgetToken() }
        gateway.advance()
        if follower.isAvailable != false {
            follower.isAvailable = false
            give(.available(false), follower)
        }
        if follower.complaint != failure.description {
            follower.complaint = failure.description
            if case .refused = failure.kind {
                log.error("etcd refuses", metadata: ["reason": "\(failure)"])
            } else {
                log.warning("etcd is not available", metadata: ["reason": "\(failure)"])
            }
        }
        await followBell.wait(milliseconds: follower.backOff)
        follower.backOff = min(2 * follower.backOff, EtcdStore.mostBackOff)
    }

    /// Finds out where things stand, and then follows until the watch breaks.
    private func followOnce(_ follower: inout Follower) async throws(EtcdFailure) {
        let page = try await range(limit: 1, keysOnly: true)
        guard let revision = page.header.revision?.value else { throw EtcdFailure(.unclear, "etcd does not say its revision") }
        if let position = follower.position, position.cluster == page.header.clusterId, position.revision <= revision {
            follower.position = position
        } else {
            try await readAll(&follower)
        }
        guard let position = follower.position else { return }
        let answers = try await gateway.watch(from: position.revision + 1)
        do {
            for try await answer in answers { try taken(answer, &follower) }
        } catch { throw EtcdGateway.failure(error, "etcd") }
        throw EtcdFailure(.unclear, "the watch has ended")
    }

    private func taken(_ answer: EtcdWatchAnswer, _ follower: inout Follower) throws(EtcdFailure) {
        if answer.canceled == true {
            if answer.compactRevision != nil { throw EtcdFailure(.compacted, "compacted") }
            throw EtcdFailure(.unclear, "etcd has ended the watch: \(answer.cancelReason ?? "it does not say why")")
        }
        if answer.created == true {
            follower.backOff = EtcdStore.leastBackOff
            if follower.isAvailable != true {
                if follower.complaint != nil { log.notice("etcd is available again") }
                follower.complaint = nil
                follower.isAvailable = true
                give(.available(true), follower)
            }
        }
        guard let events = answer.events, !events.isEmpty, let position = follower.position else { return }
        // A watch that begins anew may repeat nothing, but an answer that is late must not turn time back.
        let fresh = events.filter { ($0.kv.modRevision?.value ?? 0) > position.revision }
        follower.position?.revision = fresh.reduce(position.revision) { max($0, $1.kv.modRevision?.value ?? 0) }
        let changes = fresh.compactMap { event in
            entry(event.kv, isThere: event.type != "DELETE")
        }
        if !changes.isEmpty { give(.changed(changes), follower) }
    }

    /// Nil: a key that is not ours, or is not text.
    private func entry(_ stored: EtcdKeyValue, isThere: Bool) -> StoredEntry? {
        guard let key = options.relative(stored.key) else { return nil }
        return StoredEntry(key: key, value: isThere ? Array(stored.value ?? Data()) : nil, revision: stored.modRevision?.value ?? 0)
    }

    /// All keys at one revision, a page at a time.
    private func readAll(_ follower: inout Follower) async throws(EtcdFailure) {
        let first = try await range(limit: EtcdStore.pageKeys)
        guard let revision = first.header.revision?.value else { throw EtcdFailure(.unclear, "etcd does not say its revision") }
        var stored = first.kvs ?? []
        var isMore = first.more == true
        while isMore, let last = stored.last {
            let page = try await range(from: last.key + Data([0]), limit: EtcdStore.pageKeys, revision: revision)
            stored += page.kvs ?? []
            isMore = page.more == true && page.kvs?.isEmpty == false
        }
        follower.position = Position(cluster: first.header.clusterId, revision: revision)
        give(.snapshot(stored.compactMap { entry($0, isThere: true) }, revision: revision), follower)
    }

    /// So few that a page is within the largest answer, even of values as large as etcd takes them (1.5 MiB).
    private static let pageKeys: Int64 = 100

    private func range(
        from first: Data? = nil, limit: Int64, revision: Int64? = nil, keysOnly: Bool = false
    ) async throws(EtcdFailure) -> EtcdRange {
        try await gateway.call(
            "/v3/kv/range",
            EtcdRangeRequest(
                key: first ?? options.range.first, rangeEnd: options.range.end, limit: EtcdInteger(limit),
                revision: revision.map { EtcdInteger($0) }, keysOnly: keysOnly ? true : nil))
    }

    // MARK: - Holding

    /// What the task that keeps the lease knows.
    private struct Keeper {
        /// In seconds.
        var time: Int64 = 0
        var renewed = ContinuousClock.now
        /// What stands in etcd under the lease.
        var placed: [String: [UInt8]] = [:]
        var backOff: Int64 = EtcdStore.leastBackOff

        /// A third of the lease's time.
        var pause: Duration { .milliseconds(time * 1000 / 3) }
    }

    private func keepLease() async {
        var keeper = Keeper()
        while !hasStopped {
            do throws(EtcdFailure) {
                try await renewLease(&keeper)
                try await place(&keeper)
                keeper.backOff = EtcdStore.leastBackOff
                let left = keeper.renewed + keeper.pause - .now
                await leaseBell.wait(milliseconds: max(1, Int64(left / .milliseconds(1))))
            } catch {
                guard !hasStopped else { return }
                log.info("the lease is not kept", metadata: ["reason": "\(error)"])
                await leaseBell.wait(milliseconds: keeper.backOff)
                keeper.backOff = min(2 * keeper.backOff, EtcdStore.mostBackOff)
            }
        }
    }

    /// A new lease where there is none; one that is a third of its time old is kept alive.
    private func renewLease(_ keeper: inout Keeper) async throws(EtcdFailure) {
        let asked = ContinuousClock.now
        if let lease = state.withLock({ $0.lease }) {
            guard asked >= keeper.renewed + keeper.pause else { return }
            if try await isAlive(lease) {
                keeper.renewed = asked
                return
            }
            log.warning("the lease has ended: another one is taken")
            state.withLock { $0.lease = nil }
        }
        keeper.placed = [:]
        let granted: EtcdLease = try await gateway.call("/v3/lease/grant", EtcdLease(ttl: EtcdInteger(Int64(options.leaseSeconds))))
        guard let id = granted.id?.value, let time = granted.ttl?.value, (1...1_000_000).contains(time) else {
            throw EtcdFailure(.unclear, "etcd has granted a lease without an id or a time")
        }
        keeper.time = time
        keeper.renewed = asked
        state.withLock { $0.lease = id }
    }

    private func isAlive(_ lease: Int64) async throws(EtcdFailure) -> Bool {
        do throws(EtcdFailure) {
            let answer: EtcdStreamed<EtcdLease> = try await gateway.call("/v3/lease/keepalive", EtcdLease(id: EtcdInteger(lease)))
            guard let kept = answer.result else { throw EtcdFailure(.unclear, "etcd does not say whether the lease is kept") }
            return (kept.ttl?.value ?? 0) > 0
        } catch {
            if error.isNotFound { return false }
            throw error
        }
    }

    /// Puts what is held and does not stand in etcd yet.
    private func place(_ keeper: inout Keeper) async throws(EtcdFailure) {
        let (held, lease) = state.withLock { ($0.held, $0.lease) }
        guard let lease else { return }
        for (key, value) in held where keeper.placed[key] != value {
            do { try await place(key, value, lease) } catch {
                // Gone since it was kept alive last: taken anew at the next attempt.
                if error.isNotFound { state.withLock { $0.lease = $0.lease == lease ? nil : $0.lease } }
                throw error
            }
            keeper.placed[key] = value
        }
    }

    /// By compare and swap, though the key is ours alone: a request that was given up may yet arrive, and must not overwrite a newer value.
    private func place(_ key: String, _ value: [UInt8], _ lease: Int64) async throws(EtcdFailure) {
        let name = options.stored(key)
        for _ in 0..<5 {
            let found: EtcdRange = try await gateway.call("/v3/kv/range", EtcdRangeRequest(key: name))
            let there = found.kvs?.first
            if there?.lease?.value == lease && there?.value ?? Data() == Data(value) { return }
            let answer: EtcdTxnAnswer = try await gateway.call(
                "/v3/kv/txn",
                EtcdTxnRequest(
                    compare: [.init(key: name, modRevision: there?.modRevision?.value ?? 0)],
                    success: [.init(put: .init(key: name, value: Data(value), lease: EtcdInteger(lease)))]))
            if answer.succeeded == true { return }
        }
        throw EtcdFailure(.unclear, "others change the key \(key), which is held")
    }
}
