import TestSupport
import Testing

@testable import Wire

@Suite struct VersionedStructTests {
    @Test func agreesWithKafkaPython() throws {
        func check<S: SampledVersioned>(_ type: S.Type, _ version: Int16, _ hex: String) throws {
            var values = CountedValues()
            let value = S.sample(version, &values)
            #expect(hexadecimal(try value.encode(version: version)) == hex, "\(type) \(version)")
            #expect(try S.decode(bytes(hex)) == value, "\(type) \(version)")
        }
        let byName = Dictionary(uniqueKeysWithValues: sampledVersioned.map { ("\($0)", $0) })
        for (name, version, hex) in versionedGoldenVectors {
            let type: any SampledVersioned.Type = try #require(byName[name])
            try check(type, version, hex)
        }
    }

    @Test(arguments: sampledVersioned.indices) func goldenVectorsCoverEveryVersion(index: Int) {
        let type = sampledVersioned[index]
        #expect(versionedGoldenVectors.filter { $0.name == "\(type)" }.map(\.version) == Array(type.versions))
    }

    @Test(arguments: sampledVersioned.indices) func randomValuesRoundTrip(index: Int) throws {
        func check<S: SampledVersioned>(_ type: S.Type) throws {
            for version in S.versions {
                for seed in 0..<50 {
                    var values = RandomValues(seed: UInt64(seed))
                    let value = S.sample(version, &values)
                    #expect(try S.decode(value.encode(version: version)) == value, "\(type) \(version), seed \(seed)")
                }
            }
        }
        try check(sampledVersioned[index])
    }

    @Test(arguments: sampledVersioned.indices) func everyTruncationThrows(index: Int) throws {
        func check<S: SampledVersioned>(_ type: S.Type) throws {
            for version in S.versions {
                var values = CountedValues()
                let value = S.sample(version, &values)
                let code = try value.encode(version: version)
                for length in 0..<code.count {
                    #expect(throws: WireError.self, "\(type) \(version), \(length) bytes") { try S.decode(Array(code[..<length])) }
                }
                // What follows is an error, unless it may be what a newer version has added.
                if S.isExtensible {
                    #expect(try S.decode(code + [0]) == value)
                } else {
                    #expect(throws: WireError.self) { try S.decode(code + [0]) }
                }
            }
        }
        try check(sampledVersioned[index])
    }

    @Test(arguments: sampledVersioned.indices) func randomBytesNeverTrap(index: Int) throws {
        func check<S: SampledVersioned>(_ type: S.Type) throws {
            var random = SeededRandom(seed: 42)
            var values = CountedValues()
            let samples = try S.versions.map { try S.sample($0, &values).encode(version: $0) }
            for _ in 0..<50_000 {
                let sample = samples.randomElement(using: &random)!
                _ = try? S.decode(sample.mutated(using: &random))
                _ = try? S.decode(Array(sample[..<2]) + random.bytes(random.below(64)))
            }
        }
        try check(sampledVersioned[index])
    }

    @Test func refusesVersionsThatItDoesNotHave() {
        #expect(throws: WireError.self) { try OffsetCommitValue().encode(version: 5) }
        #expect(throws: WireError.self) { try OffsetCommitValue().encode(version: -1) }
        #expect(throws: WireError.self) { try GroupMetadataKey().encode(version: 1) }
        #expect(throws: WireError.self) { try OffsetCommitValue.decode(bytes("0005" + "00")) }
        #expect(throws: WireError.self) { try OffsetCommitValue.decode(bytes("ffff" + "00")) }
        #expect(throws: WireError.self) { try ConsumerProtocolSubscription().encode(version: 4) }
        #expect(throws: WireError.self) { try ConsumerProtocolAssignment.decode(bytes("ffff" + "00000000" + "ffffffff")) }
    }

    /// The consumer protocol only grows, at its end: what a newer consumer adds is left unread.
    @Test func readsWhatItKnowsOfNewerConsumers() throws {
        var subscription = ConsumerProtocolSubscription()
        subscription.topics = ["a"]
        subscription.rackId = "r"
        let code = "00000001" + "000161" + "ffffffff" + "00000000" + "ffffffff" + "000172"
        #expect(hexadecimal(try subscription.encode(version: 3)) == "0003" + code)
        #expect(try ConsumerProtocolSubscription.decode(bytes("0004" + code + "abcd")) == subscription)
        #expect(try ConsumerProtocolSubscription.decode(bytes("7fff" + code)) == subscription)
        var assignment = ConsumerProtocolAssignment()
        assignment.assignedPartitions = [.init(topic: "a", partitions: [7])]
        #expect(try ConsumerProtocolAssignment.decode(bytes("0063" + "00000001" + "000161" + "00000001" + "00000007" + "ffffffff" + "ab")) == assignment)
    }

    @Test func aKeysVersionTellsItsKind() throws {
        let offset = OffsetCommitKey(group: "g", topic: "t", partition: 7)
        for version in Int16(0)...1 {
            #expect(try ConsumerOffsetsKey.decode(offset.encode(version: version)) == .offset(offset))
        }
        #expect(try ConsumerOffsetsKey.decode(bytes("0002" + "000167")) == .group(GroupMetadataKey(group: "g")))
        #expect(try ConsumerOffsetsKey.decode(bytes("0003" + "000167")) == .other(version: 3))
        #expect(try ConsumerOffsetsKey.decode(bytes("ffff")) == .other(version: -1))
        for hex in ["", "00", "0002", "0002" + "000267", "0002" + "00016767", "0001" + "000167" + "000174", "0002" + "ffff"] {
            #expect(throws: WireError.self, "\(hex)") { try ConsumerOffsetsKey.decode(bytes(hex)) }
        }
    }

    /// Version 4 can be given tagged fields, which who does not know them skips (KIP-915).
    @Test func skipsTagsOfNewerCoordinators() throws {
        var value = OffsetCommitValue()
        value.offset = 5
        value.metadata = "m"
        let fields = "0000000000000005" + "ffffffff" + "026d" + "0000000000000000"
        #expect(hexadecimal(try value.encode(version: 4)) == "0004" + fields + "00")
        #expect(try OffsetCommitValue.decode(bytes("0004" + fields + "01" + "0002abcd")) == value)
        #expect(throws: WireError.self) { try OffsetCommitValue.decode(bytes("0004" + fields + "01" + "0003abcd")) }
    }
}
