import TestSupport
import Testing

@testable import Codecs
@testable import Wire

@Suite struct CompressionTests {
    private let text = Array(String(repeating: "hutong ", count: 1000).utf8)
    static let codecs = CompressionType.allCases.filter { $0 != .none }

    @Test(arguments: CompressionType.allCases, [0, 1, 100, 32 << 10, 100_000])
    func roundTrips(type: CompressionType, length: Int) throws {
        var random = SeededRandom(seed: UInt64(length))
        let noise = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
        let plain = (0..<length).map { UInt8($0 / 100 % 256) }
        for bytes in [noise, plain] {
            let code = try Compression.compress(type, bytes)
            #expect(try Compression.decompress(type, code, limit: length) == bytes)
        }
    }

    @Test func readsSnappyWithoutFraming() throws {
        #expect(try Compression.decompress(.snappy, bytes(rawSnappyVector), limit: 7000) == text)
    }

    @Test func readsGzipOfSeveralMembers() throws {
        #expect(try Compression.decompress(.gzip, bytes(gzipMembersVector), limit: 7000) == text)
    }

    @Test(arguments: CompressionType.allCases) func keepsToTheLimit(type: CompressionType) throws {
        let code = try Compression.compress(type, text)
        #expect(try Compression.decompress(type, code, limit: 7000).count == 7000)
        for limit in [6999, 100, 0, -1] {
            #expect(throws: CompressionError.tooMuch(max(0, limit))) {
                try Compression.decompress(type, code, limit: limit)
            }
        }
    }

    @Test(arguments: codecs) func aBombIsStoppedAtTheLimit(type: CompressionType) throws {
        let bomb = try Compression.compress(type, [UInt8](repeating: 0, count: 4 << 20))
        #expect(throws: CompressionError.self) { try Compression.decompress(type, bomb, limit: 1 << 16) }
    }

    @Test(arguments: codecs) func everyTruncationThrows(type: CompressionType) throws {
        let code = try Compression.compress(type, Array(text[..<700]))
        // Framed snappy is whole at the end of its header, and of each block.
        for length in 0..<code.count where !(type == .snappy && length == 16) {
            #expect(throws: CompressionError.self, "\(length) bytes") {
                try Compression.decompress(type, Array(code[..<length]), limit: 7000)
            }
        }
    }

    @Test(arguments: codecs) func noiseNeverTraps(type: CompressionType) throws {
        var random = SeededRandom(seed: 1)
        let code = try Compression.compress(type, Array(text[..<700]))
        for _ in 0..<20_000 {
            var damaged = code
            for _ in 0..<3 { damaged[Int.random(in: code.indices, using: &random)] = .random(in: 0...255, using: &random) }
            _ = try? Compression.decompress(type, damaged, limit: 1 << 20)
        }
    }

    @Test func aBlockCannotPromiseMoreThanItHolds() {
        // A snappy block of five bytes that says it decompresses to 2^32-1.
        #expect(throws: CompressionError.self) {
            try Compression.decompress(.snappy, bytes("ffffffff0f"), limit: 8 << 30)
        }
    }
}
