import TestSupport
import Testing

@testable import Wire

@Suite struct HeaderTests {
    private func header(_ bytes: [UInt8]) throws -> RequestHeader {
        try bytes.withUnsafeBytes { try RequestHeader.decode($0) }
    }

    @Test func readsWhatTheClientWrites() throws {
        for spec in APIs.all where spec.key == .initProducerId {
            for version in spec.versions {
                let frame = try RequestFrame.encode(
                    InitProducerIdRequest(), version: version, correlationId: 77, clientId: "it's me")
                #expect(frame[..<4].reduce(0) { $0 << 8 | Int($1) } == frame.count - 4)
                let request = Array(frame[4...])
                let read = try header(request)
                #expect(read.apiKey == 22 && read.apiVersion == version && read.correlationId == 77)
                #expect(request.withUnsafeBytes { read.clientId(in: $0) } == "it's me")
                #expect(try InitProducerIdRequest.decode(request[read.bodyOffset...], version: version) == .init())
            }
        }
    }

    @Test func readsNullClientIdsAndTags() throws {
        let plain = try header(bytes("00030001" + "00000005" + "ffff"))
        #expect(plain == RequestHeader(apiKey: 3, apiVersion: 1, correlationId: 5, clientId: nil, bodyOffset: 10))
        let tagged = try header(bytes("00030009" + "00000005" + "000161" + "01" + "0501ff" + "99"))
        #expect(tagged == RequestHeader(apiKey: 3, apiVersion: 9, correlationId: 5, clientId: 10..<11, bodyOffset: 15))
    }

    @Test func readsHeadersOfAPIsThatAreNotDeclared() throws {
        #expect(try header(bytes("7fff0063" + "00000005" + "000161" + "0102")).correlationId == 5)
        #expect(try header(bytes("ffff0063" + "00000005" + "000161" + "0102")).bodyOffset == 11)
        // A version of ApiVersions from the future has the flexible header of today.
        #expect(try header(bytes("00120063" + "00000005" + "000161" + "00")).bodyOffset == 12)
    }

    @Test func truncatedHeadersThrow() throws {
        let whole = bytes("00030009" + "00000005" + "000161" + "01" + "0501ff")
        for length in 0..<whole.count {
            #expect(throws: WireError.self) { try header(Array(whole[..<length])) }
        }
        #expect(throws: WireError.self) { try header(bytes("0003000100000005" + "fffe")) }
        #expect(throws: WireError.self) { try header(bytes("0003000100000005" + "7fff61")) }
        var random = SeededRandom(seed: 7)
        for _ in 0..<100_000 {
            let noise = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            _ = try? header([0, UInt8.random(in: 0...30, using: &random)] + noise)
        }
    }

    @Test func responseFramesHaveTheHeaderOfTheirVersion() throws {
        #expect(
            hexadecimal(try ResponseFrame.encode(InitProducerIdResponse(), version: 1, correlationId: 9))
                == "00000014" + "00000009" + "00000000" + "0000" + "ffffffffffffffff" + "0000")
        #expect(
            hexadecimal(try ResponseFrame.encode(InitProducerIdResponse(), version: 2, correlationId: 9))
                == "00000016" + "00000009" + "00" + "00000000" + "0000" + "ffffffffffffffff" + "0000" + "00")
        // ApiVersions never has tags in its header.
        #expect(
            hexadecimal(try ResponseFrame.encode(ApiVersionsResponse(), version: 3, correlationId: 9))
                == "0000000c" + "00000009" + "0000" + "01" + "00000000" + "00")
        let read = try bytes("0000000900" + "abcd").withUnsafeBytes {
            try ResponseHeader.decode($0, api: .initProducerId, version: 2)
        }
        #expect(read == ResponseHeader(correlationId: 9, bodyOffset: 5))
    }

    @Test func aFrameThatCannotBeEncodedLeavesNothingBehind() {
        var frames: [UInt8] = [1]
        #expect(throws: WireError.self) {
            try ResponseFrame.append(InitProducerIdResponse(), version: 9, correlationId: 9, to: &frames)
        }
        #expect(frames == [1])
    }

    @Test func specsAreFoundByKey() {
        #expect(APIs.spec(0)?.advertised == 0...11 && APIs.spec(0)?.versions == 3...11)
        #expect(APIs.spec(.apiVersions)?.name == "ApiVersions")
        #expect(APIs.spec(4) == nil && APIs.spec(-1) == nil && APIs.spec(.max) == nil && APIs.spec(.min) == nil)
        #expect(APIs.spec(.apiVersions)?.responseHeaderLength(4) == 4)
        #expect(APIs.spec(.fetch)?.responseHeaderLength(11) == 4 && APIs.spec(.fetch)?.responseHeaderLength(12) == 5)
    }

    @Test func onlyWhatIsServedIsAdvertisedAndAccepted() throws {
        for spec in APIs.declared {
            #expect(APIs.all.contains { $0.key == spec.key } == spec.isServed, "\(spec.name)")
            #expect((APIs.served(spec.key.rawValue) != nil) == spec.isServed, "\(spec.name)")
            #expect(APIs.spec(spec.key)?.key == spec.key)
        }
        #expect(APIs.served(0)?.key == .produce && APIs.served(4) == nil && APIs.served(-1) == nil && APIs.served(.max) == nil)
        #expect(!APISpec(.vote, "Vote", declared: 0...1, firstFlexible: 0).isServed)
        let keys = APIs.declared.map(\.key.rawValue)
        #expect(keys == Set(keys).sorted())
    }

    @Test func errorsHaveTheProtocolsNames() {
        #expect(ErrorCode.unknownTopicOrPartition.name == "UNKNOWN_TOPIC_OR_PARTITION")
        #expect(ErrorCode.none.name == "NONE" && ErrorCode(rawValue: 119) == .invalidRegistration)
    }

    @Test func uuidsReadAsInKafkasTools() {
        #expect(Uuid.zero.description == "AAAAAAAAAAAAAAAAAAAAAA")
        #expect(Uuid(high: 0, low: 1).description == "AAAAAAAAAAAAAAAAAAAAAQ")
        #expect(Uuid(high: 0xfbff_ffff_ffff_ffff, low: 0xffff_ffff_ffff_ffff).description == "-____________________w")
    }
}

@Suite struct TopicNameTests {
    @Test(arguments: ["a", "orders.v1", "A_b-9", "...", "__consumer_offsets", String(repeating: "x", count: 249)])
    func accepts(name: String) {
        #expect(TopicName.validate(name) == nil)
    }

    @Test(arguments: ["", ".", "..", "a b", "é", "a/b", "a\0", String(repeating: "x", count: 250)])
    func refuses(name: String) {
        #expect(TopicName.validate(name) != nil)
    }

    @Test func dotsAndUnderscoresCollide() {
        #expect(TopicName.collides("a.b", "a_b") && TopicName.collides("a_b.c", "a.b_c"))
        #expect(!TopicName.collides("a.b", "a.b") && !TopicName.collides("a.b", "a-b") && !TopicName.collides("a.b", "a_bc"))
    }
}
