// Unsafe on purpose: windows of files in raw memory; what is handed out points into a window, and is good until the next call.

import DequeModule
import Glibc
import IO

/// A part of a journal's file that is read because it is no longer in the journal cache.
public struct ColdFile: Hashable, Sendable {
    public enum Kind: Hashable, Sendable { case segment, index }
    public var kind: Kind
    public var group: UInt16
    /// The segment's number.
    public var number: UInt64

    public init(_ kind: Kind, group: UInt16, number: UInt64) {
        self.kind = kind
        self.group = group
        self.number = number
    }
}

/// What was asked of the cold cache.
public enum ColdBytes {
    /// The bytes from the asked place on, as many as the window holds; at least one.
    case ready(UnsafeRawBufferPointer)
    /// They are being read: ask again after a completion.
    case loading
    /// They can't be read; an errno.
    case failed(Int32)
}

/// Windows of old segments and index files, read past the page cache and kept in a fixed amount of memory, the least recently
/// used making room. It never waits: who finds something missing comes back when it has been read.
public struct ColdCache: ~Copyable {
    public static let windowBytes = 256 << 10
    private static let openFiles = 64

    private struct Key: Hashable {
        var file: ColdFile
        var window: UInt64
    }

    private struct Window {
        var key: Key?
        var isLoading = false
        /// Bytes that were read; a negative errno.
        var result = 0
        var lastUse: UInt64 = 0
    }

    private struct OpenFile {
        var handle: Int32
        var readers: Int
        var lastUse: UInt64
    }

    private let files: any FilePort
    private let path: (ColdFile) -> String
    private let memory: AlignedBuffer
    private var windows: [Window]
    private var numbers: [Key: Int] = [:]
    private var open: [ColdFile: OpenFile] = [:]
    private var uses: UInt64 = 0
    private let firstTag: UInt64

    /// - Parameters:
    ///   - files: its completions of tags from `firstTag` on are to be given to `handle`.
    ///   - budget: of memory, in bytes.
    ///   - path: where a file is.
    public init(files: any FilePort, budget: Int, firstTag: UInt64, path: @escaping (ColdFile) -> String) {
        let count = max(budget / ColdCache.windowBytes, ColdCache.windowsOfReader)
        self.files = files
        self.path = path
        self.firstTag = firstTag
        memory = AlignedBuffer(count: count * ColdCache.windowBytes)
        windows = Array(repeating: Window(), count: count)
    }

    /// How many windows one reader may need together: to find a segment by bisection among millions, and to read it.
    private static let windowsOfReader = 28

    /// How many readers find room for all they need.
    public var readersAtOnce: Int { max(windows.count / ColdCache.windowsOfReader, 1) }

    /// The file's bytes from `offset` on.
    public mutating func bytes(_ file: ColdFile, offset: UInt64) -> ColdBytes {
        let key = Key(file: file, window: offset / UInt64(ColdCache.windowBytes))
        uses += 1
        guard let number = numbers[key] else { return load(key) }
        windows[number].lastUse = uses
        if windows[number].isLoading { return .loading }
        let within = Int(offset % UInt64(ColdCache.windowBytes))
        let result = windows[number].result
        if result < 0 || within >= result {
            numbers[key] = nil  // an error is told once; the next reader tries again
            windows[number].key = nil
            return .failed(result < 0 ? Int32(-result) : EIO)
        }
        let base = memory.base + number * ColdCache.windowBytes + within
        return .ready(UnsafeRawBufferPointer(start: base, count: result - within))
    }

    /// A read has ended.
    public mutating func handle(_ completion: Completion) {
        let number = Int(completion.tag - firstTag)
        windows[number].isLoading = false
        windows[number].result = Int(completion.result)
        if let file = windows[number].key?.file { open[file]?.readers -= 1 }
    }

    private mutating func load(_ key: Key) -> ColdBytes {
        guard let number = windows.indices.filter({ !windows[$0].isLoading }).min(by: { windows[$0].lastUse < windows[$1].lastUse })
        else { return .loading }
        let handle: Int32
        do { handle = try openFile(key.file) } catch { return .failed(error.code) }
        if let old = windows[number].key { numbers[old] = nil }
        windows[number] = Window(key: key, isLoading: true, lastUse: uses)
        numbers[key] = number
        open[key.file]!.readers += 1
        files.read(
            handle, into: memory.base + number * ColdCache.windowBytes, count: ColdCache.windowBytes,
            offset: key.window * UInt64(ColdCache.windowBytes), tag: firstTag + UInt64(number))
        return .loading
    }

    private mutating func openFile(_ file: ColdFile) throws(IOError) -> Int32 {
        if let known = open[file] {
            open[file]!.lastUse = uses
            return known.handle
        }
        if open.count >= ColdCache.openFiles,
            let oldest = open.filter({ $0.value.readers == 0 }).min(by: { $0.value.lastUse < $1.value.lastUse })
        {
            files.close(oldest.value.handle)
            open[oldest.key] = nil
        }
        let handle = try files.open(path(file), .readDirect)
        open[file] = OpenFile(handle: handle, readers: 0, lastUse: uses)
        return handle
    }
}
