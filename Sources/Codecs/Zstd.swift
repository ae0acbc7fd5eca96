import CCompression

/// Zstandard frames (RFC 8878), as in KIP-110.
enum Zstd {
    static func compress(_ bytes: [UInt8]) throws(CompressionError) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
        let written = bytes.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { output in
                ZSTD_compress(output.baseAddress, output.count, input.baseAddress, input.count, ZSTD_defaultCLevel())
            }
        }
        guard ZSTD_isError(written) == 0 else {
            throw CompressionError("zstd cannot compress: \(name(of: written))")
        }
        output.removeLast(output.count - written)
        return output
    }

    /// Reads one frame after the other: a stream may have several.
    static func decompress(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(CompressionError) -> [UInt8] {
        guard let stream = ZSTD_createDStream() else { throw CompressionError("zstd cannot start: no memory") }
        defer { ZSTD_freeDStream(stream) }
        var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        var output = BoundedOutput(limit: limit)
        while true {
            // What zstd still expects; 0 at the end of a frame.
            var expected = 0
            var progress = -input.pos
            try output.fill { (room) throws(CompressionError) in
                var piece = ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
                expected = ZSTD_decompressStream(stream, &piece, &input)
                guard ZSTD_isError(expected) == 0 else { throw .damaged("zstd", name(of: expected)) }
                progress += input.pos + piece.pos
                return piece.pos
            }
            if expected == 0, input.pos == input.size { return output.finish() }
            guard progress > 0 else { throw .damaged("zstd", "it is cut off") }
        }
    }

    private static func name(of code: Int) -> String { String(cString: ZSTD_getErrorName(code)) }
}
