import CHost
import TestSupport
import Testing

@Suite struct ChecksumTests {
    private func both(_ bytes: UnsafeRawBufferPointer, from crc: UInt32 = 0) -> (UInt32, UInt32) {
        (hutong_crc32c(crc, bytes.baseAddress, bytes.count), hutong_crc32c_portable(crc, bytes.baseAddress, bytes.count))
    }

    /// The check value, and the vectors of RFC 3720, appendix B.4.
    @Test func knownVectors() {
        let vectors: [([UInt8], UInt32)] = [
            ([], 0), (Array("123456789".utf8), 0xe306_9283), (Array(repeating: 0, count: 32), 0x8a91_36aa),
            (Array(repeating: 0xff, count: 32), 0x62a8_ab43), (Array(0..<32), 0x46dd_794e),
            ((0..<32).reversed(), 0x113f_db5c),
        ]
        for (bytes, crc) in vectors { #expect(bytes.withUnsafeBytes { both($0) } == (crc, crc)) }
        #expect(!String(cString: hutong_crc32c_name()).isEmpty)
    }

    @Test func theHardwaresFormIsThePortableOne() {
        var random = SeededRandom(seed: 1)
        let bytes = random.bytes(100_000)
        // Around the lengths at which the three streams begin and end.
        let large = [767, 768, 769, 1535, 1536, 1537, 4096, 12287, 12288, 12289, 13055, 13056, 24576, 65537, 99_992]
        bytes.withUnsafeBytes { all in
            for length in Array(0...300) + large {
                for alignment in 0..<8 {
                    let part = UnsafeRawBufferPointer(rebasing: all[alignment..<alignment + length])
                    let crc = both(part, from: UInt32(truncatingIfNeeded: random.next()))
                    #expect(crc.0 == crc.1, "\(length) bytes from \(alignment)")
                }
            }
        }
    }

    @Test func goesOnWhereItStopped() {
        var random = SeededRandom(seed: 2)
        let bytes = random.bytes(20_000)
        bytes.withUnsafeBytes { all in
            let whole = both(all).0
            for cut in [0, 1, 7, 8, 9, 1000, 12_288, 19_999, 20_000] {
                let first = both(UnsafeRawBufferPointer(rebasing: all[..<cut])).0
                #expect(both(UnsafeRawBufferPointer(rebasing: all[cut...]), from: first) == (whole, whole))
            }
        }
    }
}
