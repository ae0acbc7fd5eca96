import CCompression

/// Snappy blocks, and the framing of the xerial library around them: a header of magic, version and least compatible
/// version, then blocks, each after its length in four bytes, big-endian.
enum Snappy {
    private static let magic: [UInt8] = [0x82] + Array("SNAPPY".utf8) + [0]
    /// Version 1, compatible down to 1.
    private static let versions: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 1]
    private static let headerLength = 16
    /// Bytes in one block before compression: the xerial library's default.
    private static let blockLength = 32 << 10

    static func compress(_ bytes: [UInt8]) throws(CompressionError) -> [UInt8] {
        var framed = magic + versions
        var block = [UInt8](repeating: 0, count: snappy_max_compressed_length(min(blockLength, bytes.count)))
        for start in stride(from: 0, to: bytes.count, by: blockLength) {
            var length = block.count
            let status = bytes[start..<min(start + blockLength, bytes.count)].withUnsafeBytes { input in
                block.withUnsafeMutableBytes { output in
                    snappy_compress(input.baseAddress, input.count, output.baseAddress, &length)
                }
            }
            guard status == SNAPPY_OK else { throw CompressionError("snappy cannot compress: \(status.rawValue)") }
            withUnsafeBytes(of: UInt32(truncatingIfNeeded: length).bigEndian) { framed.append(contentsOf: $0) }
            framed.append(contentsOf: block[..<length])
        }
        return framed
    }

    static func decompress(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(CompressionError) -> [UInt8] {
        var output: [UInt8] = []
        guard bytes.count >= headerLength, bytes.prefix(magic.count).elementsEqual(magic) else {
            try append(bytes, to: &output, limit: limit)
            return output
        }
        var rest = UnsafeRawBufferPointer(rebasing: bytes[headerLength...])
        while !rest.isEmpty {
            guard rest.count >= 4 else { throw .damaged("snappy", "it is cut off") }
            let length = Int(UInt32(bigEndian: rest.loadUnaligned(as: UInt32.self)))
            guard length <= rest.count - 4 else { throw .damaged("snappy", "it is cut off") }
            try append(UnsafeRawBufferPointer(rebasing: rest[4..<4 + length]), to: &output, limit: limit)
            rest = UnsafeRawBufferPointer(rebasing: rest[(4 + length)...])
        }
        return output
    }

    /// Appends what one block decompresses to.
    private static func append(
        _ block: UnsafeRawBufferPointer, to output: inout [UInt8], limit: Int
    ) throws(CompressionError) {
        var length = 0
        guard snappy_uncompressed_length(block.baseAddress, block.count, &length) == SNAPPY_OK else {
            throw .damaged("snappy", "a block without a length")
        }
        guard length <= limit - output.count else { throw .tooMuch(limit) }
        // A block says its length itself: see that it can be true before there is room for it. Snappy's densest element
        // makes 64 bytes of 3.
        guard length / 32 <= block.count else { throw .damaged("snappy", "a block with an impossible length") }
        let start = output.count
        output += [UInt8](repeating: 0, count: length)
        let status = output.withUnsafeMutableBytes { all in
            var room = all.count - start
            return snappy_uncompress(block.baseAddress, block.count, all.baseAddress.map { $0 + start }, &room)
        }
        guard status == SNAPPY_OK else { throw .damaged("snappy", "a block that cannot be read") }
    }
}
