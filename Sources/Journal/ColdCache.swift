// Unsafe on purpose: windows of files in raw memory; what is handed out points into a window, and is good until the next call.

import DequeModule
import Glibc
import IO

/// A file that is read because what it holds is no longer in the journal cache.
public enum ColdFile: Hashable, Sendable {
    case segment(group: UInt16, number: UInt64)
    case index(group: UInt16, number: UInt64)
    case archive(group: UInt16, ArchiveKey)
    case archiveIndex(group: UInt16, ArchiveKey)

    public var group: UInt16 {
        switch self {
        case .segment(let group, _), .index(let group, _), .archive(let group, _), .archiveIndex(let group, _): group
        }
    }

    func path(_ paths: JournalPaths) -> String {
        switch self {
        case .segment(_, let number): paths.segment(number)
        case .index(_, let number): paths.index(number)
        case .archive(_, let key): paths.archive(key)
        case .archiveIndex(_, let key): paths.archiveIndex(key)
        }
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

/// Windows of old files, read past the page cache and kept in a fixed amount of memory, the least recently used making room.
/// It never waits: who finds something missing comes back when it has been read.
public struct ColdCache: ~Copyable {
    public static let windowBytes = 256 << 10
    private static let blocks = windowBytes / directAlignment
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
        /// After a read error block by block: the block that is being read; and those that can't be.
        var narrowing: Int?
        var badBlocks: Set<Int> = []
    }

    private struct OpenFile {
        var handle: Int32
        var readers: Int
        var lastUse: UInt64
    }

    private let files: any FilePort
    private let paths: [JournalPaths]
    private let memory: AlignedBuffer
    private var windows: [Window]
    private var numbers: [Key: Int] = [:]
    private var open: [ColdFile: OpenFile] = [:]
    private var gone: [Int32: Int] = [:]
    private var handles: [Int32]
    private var uses: UInt64 = 0
    private let firstTag: UInt64

    /// - Parameters:
    ///   - files: its completions of tags from `firstTag` on are to be given to `handle`.
    ///   - budget: of memory, in bytes.
    ///   - paths: of each partition group.
    public init(files: any FilePort, budget: Int, firstTag: UInt64, paths: [JournalPaths]) {
        let count = max(budget / ColdCache.windowBytes, ColdCache.windowsOfReader)
        self.files = files
        self.paths = paths
        self.firstTag = firstTag
        memory = AlignedBuffer(count: count * ColdCache.windowBytes)
        windows = Array(repeating: Window(), count: count)
        handles = Array(repeating: -1, count: count)
    }

    /// How many windows one reader may need together: to find an entry by bisection, and to read its batch.
    private static let windowsOfReader = 12
    /// How many windows behind the one that is read in order are read ahead.
    private static let windowsAhead = 3

    /// How many readers find room for all they need.
    public var readersAtOnce: Int { max(windows.count / ColdCache.windowsOfReader, 1) }

    /// The file's bytes from `offset` on.
    /// - Parameter isInOrder: the reader will want what follows as well.
    public mutating func bytes(_ file: ColdFile, offset: UInt64, isInOrder: Bool = false) -> ColdBytes {
        let key = Key(file: file, window: offset / UInt64(ColdCache.windowBytes))
        uses += 1
        guard let number = numbers[key] else {
            let first = load(key)
            if isInOrder { loadAhead(key) }
            return first
        }
        windows[number].lastUse = uses
        if windows[number].isLoading { return .loading }
        if isInOrder { loadAhead(key) }
        return bytes(number, within: Int(offset % UInt64(ColdCache.windowBytes)))
    }

    private mutating func bytes(_ number: Int, within: Int) -> ColdBytes {
        let result = windows[number].result
        let bad = windows[number].badBlocks
        if result < 0 || within >= result || bad.contains(within / directAlignment) {
            drop(number)  // an error is told once; the next reader tries again
            return .failed(result < 0 ? Int32(-result) : EIO)
        }
        let end = bad.filter { $0 * directAlignment > within }.min().map { $0 * directAlignment } ?? result
        let base = memory.base + number * ColdCache.windowBytes + within
        return .ready(UnsafeRawBufferPointer(start: base, count: end - within))
    }

    /// Forgets what was read of the file between the offsets, so that it is read once more.
    public mutating func forget(_ file: ColdFile, _ range: Range<UInt64>) {
        let bytes = UInt64(ColdCache.windowBytes)
        for window in range.lowerBound / bytes...max(range.upperBound, 1) / bytes {
            if let number = numbers[Key(file: file, window: window)], !windows[number].isLoading { drop(number) }
        }
    }

    /// Forgets the files that fulfil the condition: they are gone, or will be.
    public mutating func forget(where isGone: (ColdFile) -> Bool) {
        for number in windows.indices {
            guard let key = windows[number].key, isGone(key.file) else { continue }
            if windows[number].isLoading {
                numbers[key] = nil
                windows[number].key = nil
            } else {
                drop(number)
            }
        }
        for (file, each) in open where isGone(file) {
            open[file] = nil
            if each.readers == 0 { files.close(each.handle) } else { gone[each.handle] = each.readers }
        }
    }

    private mutating func drop(_ number: Int) {
        if let key = windows[number].key { numbers[key] = nil }
        windows[number] = Window()
    }

    // MARK: Reading

    /// A read has ended.
    public mutating func handle(_ completion: Completion) {
        let number = Int(completion.tag - firstTag)
        if let block = windows[number].narrowing {
            if completion.result < Int32(directAlignment) { windows[number].badBlocks.insert(block) }
            if block + 1 < ColdCache.blocks { return narrow(number, block + 1) }
            windows[number].narrowing = nil
            windows[number].result = ColdCache.windowBytes
        } else if isMediumError(-completion.result) {
            return narrow(number, 0)
        } else {
            windows[number].result = Int(completion.result)
        }
        windows[number].isLoading = false
        let handle = handles[number]
        if let file = windows[number].key?.file, open[file]?.handle == handle {
            open[file]!.readers -= 1
        } else if let file = open.first(where: { $0.value.handle == handle })?.key {
            open[file]!.readers -= 1
        } else if let readers = gone[handle] {
            gone[handle] = readers > 1 ? readers - 1 : nil
            if readers == 1 { files.close(handle) }
        }
        if windows[number].key == nil { windows[number] = Window() }
    }

    /// Something in the window can't be read: block by block, so that only what is really lost is missing.
    private mutating func narrow(_ number: Int, _ block: Int) {
        windows[number].narrowing = block
        let within = block * directAlignment
        guard let key = windows[number].key else {
            windows[number].narrowing = ColdCache.blocks - 1
            return handle(Completion(tag: firstTag + UInt64(number), result: 0))
        }
        files.read(
            handles[number], into: memory.base + number * ColdCache.windowBytes + within, count: directAlignment,
            offset: key.window * UInt64(ColdCache.windowBytes) + UInt64(within), tag: firstTag + UInt64(number))
    }

    private mutating func loadAhead(_ key: Key) {
        guard windows.count >= 4 * ColdCache.windowsOfReader else { return }
        for ahead in 1...UInt64(ColdCache.windowsAhead) {
            let next = Key(file: key.file, window: key.window + ahead)
            if numbers[next] == nil { _ = load(next) }
        }
    }

    private mutating func load(_ key: Key) -> ColdBytes {
        guard let number = windows.indices.filter({ !windows[$0].isLoading }).min(by: { windows[$0].lastUse < windows[$1].lastUse })
        else { return .loading }
        let handle: Int32
        do { handle = try openFile(key.file) } catch { return .failed(error.code) }
        drop(number)
        windows[number] = Window(key: key, isLoading: true, lastUse: uses)
        numbers[key] = number
        handles[number] = handle
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
        let handle = try files.open(file.path(paths[Int(file.group)]), .readDirect)
        open[file] = OpenFile(handle: handle, readers: 0, lastUse: uses)
        return handle
    }
}
