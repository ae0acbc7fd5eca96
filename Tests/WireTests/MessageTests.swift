import TestSupport
import Testing

@testable import Wire

@Suite struct MessageTests {
    @Test func agreesWithKafkaPython() throws {
        func check<M: Sampled>(_ type: M.Type, _ version: Int16, _ hex: String) throws {
            var values = CountedValues()
            let message = M.sample(version, &values)
            #expect(hexadecimal(try message.encode(version: version)) == hex, "\(type) \(version)")
            #expect(try M.decode(bytes(hex), version: version) == message, "\(type) \(version)")
        }
        let byName = Dictionary(uniqueKeysWithValues: sampledMessages.map { ("\($0)", $0) })
        for (name, version, hex) in goldenVectors {
            let type: any Sampled.Type = try #require(byName[name])
            try check(type, version, hex)
        }
    }

    @Test(arguments: sampledMessages.indices) func goldenVectorsCoverEveryVersion(index: Int) throws {
        let type = sampledMessages[index]
        let versions = goldenVectors.filter { $0.name == "\(type)" }.map(\.version)
        #expect(versions == Array(try #require(APIs.spec(type.api)).versions))
    }

    @Test(arguments: sampledMessages.indices) func randomMessagesRoundTrip(index: Int) throws {
        func check<M: Sampled>(_ type: M.Type) throws {
            for version in try #require(APIs.spec(M.api)).versions {
                for seed in 0..<50 {
                    var values = RandomValues(seed: UInt64(seed))
                    let message = M.sample(version, &values)
                    let code = try message.encode(version: version)
                    #expect(try M.decode(code, version: version) == message, "\(type) \(version), seed \(seed)")
                }
            }
        }
        try check(sampledMessages[index])
    }

    @Test(arguments: sampledMessages.indices) func everyTruncationThrows(index: Int) throws {
        func check<M: Sampled>(_ type: M.Type) throws {
            for version in try #require(APIs.spec(M.api)).versions {
                var values = CountedValues()
                let code = try M.sample(version, &values).encode(version: version)
                for length in 0..<code.count {
                    #expect(throws: WireError.self, "\(type) \(version), \(length) bytes") {
                        try M.decode(code[..<length], version: version)
                    }
                }
                #expect(throws: WireError.self) { try M.decode(code + [0], version: version) }
            }
        }
        try check(sampledMessages[index])
    }

    @Test(arguments: sampledMessages.indices) func randomBytesNeverTrap(index: Int) throws {
        func check<M: Sampled>(_ type: M.Type) throws {
            let versions = try #require(APIs.spec(M.api)).versions
            var random = SeededRandom(seed: 42)
            var values = CountedValues()
            let samples = try versions.map { try M.sample($0, &values).encode(version: $0) }
            for _ in 0..<20_000 {
                let place = Int.random(in: samples.indices, using: &random)
                // Pure noise seldom comes far: half of the tries damage a few bytes of a good message instead.
                var code: [UInt8]
                if Bool.random(using: &random) {
                    code = (0..<Int.random(in: 0...64, using: &random)).map { _ in .random(in: 0...255, using: &random) }
                } else {
                    code = samples[place]
                    for _ in 0..<3 where !code.isEmpty {
                        code[Int.random(in: code.indices, using: &random)] = .random(in: 0...255, using: &random)
                    }
                }
                _ = try? M.decode(code, version: versions.lowerBound + Int16(place))
            }
        }
        try check(sampledMessages[index])
    }

    @Test func refusesVersionsThatAreNotDeclared() {
        #expect(throws: WireError.self) { try ProduceRequest().encode(version: 2) }
        #expect(throws: WireError.self) { try FetchRequest.decode([], version: 18) }
        #expect(throws: WireError.self) { try MetadataRequest.decode([], version: -1) }
    }

    @Test func refusesNullWhereTheVersionHasNone() {
        var request = MetadataRequest()
        request.topics = nil
        #expect(throws: WireError.self) { try request.encode(version: 0) }
        #expect(throws: WireError.self) { try MetadataRequest.decode(bytes("ffffffff"), version: 0) }
        #expect(throws: Never.self) { try MetadataRequest.decode(bytes("ffffffff"), version: 1) }
        var join = JoinGroupResponse()
        join.protocolName = nil
        #expect(throws: WireError.self) { try join.encode(version: 6) }
        #expect(throws: Never.self) { try join.encode(version: 7) }
    }

    /// All topics of a group are asked for with null, not with none (KIP-88).
    @Test func allOffsetsAreAskedForWithNull() throws {
        var request = OffsetFetchRequest()
        request.groupId = "g"
        request.topics = nil
        #expect(throws: WireError.self) { try request.encode(version: 1) }
        #expect(throws: WireError.self) { try OffsetFetchRequest.decode(bytes("000167" + "ffffffff"), version: 1) }
        for (version, hex) in [(Int16(2), "000167" + "ffffffff"), (6, "0267" + "00" + "00"), (7, "0267" + "00" + "00" + "00")] {
            #expect(hexadecimal(try request.encode(version: version)) == hex)
            #expect(try OffsetFetchRequest.decode(bytes(hex), version: version) == request)
        }
        var several = OffsetFetchRequest()
        several.groups = [.init(groupId: "g", topics: nil), .init(groupId: "h", topics: [])]
        let hex = "03" + "0267" + "00" + "00" + "0268" + "01" + "00" + "00" + "00"
        #expect(hexadecimal(try several.encode(version: 8)) == hex)
        #expect(try OffsetFetchRequest.decode(bytes(hex), version: 8) == several)
    }

    @Test func refusesHostileLengths() {
        // Arrays of 2^31-1, 2^31 and of more elements than bytes; strings likewise; a varint that does not end.
        for hex in ["7fffffff", "80000000", "fffffffe", "00000005000161", "000000017fff", "00000001fffe"] {
            #expect(throws: WireError.self, "\(hex)") { try MetadataRequest.decode(bytes(hex), version: 0) }
        }
        for hex in ["ffffffff0f", "ffffffff10", "ffffffffffffffffff", "80", "02" + "ffffffff0f"] {
            #expect(throws: WireError.self, "\(hex)") { try MetadataRequest.decode(bytes(hex), version: 9) }
        }
    }

    @Test func boundsTheElementsOfOneMessage() throws {
        var request = MetadataRequest()
        request.topics = Array(repeating: .init(name: "a"), count: 100)
        let code = try request.encode(version: 9)
        func decode(maxElements: Int) throws -> MetadataRequest {
            try code.withUnsafeBytes { try MetadataRequest.decode($0, version: 9, maxElements: maxElements) }
        }
        #expect(try decode(maxElements: 100) == request)
        #expect(throws: WireError.self) { try decode(maxElements: 99) }
    }

    @Test func refusesStringsThatAreNotUTF8() {
        #expect(throws: WireError.self) { try MetadataRequest.decode(bytes("000000010002c328"), version: 0) }
    }

    @Test func skipsTagsItDoesNotKnow() throws {
        // InitProducerId 2: null, 0, then two tagged fields that nobody defined.
        let request = try InitProducerIdRequest.decode(bytes("0000000000" + "02" + "0702abcd" + "9001" + "00"), version: 2)
        #expect(request == InitProducerIdRequest())
        #expect(throws: WireError.self) {
            try InitProducerIdRequest.decode(bytes("0000000000" + "01" + "0705abcd"), version: 2)
        }
    }

    @Test func refusesTaggedFieldsOfAnotherSize() {
        // ApiVersions 3 with the finalized features' epoch (tag 1) in 9 bytes instead of 8.
        #expect(throws: WireError.self) {
            try ApiVersionsResponse.decode(bytes("0000" + "01" + "00000000" + "010109" + "000000000000000100"), version: 3)
        }
    }

    @Test func leavesWhatWasThereWhenAppending() throws {
        var code: [UInt8] = [1, 2, 3]
        try ApiVersionsRequest().append(to: &code, version: 0)
        #expect(code == [1, 2, 3])
        try InitProducerIdRequest().append(to: &code, version: 0)
        #expect(code == [1, 2, 3, 0xff, 0xff, 0, 0, 0, 0])
    }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}

func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

@Suite struct PartitionGroupTagTests {
    /// Who does not ask for groups sends and gets the bytes that Kafka knows; who does is told.
    @Test func isThereWhereItIsAskedFor() throws {
        var request = MetadataRequest()
        let plain = try request.encode(version: 12)
        request.includePartitionGroups = true
        #expect(try request.encode(version: 12).count > plain.count)
        #expect(try MetadataRequest.decode(request.encode(version: 12), version: 12) == request)
        #expect(try !MetadataRequest.decode(request.encode(version: 8), version: 8).includePartitionGroups)
        for group in [nil, 0, 7, UInt16.max] {
            var response = MetadataResponse()
            var topic = MetadataResponse.Topic()
            var partition = MetadataResponse.Partition()
            partition.group = group
            topic.partitions = [partition]
            response.topics = [topic]
            let read = try MetadataResponse.decode(response.encode(version: 12), version: 12)
            #expect(read == response && read.topics[0].partitions[0].group == group)
        }
    }
}
