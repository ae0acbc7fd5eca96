import CCompression

/// LZ4 frames (the LZ4 frame format 1.6), as format v2 of the record batch has them (KIP-57).
enum LZ4 {
    static func compress(_ bytes: [UInt8]) throws(CompressionError) -> [UInt8] {
        var preferences = LZ4F_preferences_t()
        // The Java client reads independent blocks only.
        preferences.frameInfo.blockMode = LZ4F_blockIndependent
        preferences.frameInfo.blockSizeID = LZ4F_max64KB
        var output = [UInt8](repeating: 0, count: LZ4F_compressFrameBound(bytes.count, &preferences))
        let written = bytes.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { output in
                LZ4F_compressFrame(output.baseAddress, output.count, input.baseAddress, input.count, &preferences)
            }
        }
        guard LZ4F_isError(written) == 0 else {
            throw CompressionError("lz4 cannot compress: \(name(of: written))")
        }
        output.removeLast(output.count - written)
        return output
    }

    /// Reads one frame after the other: a stream may have several.
    static func decompress(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(CompressionError) -> [UInt8] {
        var context: OpaquePointer?
        let started = LZ4F_createDecompressionContext(&context, UInt32(LZ4F_VERSION))
        guard LZ4F_isError(started) == 0 else { throw CompressionError("lz4 cannot start: \(name(of: started))") }
        defer { LZ4F_freeDecompressionContext(context) }
        var output = BoundedOutput(limit: limit)
        var taken = 0
        while true {
            // What lz4 still expects; 0 at the end of a frame.
            var expected = 0
            var progress = 0
            try output.fill { (room) throws(CompressionError) in
                var written = room.count
                progress = bytes.count - taken
                expected = LZ4F_decompress(
                    context, room.baseAddress, &written, bytes.baseAddress.map { $0 + taken }, &progress, nil)
                guard LZ4F_isError(expected) == 0 else { throw .damaged("lz4", name(of: expected)) }
                taken += progress
                progress += written
                return written
            }
            if expected == 0, taken == bytes.count { return output.finish() }
            guard progress > 0 else { throw .damaged("lz4", "it is cut off") }
        }
    }

    private static func name(of code: Int) -> String { String(cString: LZ4F_getErrorName(code)) }
}
