import Foundation
import Logging
import Synchronization
import Testing

@testable import Coordination

extension CoordinationTests {
    /// What only a store on a real etcd has to bear.
    @Suite struct EtcdTests {
        private let silent = Logger(label: "etcd") { _ in SwiftLogNoOpLogHandler() }

        private func client(_ options: EtcdOptions, log: Logger? = nil) throws -> Client { Client(try EtcdStore(options, log: log ?? silent)) }

        @Test func comesBackAfterACrash() async throws {
            try await EtcdProcess.with { etcd in
                let one = try client(etcd.options())
                defer { one.store.stop() }
                one.store.hold("alive/one", value: [1])
                await one.put("before", "1")
                #expect(await eventually { one.recorder.text("before") == "1" && one.recorder.values["alive/one"] == [1] })

                await etcd.kill()
                #expect(await eventually { one.recorder.isAvailable == false })
                #expect(await one.put("before", "2").isUnknown)
                try etcd.start()
                // Another client is there first, perhaps.
                let other = try client(etcd.options())
                defer { other.store.stop() }
                try await etcd.answering()
                #expect(await other.put("after", "3").revision != nil)
                #expect(await eventually { one.recorder.text("after") == "3" && one.recorder.isAvailable == true })
                #expect(await eventually { other.recorder.values["alive/one"] == [1] })
                #expect(one.recorder.text("before") == "1")
                #expect(one.recorder.faults == [])
            }
        }

        @Test func holdsAgainWhatWasLostWithALease() async throws {
            try await EtcdProcess.with { etcd in
                let one = try client(etcd.options())
                defer { one.store.stop() }
                one.store.hold("alive", value: [1])
                #expect(await eventually { one.recorder.values["alive"] == [1] })
                let leases = try await EtcdTests.leases(etcd)
                #expect(leases.count == 1)
                for lease in leases { try await etcd.admin("/v3/lease/revoke", ["ID": "\(lease)"]) }
                // A machine that is slow may lose one more by itself: each loss is followed by the key again.
                #expect(
                    await eventually {
                        let values = one.recorder.changes.filter { $0.key == "alive" }.map { $0.value }
                        return values.contains(nil) && values.last == [1]
                    })
                #expect(try await !EtcdTests.leases(etcd).contains { leases.contains($0) })
            }
        }

        private struct Leases: Decodable {
            struct One: Decodable { var ID: String }
            var leases: [One]?
        }

        private static func leases(_ etcd: EtcdProcess) async throws -> [String] {
            let found: Leases = try await etcd.ask("/v3/lease/leases")
            return found.leases?.map(\.ID) ?? []
        }

        @Test func aServerThatStandsStillIsNoticed() async throws {
            try await EtcdProcess.with { etcd in
                let one = try client(etcd.options(requestMilliseconds: 1000))
                defer { one.store.stop() }
                #expect(await eventually { one.recorder.isAvailable == true })
                await etcd.pause()
                let begun = ContinuousClock.now
                let outcome = await one.put("key", "1")
                let took = ContinuousClock.now - begun
                #expect(outcome.isUnknown)
                #expect(took >= .milliseconds(900) && took < .seconds(10), "\(took)")
                #expect(await eventually { one.recorder.isAvailable == false })
                etcd.signal(SIGCONT)
                #expect(await eventually { one.recorder.isAvailable == true })
                let expected = one.recorder.revision("key")
                #expect(await one.put("key", "2", expected: expected).isUnknown == false)
                #expect(one.recorder.faults == [])
            }
        }

        @Test func stoppingDoesNotWaitForRequests() async throws {
            try await EtcdProcess.with { etcd in
                let one = try client(etcd.options(requestMilliseconds: 30_000))
                one.store.hold("alive", value: [])
                #expect(await eventually { one.recorder.values["alive"] == [] })
                await etcd.pause()
                let begun = ContinuousClock.now
                let pending = Task { await one.put("key", "1") }
                one.store.stop()
                #expect(ContinuousClock.now - begun < .seconds(10))
                // What was under way is answered too.
                #expect(await pending.value.isUnknown)
                #expect(one.recorder.isAvailable == true)
            }
        }

        @Test func readsAnewWhatIsCompacted() async throws {
            try await EtcdProcess.with { etcd in
                let relay = try Relay(to: etcd.port)
                defer { relay.end() }
                var through = etcd.options(requestMilliseconds: 1000)
                through.endpoints = ["http://127.0.0.1:\(relay.port)"]
                let one = try client(through)
                let other = try client(etcd.options())
                defer {
                    one.store.stop()
                    other.store.stop()
                }
                #expect(await eventually { one.recorder.isAvailable == true })
                relay.isCut = true
                #expect(await eventually { one.recorder.isAvailable == false })
                for number in 0..<5 { await other.put("key \(number % 2)", "\(number)") }
                let last = try #require(await other.put("key 1", "last").revision)
                try await etcd.admin("/v3/kv/compaction", ["revision": "\(last)"])
                relay.isCut = false
                #expect(await eventually { one.recorder.text("key 1") == "last" && one.recorder.isAvailable == true })
                #expect(one.recorder.snapshots == 2)
                await other.put("key 0", "more")
                #expect(await eventually { one.recorder.text("key 0") == "more" })
                #expect(one.recorder.faults == [])
            }
        }

        /// The connection stays, but nothing comes from the server any more: not even that it is closed.
        @Test func aConnectionThatIsDeadInOneDirectionIsNoticed() async throws {
            try await EtcdProcess.with { etcd in
                let relay = try Relay(to: etcd.port)
                defer { relay.end() }
                var through = etcd.options(requestMilliseconds: 1000)
                through.endpoints = ["http://127.0.0.1:\(relay.port)", etcd.endpoint]
                let one = try client(through)
                let other = try client(etcd.options())
                defer {
                    one.store.stop()
                    other.store.stop()
                }
                #expect(await eventually { one.recorder.isAvailable == true })
                await other.put("key", "1")
                #expect(await eventually { one.recorder.text("key") == "1" })
                relay.isDeaf = true
                await other.put("key", "2")
                // By the other endpoint.
                #expect(await eventually { one.recorder.text("key") == "2" && one.recorder.isAvailable == true })
                #expect(one.recorder.snapshots == 1 && one.recorder.faults == [])
                // A swap asks an endpoint that refuses connections, and the next one.
                relay.end()
                for number in 0..<4 { #expect(await one.put("key", "\(number)").revision != nil) }
            }
        }

        @Test func wantsTheRightPassword() async throws {
            try await EtcdProcess.with { etcd in
                try await etcd.admin("/v3/auth/user/add", ["name": "root", "password": "secret"])
                try await etcd.admin("/v3/auth/user/grant", ["user": "root", "role": "root"])
                var options = etcd.options(requestMilliseconds: 10_000)
                options.username = "root"
                options.password = "secret"
                // A user is no hindrance as long as etcd asks for none.
                let early = try client(options)
                defer { early.store.stop() }
                #expect(await eventually { early.recorder.isAvailable == true })
                try await etcd.admin("/v3/auth/enable")
                #expect(await early.put("early", "1").revision != nil)

                let right = try client(options)
                defer { right.store.stop() }
                #expect(await eventually { right.recorder.isAvailable == true && right.recorder.text("early") == "1" })
                options.password = "guess"
                let messages = Messages()
                let wrong = try client(options, log: Logger(label: "etcd") { _ in messages.handler })
                defer { wrong.store.stop() }
                #expect(await eventually { wrong.recorder.isAvailable == false && !messages.errors.isEmpty })
                #expect(messages.errors.first?.contains("invalid user ID or password") == true, "\(messages.errors)")
                #expect(await wrong.put("key", "1").isUnknown)

                #expect(await EtcdTests.refusal(of: try EtcdGateway(etcd.options())).contains("user name is empty"))

                // It forgets its tokens with its life.
                await etcd.kill()
                #expect(await eventually { right.recorder.isAvailable == false })
                try etcd.start()
                #expect(await eventually { right.recorder.isAvailable == true })
                #expect(await right.put("key", "2").revision != nil)
                #expect(await eventually { right.recorder.text("key") == "2" })
                #expect(wrong.recorder.isAvailable == false && wrong.recorder.snapshots == 0)
            }
        }

        /// What a watch that is not allowed is told.
        private static func refusal(of gateway: EtcdGateway) async -> String {
            var reason = ""
            do {
                for try await answer in try await gateway.watch(from: 1) where answer.canceled == true {
                    reason = answer.cancelReason ?? ""
                    break
                }
            } catch { reason = "\(error)" }
            await gateway.shutdown()
            return reason
        }

        @Test func speaksTLS() async throws {
            let certificates = try Certificates()
            defer { certificates.remove() }
            try await EtcdProcess.with(tls: certificates) { etcd in
                let one = try client(etcd.options())
                defer { one.store.stop() }
                #expect(await eventually { one.recorder.isAvailable == true })
                one.store.hold("alive", value: [1])
                #expect(await one.put("key", "1", expected: 0).revision != nil)
                #expect(await eventually { one.recorder.text("key") == "1" && one.recorder.values["alive"] == [1] })
                // Signs of life are exchanged for longer than silence is borne.
                try await Task.sleep(for: .milliseconds(3000))
                #expect(!one.recorder.now.news.contains(.available(false)))

                var strange = etcd.options()
                strange.caFile = nil
                let distrustful = try client(strange)
                defer { distrustful.store.stop() }
                #expect(await eventually { distrustful.recorder.isAvailable == false })
                strange = etcd.options()
                strange.certificateFile = nil
                strange.keyFile = nil
                let nameless = try client(strange)
                defer { nameless.store.stop() }
                #expect(await eventually { nameless.recorder.isAvailable == false })
            }
        }

        @Test func readsManyKeysByPages() async throws {
            try await EtcdProcess.with { etcd in
                let one = try client(etcd.options(requestMilliseconds: 5000))
                defer { one.store.stop() }
                for hundred in 0..<12 {
                    let changes = (0..<100).map { StoreChange(key: "key \(hundred * 100 + $0)", expected: 0, value: [UInt8(hundred)]) }
                    #expect(await one.swap(changes).revision != nil)
                }
                let other = try client(etcd.options(requestMilliseconds: 5000))
                defer { other.store.stop() }
                #expect(await eventually { one.recorder.values.count == 1200 && other.recorder.values.count == 1200 })
                #expect(other.recorder.changes == [] && other.recorder.values == one.recorder.values)
            }
        }

        @Test func badAnswersAreErrors() throws {
            for text in ["", "{", "null", "[]", #"{"header":{"revision":"x"}}"#, #"{"header":7}"#, "\u{0}\u{ff}"] {
                #expect(throws: EtcdFailure.self) { try EtcdGateway.decode(Data(text.utf8)) as EtcdRange }
                _ = EtcdFailure(status: 500, answer: Data(text.utf8))
            }
            #expect(EtcdFailure(status: 404, answer: Data(#"{"error":"gone","code":5}"#.utf8)).isNotFound)
            #expect(EtcdFailure(status: 503, answer: Data(#"{"error":"no leader","code":14}"#.utf8)).kind == .unclear)
            let inStream = EtcdFailure(status: nil, answer: Data(#"{"error":{"grpc_code":16,"message":"who?"}}"#.utf8))
            #expect(inStream.isOfToken && inStream.description == "who?")
            let largest: EtcdLease = try EtcdGateway.decode(Data(#"{"ID":"18446744073709551615","TTL":7}"#.utf8))
            #expect(largest.id?.value == -1 && largest.ttl?.value == 7)
        }

        @Test func theKeysOfAPrefix() {
            let ends: [(String, [UInt8], [UInt8])] = [("/a/", Array("/a/".utf8), Array("/a0".utf8)), ("", [0], [0]), ("a\u{7f}", [97, 127], [97, 128])]
            for (prefix, first, end) in ends {
                let options = EtcdOptions(endpoints: [], prefix: prefix)
                #expect(Array(options.range.first) == first && Array(options.range.end) == end)
            }
            let options = EtcdOptions(endpoints: [], prefix: "/é/")
            #expect(options.relative(options.stored("胡/x")) == "胡/x")
            #expect(options.relative(Data("/other".utf8)) == nil)
            #expect(options.relative(Data([0x2f, 0xc3, 0xa9, 0x2f, 0xff])) == nil)
        }

        @Test func optionsThatCannotBeAreRefused() {
            for endpoints in [[], ["127.0.0.1:2379"], ["ftp://host"], ["http://"], ["http://host:1/path"], [""]] {
                #expect(throws: EtcdOptionsError.self) { try EtcdStore(EtcdOptions(endpoints: endpoints), log: silent) }
            }
            let endpoint = "http://127.0.0.1:1/"
            #expect(throws: EtcdOptionsError.self) { try EtcdStore(EtcdOptions(endpoints: [endpoint], leaseSeconds: 0), log: silent) }
            #expect(throws: EtcdOptionsError.self) { try EtcdStore(EtcdOptions(endpoints: [endpoint], requestMilliseconds: 0), log: silent) }
            #expect(throws: EtcdOptionsError.self) { try EtcdStore(EtcdOptions(endpoints: [endpoint], username: "root"), log: silent) }
            #expect(throws: EtcdOptionsError.self) { try EtcdStore(EtcdOptions(endpoints: [endpoint], caFile: "/none"), log: silent) }
            #expect(throws: Never.self) { try EtcdStore(EtcdOptions(endpoints: [endpoint]), log: silent) }
        }
    }
}

/// Collects what is logged as an error.
private final class Messages: Sendable {
    private let texts = Mutex<[String]>([])
    var errors: [String] { texts.withLock { $0 } }
    var handler: any LogHandler { Handler(messages: self) }

    private struct Handler: LogHandler {
        let messages: Messages
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            guard event.level >= .error else { return }
            messages.texts.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
        }
    }
}
