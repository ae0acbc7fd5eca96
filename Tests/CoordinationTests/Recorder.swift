import Foundation
import Synchronization

@testable import Coordination

/// Takes a store's news, checks their order, and knows what they come to.
final class Recorder: Sendable {
    struct State {
        var news: [StoreNews] = []
        var entries: [String: StoredEntry] = [:]
        var revision: Int64 = 0
        /// As it was said last.
        var isAvailable: Bool?
        var isTaking = false
        /// What must not be, in a sentence.
        var faults: [String] = []
    }

    private let state = Mutex(State())

    func take(_ news: StoreNews) {
        state.withLock { state in
            if state.isTaking { state.faults.append("called twice at once") }
            state.isTaking = true
        }
        defer { state.withLock { $0.isTaking = false } }
        state.withLock { state in
            if state.news.isEmpty, case .changed = news { state.faults.append("changes come before a snapshot") }
            state.news.append(news)
            switch news {
            case .snapshot(let entries, let revision):
                state.entries = Dictionary(uniqueKeysWithValues: entries.map { ($0.key, $0) })
                if revision < state.revision { state.faults.append("a snapshot of \(revision) after \(state.revision)") }
                state.revision = revision
            case .changed(let entries):
                if entries.isEmpty { state.faults.append("a change of nothing") }
                if let first = entries.first, first.revision <= state.revision {
                    state.faults.append("changes of \(first.revision) after \(state.revision)")
                }
                for entry in entries {
                    if entry.revision < state.revision { state.faults.append("\(entry.revision) after \(state.revision)") }
                    state.revision = entry.revision
                    state.entries[entry.key] = entry.value == nil ? nil : entry
                }
            case .available(let isAvailable):
                if state.isAvailable == isAvailable { state.faults.append("\(isAvailable) is said twice") }
                state.isAvailable = isAvailable
            }
        }
    }

    var now: State { state.withLock { $0 } }
    var values: [String: [UInt8]] { now.entries.compactMapValues(\.value) }
    var faults: [String] { now.faults }
    func text(_ key: String) -> String? { values[key].map { String(decoding: $0, as: UTF8.self) } }
    func revision(_ key: String) -> Int64 { now.entries[key]?.revision ?? 0 }

    /// All changes in the order in which they came.
    var changes: [StoredEntry] {
        now.news.flatMap { news in
            if case .changed(let entries) = news { return entries }
            return []
        }
    }

    /// Whether the store is available; nil: it was not said yet.
    var isAvailable: Bool? { now.isAvailable }

    var snapshots: Int {
        now.news.count { news in
            if case .snapshot = news { return true }
            return false
        }
    }
}

/// A store that is started, and what it tells.
struct Client {
    let store: any CoordinationStore
    let recorder = Recorder()

    init(_ store: any CoordinationStore) {
        self.store = store
        store.start { [recorder] in recorder.take($0) }
    }

    @discardableResult
    func swap(_ changes: [StoreChange]) async -> SwapOutcome {
        await withCheckedContinuation { continuation in store.swap(changes) { continuation.resume(returning: $0) } }
    }

    @discardableResult
    func put(_ key: String, _ text: String, expected: Int64? = nil) async -> SwapOutcome {
        await swap([StoreChange(key: key, expected: expected, value: Array(text.utf8))])
    }
}

extension SwapOutcome {
    var revision: Int64? {
        if case .done(let revision) = self { return revision }
        return nil
    }

    var isUnknown: Bool {
        if case .unknown = self { return true }
        return false
    }
}
