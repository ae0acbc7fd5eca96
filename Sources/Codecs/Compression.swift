import Wire

/// Bytes that their codec cannot read, or that are more than the reader allows.
public struct CompressionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was found, as a sentence for the log.
    public let reason: String

    init(_ reason: String) {
        self.reason = reason
    }

    public var description: String { reason }
}

/// The codecs of record batches, in the forms that Kafka's clients read.
public enum Compression {
    /// Compresses with the codec's default level.
    ///
    /// - gzip: one member (RFC 1952).
    /// - snappy: blocks in the framing of the xerial library, which Java clients write and librdkafka reads too.
    /// - lz4: one frame with independent blocks of at most 64 KiB (KIP-57).
    /// - zstd: one frame that says its content's size (KIP-110).
    public static func compress(_ type: CompressionType, _ bytes: [UInt8]) throws(CompressionError) -> [UInt8] {
        switch type {
        case .none: bytes
        case .gzip: try Gzip.compress(bytes)
        case .snappy: try Snappy.compress(bytes)
        case .lz4: try LZ4.compress(bytes)
        case .zstd: try Zstd.compress(bytes)
        }
    }

    /// Decompresses at most `limit` bytes; throws if there are more, without ever having held them.
    ///
    /// Snappy is read with and without the xerial framing, for librdkafka and others leave it out.
    public static func decompress(
        _ type: CompressionType, _ bytes: UnsafeRawBufferPointer, limit: Int
    ) throws(CompressionError) -> [UInt8] {
        let limit = max(0, limit)
        switch type {
        case .none:
            guard bytes.count <= limit else { throw .tooMuch(limit) }
            return [UInt8](bytes)
        case .gzip: return try Gzip.decompress(bytes, limit: limit)
        case .snappy: return try Snappy.decompress(bytes, limit: limit)
        case .lz4: return try LZ4.decompress(bytes, limit: limit)
        case .zstd: return try Zstd.decompress(bytes, limit: limit)
        }
    }

    /// As ``decompress(_:_:limit:)-(_,UnsafeRawBufferPointer,_)``.
    public static func decompress(
        _ type: CompressionType, _ bytes: [UInt8], limit: Int
    ) throws(CompressionError) -> [UInt8] {
        try bytes.withUnsafeBytes { raw in
            Result { () throws(CompressionError) in try decompress(type, raw, limit: limit) }
        }.get()
    }
}

extension CompressionError {
    static func tooMuch(_ limit: Int) -> CompressionError {
        CompressionError("the records decompress to more than the \(limit) bytes allowed")
    }

    static func damaged(_ codec: String, _ why: String) -> CompressionError {
        CompressionError("damaged \(codec) data: \(why)")
    }
}

/// Bytes that grow piece by piece as a streaming codec makes them, up to a limit.
struct BoundedOutput: ~Copyable {
    /// What was written, then free room.
    private var storage: [UInt8] = []
    private var used = 0
    private let limit: Int

    init(limit: Int) {
        self.limit = min(limit, Int.max - 1)
    }

    /// Lets `body` write into the free room, and keeps as many bytes as it says it wrote.
    ///
    /// There is room for one byte more than the limit: a codec that fills it has too much to say.
    mutating func fill(
        _ body: (UnsafeMutableRawBufferPointer) throws(CompressionError) -> Int
    ) throws(CompressionError) {
        if used == storage.count {
            // Doubling, from a piece that holds the usual batch.
            let piece = min(max(used, 16 << 10), limit + 1 - used)
            storage += [UInt8](repeating: 0, count: piece)
        }
        let written = try storage.withUnsafeMutableBytes { all in
            Result { () throws(CompressionError) in
                try body(UnsafeMutableRawBufferPointer(rebasing: all[used...]))
            }
        }.get()
        used += written
        guard used <= limit else { throw .tooMuch(limit) }
    }

    consuming func finish() -> [UInt8] {
        storage.removeLast(storage.count - used)
        return storage
    }
}
