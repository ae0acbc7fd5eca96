import CCompression

/// gzip (RFC 1952) through zlib.
enum Gzip {
    /// zlib's window bits, plus 16 for gzip's header instead of zlib's own.
    private static let windowBits = MAX_WBITS + 16
    /// What zlib recommends.
    private static let memoryLevel: Int32 = 8

    static func compress(_ bytes: [UInt8]) throws(CompressionError) -> [UInt8] {
        guard let count = UInt32(exactly: bytes.count) else { throw CompressionError("too much to compress at once") }
        var stream = z_stream()
        let started = deflateInit2_(
            &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, windowBits, memoryLevel, Z_DEFAULT_STRATEGY, zlibVersion(),
            Int32(MemoryLayout<z_stream>.size))
        guard started == Z_OK else { throw CompressionError("zlib cannot start: \(started)") }
        defer { deflateEnd(&stream) }
        var output = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(count))))
        let status = bytes.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { output in
                stream.next_in = pointer(input)
                stream.avail_in = count
                stream.next_out = output.bindMemory(to: UInt8.self).baseAddress
                stream.avail_out = UInt32(clamping: output.count)
                return deflate(&stream, Z_FINISH)
            }
        }
        guard status == Z_STREAM_END else { throw CompressionError("zlib cannot compress: \(status)") }
        output.removeLast(output.count - Int(stream.total_out))
        return output
    }

    /// Reads one member after the other: a stream may have several.
    static func decompress(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(CompressionError) -> [UInt8] {
        guard let count = UInt32(exactly: bytes.count) else { throw .damaged("gzip", "too long") }
        var stream = z_stream()
        let started = inflateInit2_(&stream, windowBits, zlibVersion(), Int32(MemoryLayout<z_stream>.size))
        guard started == Z_OK else { throw CompressionError("zlib cannot start: \(started)") }
        defer { inflateEnd(&stream) }
        stream.next_in = pointer(bytes)
        stream.avail_in = count
        var output = BoundedOutput(limit: limit)
        while true {
            var status = Z_OK
            try output.fill { room in
                stream.next_out = room.bindMemory(to: UInt8.self).baseAddress
                stream.avail_out = UInt32(clamping: room.count)
                let offered = Int(stream.avail_out)
                status = inflate(&stream, Z_NO_FLUSH)
                return offered - Int(stream.avail_out)
            }
            switch status {
            case Z_OK: continue
            case Z_STREAM_END where stream.avail_in == 0: return output.finish()
            case Z_STREAM_END: inflateReset(&stream)
            case Z_BUF_ERROR: throw .damaged("gzip", "it is cut off")
            default: throw .damaged("gzip", "zlib answers \(status)")
            }
        }
    }

    private static func pointer(_ bytes: UnsafeRawBufferPointer) -> UnsafeMutablePointer<UInt8>? {
        // zlib does not write there; its C declaration merely lacks the const.
        UnsafeMutablePointer(mutating: bytes.bindMemory(to: UInt8.self).baseAddress)
    }
}
