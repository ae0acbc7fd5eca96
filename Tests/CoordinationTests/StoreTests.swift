import Foundation
import Logging
import Testing

@testable import Coordination

enum StoreKind: String, CaseIterable, CustomTestStringConvertible {
    case memory, etcd
    var testDescription: String { rawValue }
}

/// One after the other: several etcds at once keep each other, and all other tests, from answering in time.
@Suite(.serialized, .timeLimit(.minutes(1))) struct CoordinationTests {}

extension CoordinationTests {
    /// What every store must do, whatever it stands on.
    @Suite struct StoreTests {
        /// Runs the test with clients of one store; all are stopped at the end.
        private func with(_ kind: StoreKind, clients count: Int = 2, _ body: ([Client]) async throws -> Void) async throws {
            switch kind {
            case .memory:
                let shared = InMemoryCoordination(deliversAtOnce: true)
                try await passing((0..<count).map { Client(shared.client(name: "\($0)")) }, body)
            case .etcd:
                try await EtcdProcess.with { etcd in
                    let log = Logger(label: "etcd") { _ in SwiftLogNoOpLogHandler() }
                    let options = etcd.options(requestMilliseconds: 30_000, leaseSeconds: 60)
                    try await passing(try (0..<count).map { _ in Client(try EtcdStore(options, log: log)) }, body)
                }
            }
        }

        private func passing(_ clients: [Client], _ body: ([Client]) async throws -> Void) async throws {
            defer { for client in clients { client.store.stop() } }
            for client in clients { #expect(await eventually { client.recorder.isAvailable == true }) }
            try await body(clients)
            for client in clients { #expect(client.recorder.faults == []) }
        }

        @Test(arguments: StoreKind.allCases) func swapsWhatIsAsExpected(_ kind: StoreKind) async throws {
            try await with(kind) { clients in
                let made = await clients[0].put("a", "1", expected: 0)
                let revision = try #require(made.revision)
                #expect(await clients[1].put("a", "2", expected: 0) == .conflict)
                let second = await clients[1].put("a", "2", expected: revision)
                #expect(try #require(second.revision) > revision)
                #expect(await clients[0].put("a", "3", expected: revision) == .conflict)
                #expect(await clients[0].put("a", "3").revision != nil)
                #expect(await clients[0].put("b", "", expected: 7) == .conflict)
                for client in clients { #expect(await eventually { client.recorder.text("a") == "3" }) }
            }
        }

        @Test(arguments: StoreKind.allCases) func swapsSeveralKeysTogether(_ kind: StoreKind) async throws {
            try await with(kind) { clients in
                let made = await clients[0].swap(["a", "b", "c"].map { StoreChange(key: $0, expected: 0, value: Array($0.utf8)) })
                let revision = try #require(made.revision)
                for client in clients {
                    #expect(await eventually { client.recorder.values.count == 3 })
                    #expect(Set(client.recorder.changes.map(\.revision)) == [revision])
                }
                // One that is not as it was taken for is enough, even one that is only compared.
                let refused = await clients[1].swap([
                    StoreChange(key: "a", expected: revision, value: [1]), StoreChange(key: "d", expected: revision, value: nil),
                ])
                #expect(refused == .conflict)
                let third = await clients[1].swap([
                    StoreChange(key: "a", expected: revision, value: [1]), StoreChange(key: "b", expected: revision, value: nil),
                    StoreChange(key: "d", expected: 0, value: nil),
                ])
                #expect(third.revision != nil)
                for client in clients { #expect(await eventually { client.recorder.values == ["a": [1], "b": [98], "c": [99]] }) }
                let double = [StoreChange(key: "x", expected: nil, value: [1]), StoreChange(key: "x", expected: nil, value: [2])]
                #expect(await clients[0].swap(double).isUnknown)
            }
        }

        @Test(arguments: StoreKind.allCases) func newsComeInOrderToAll(_ kind: StoreKind) async throws {
            try await with(kind) { clients in
                for number in 0..<60 { await clients[number % 2].put("key \(number % 7)", "\(number)") }
                for client in clients { #expect(await eventually { client.recorder.changes.count == 60 }) }
                #expect(clients[0].recorder.changes == clients[1].recorder.changes)
                #expect(clients[0].recorder.changes.compactMap { $0.value.map { String(decoding: $0, as: UTF8.self) } } == (0..<60).map(String.init))
            }
        }

        @Test(arguments: StoreKind.allCases) func holdsAKeyUntilItStops(_ kind: StoreKind) async throws {
            try await with(kind) { clients in
                clients[0].store.hold("alive/0", value: [1])
                clients[0].store.hold("alive/more", value: [])
                clients[1].store.hold("alive/1", value: [2])
                for client in clients {
                    #expect(await eventually { client.recorder.values == ["alive/0": [1], "alive/more": [], "alive/1": [2]] })
                }
                clients[0].store.hold("alive/0", value: [3])
                for client in clients { #expect(await eventually { client.recorder.values["alive/0"] == [3] }) }
                let begun = ContinuousClock.now
                clients[0].store.stop()
                #expect(ContinuousClock.now - begun < .seconds(10))
                #expect(await eventually { clients[1].recorder.values == ["alive/1": [2]] })
                #expect(ContinuousClock.now - begun < .seconds(40), "sooner than by the end of the lease")
                #expect(Set(clients[1].recorder.changes.suffix(2).map(\.revision)).count == 1)
                #expect(await clients[0].put("late", "").isUnknown)
            }
        }

        @Test(arguments: StoreKind.allCases) func beginsWithASnapshot(_ kind: StoreKind) async throws {
            let every = (0...255).map { UInt8($0) }
            try await with(kind) { clients in
                await clients[0].swap([StoreChange(key: "bytes", expected: 0, value: every)])
                await clients[0].swap([StoreChange(key: "empty", expected: 0, value: [])])
                await clients[0].put("schlüssel/胡同", "x")
                for client in clients {
                    #expect(await eventually { client.recorder.values.count == 3 })
                    #expect(client.recorder.values["bytes"] == every)
                    #expect(client.recorder.values["empty"] == [])
                    guard case .snapshot(let entries, _) = client.recorder.now.news.first else {
                        Issue.record("the first news are no snapshot")
                        continue
                    }
                    #expect(entries == [])
                }
            }
        }

        @Test(arguments: StoreKind.allCases) func losesNothingUnderConcurrentSwaps(_ kind: StoreKind) async throws {
            try await with(kind) { clients in
                await clients[0].put("counter", "0", expected: 0)
                for client in clients { #expect(await eventually { client.recorder.text("counter") == "0" }) }
                // Each reads what its client has seen, and tries until its own addition is made.
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<50 { group.addTask { try await StoreTests.increment("counter", clients[number % 2]) } }
                    try await group.waitForAll()
                }
                for client in clients { #expect(await eventually { client.recorder.text("counter") == "50" }) }
                #expect(clients[0].recorder.changes.filter { $0.key == "counter" }.count == 51)
            }
        }

        private static func increment(_ key: String, _ client: Client) async throws {
            while true {
                let entry = try #require(client.recorder.now.entries[key])
                let value = try #require(Int(String(decoding: entry.value ?? [], as: UTF8.self)))
                switch await client.put(key, "\(value + 1)", expected: entry.revision) {
                case .done: return
                // All of them at once again would be beaten again, but for one.
                case .conflict: try await Task.sleep(for: .milliseconds(Int.random(in: 0..<200)))
                case .unknown(let reason): throw EtcdProcessError(description: reason)
                }
            }
        }
    }
}
