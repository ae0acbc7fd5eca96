import Synchronization
import Testing

@testable import Coordination

extension CoordinationTests {
    /// What only the store in memory can be told to do.
    @Suite struct InMemoryTests {
        private let shared = InMemoryCoordination()

        private func client(_ name: String) -> (store: InMemoryStore, recorder: Recorder) {
            let store = shared.client(name: name)
            let recorder = Recorder()
            store.start { recorder.take($0) }
            return (store, recorder)
        }

        /// It is done within the call.
        @discardableResult
        private func put(_ store: InMemoryStore, _ key: String, _ value: UInt8) -> SwapOutcome {
            let outcome = Outcome()
            store.swap([StoreChange(key: key, expected: nil, value: [value])]) { result in outcome.value.withLock { $0 = result } }
            return outcome.value.withLock { $0 }
        }

        private final class Outcome: Sendable { let value = Mutex(SwapOutcome.conflict) }

        @Test func newsComeWhenTheyAreDelivered() {
            let (store, recorder) = client("a")
            #expect(recorder.now.news == [])
            store.deliver()
            #expect(recorder.now.news == [.snapshot([], revision: 1), .available(true)])
            put(store, "x", 1)
            put(store, "y", 2)
            #expect(recorder.now.news.count == 2)
            store.deliver()
            let entries = [StoredEntry(key: "x", value: [1], revision: 2), StoredEntry(key: "y", value: [2], revision: 3)]
            #expect(recorder.now.news.last == .changed(entries))
            let (later, seen) = client("b")
            later.deliver()
            #expect(seen.now.news == [.snapshot(entries, revision: 3), .available(true)])
        }

        @Test func oneThatIsCutOffSeesTheChangesAfterwards() {
            let (one, oneSaw) = client("a")
            let (other, otherSaw) = client("b")
            one.deliver()
            other.deliver()
            one.isCutOff = true
            #expect(put(one, "x", 1).isUnknown)
            put(other, "y", 2)
            one.hold("held", value: [3])
            one.deliver()
            one.deliver()
            #expect(oneSaw.isAvailable == false)
            #expect(oneSaw.values == [:])
            one.isCutOff = false
            one.deliver()
            other.deliver()
            #expect(oneSaw.isAvailable == true)
            #expect(oneSaw.values == ["y": [2], "held": [3]] && oneSaw.snapshots == 1)
            #expect(otherSaw.values == oneSaw.values)
            #expect(oneSaw.faults == [] && otherSaw.faults == [])
        }

        @Test func answersMayBeLost() {
            let (store, recorder) = client("a")
            store.losesAnswers = true
            #expect(put(store, "x", 1).isUnknown)
            store.deliver()
            #expect(recorder.values == ["x": [1]])
        }

        @Test func aLeaseEndsWhenTheTestSaysSo() {
            let (one, _) = client("a")
            let (other, seen) = client("b")
            one.hold("held", value: [1])
            other.deliver()
            one.isCutOff = true
            shared.expire(one)
            one.deliver()
            other.deliver()
            #expect(seen.values == [:])
            one.isCutOff = false
            one.deliver()
            other.deliver()
            #expect(seen.values == ["held": [1]])
            shared.expire(one)
            one.deliver()
            other.deliver()
            #expect(seen.values == ["held": [1]])
            one.isCutOff = true
            one.stop()
            other.deliver()
            #expect(seen.values == ["held": [1]])
            shared.expire(one)
            other.deliver()
            #expect(seen.values == [:] && seen.faults == [])
        }

        @Test func whatIsForgottenComesAsASnapshot() {
            let (one, seen) = client("a")
            one.deliver()
            put(one, "x", 1)
            shared.compact()
            put(one, "y", 2)
            one.deliver()
            #expect(seen.snapshots == 2 && seen.values == ["x": [1], "y": [2]] && seen.faults == [])
        }
    }
}
