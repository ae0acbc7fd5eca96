import Glibc
import Host

/// File operations that wait for their end: for start-up and shutdown, when no stage runs yet or any more.
public struct BlockingFiles {
    public let files: any FilePort
    private let source: any EventSource

    /// Port and source belong together, and to the calling thread.
    public init(files: any FilePort, source: any EventSource) {
        self.files = files
        self.source = source
    }

    private func completion() -> Int32 {
        while true {
            if let completion = files.next() { return completion.result }
            if source.poll() == 0 { source.wait(nanoseconds: 1_000_000_000) }
        }
    }

    /// Reads until `count` bytes or the file's end; returns how many.
    public func read(_ file: Int32, into: UnsafeMutableRawPointer, count: Int, offset: UInt64) throws(IOError) -> Int {
        var got = 0
        while got < count {
            files.read(file, into: into + got, count: min(count - got, 1 << 20), offset: offset + UInt64(got), tag: 0)
            let result = completion()
            if result < 0 { throw IOError(code: -result, doing: "reading a file") }
            got += Int(result)
            if result == 0 || Int(result) % directAlignment != 0 { break }
        }
        return got
    }

    public func write(_ file: Int32, from: UnsafeRawPointer, count: Int, offset: UInt64) throws(IOError) {
        var done = 0
        while done < count {
            files.write(
                file, from: from + done, count: min(count - done, 1 << 20), offset: offset + UInt64(done), durable: false,
                tag: 0)
            let result = completion()
            if result <= 0 { throw IOError(code: result < 0 ? -result : EIO, doing: "writing a file") }
            done += Int(result)
        }
    }

    public func sync(_ file: Int32) throws(IOError) {
        files.sync(file, dataOnly: false, tag: 0)
        let result = completion()
        if result < 0 { throw IOError(code: -result, doing: "syncing a file") }
    }

    public func allocate(_ file: Int32, count: UInt64) throws(IOError) {
        files.allocate(file, offset: 0, count: count, tag: 0)
        let result = completion()
        if result < 0 { throw IOError(code: -result, doing: "allocating a file") }
    }

    /// Makes what was created, renamed or removed in the directory durable.
    public func syncDirectory(_ path: String) throws(IOError) {
        let directory = try files.open(path, .directory)
        defer { files.close(directory) }
        try sync(directory)
    }

    /// Removes a directory with all that is in it. After an error, or a crash, some of it may be left.
    public func removeTree(_ path: String) throws(IOError) {
        for name in try files.list(path) {
            let inner = "\(path)/\(name)"
            if (try? files.list(inner)) != nil { try removeTree(inner) } else { try files.remove(inner) }
        }
        try files.removeDirectory(path)
    }

    /// Puts a whole new file in place at once: after a crash there is the old one or the new one, entire.
    public func replace(_ path: String, by unfinished: String, in directory: String, with image: AlignedBuffer) throws(IOError) {
        try? files.remove(unfinished)
        let file = try files.open(unfinished, .createDirect)
        defer { files.close(file) }
        try write(file, from: image.base, count: image.count, offset: 0)
        try sync(file)
        try files.rename(unfinished, to: path)
        try syncDirectory(directory)
    }

    /// The whole file through the page cache, and how many bytes it has; nil where there is none.
    public func buffered(_ path: String) throws(IOError) -> (AlignedBuffer, Int)? {
        let file: Int32
        do { file = try files.open(path, .read) } catch where error.code == ENOENT { return nil }
        defer { files.close(file) }
        let size = Int(try files.size(file))
        let buffer = AlignedBuffer(count: size)
        return (buffer, try readWhatCanBe(file, into: buffer.base, count: size))
    }

    /// The whole file; nil where there is none.
    public func contents(_ path: String) throws(IOError) -> AlignedBuffer? {
        let file: Int32
        do { file = try files.open(path, .readDirect) } catch where error.code == ENOENT { return nil }
        defer { files.close(file) }
        let size = try files.size(file)
        let buffer = AlignedBuffer(count: Int(size))
        _ = try readWhatCanBe(file, into: buffer.base, count: buffer.count)
        return buffer
    }

    /// Reads; what the drive can't read stays zero, block by block, for checksums to find.
    private func readWhatCanBe(_ file: Int32, into base: UnsafeMutableRawPointer, count: Int) throws(IOError) -> Int {
        let whole = Result { () throws(IOError) in try read(file, into: base, count: count, offset: 0) }
        guard case .failure(let error) = whole, isMediumError(error.code) else { return try whole.get() }
        for offset in stride(from: 0, to: count, by: directAlignment) {
            let block = min(directAlignment, count - offset)
            let result = Result { () throws(IOError) in try read(file, into: base + offset, count: block, offset: UInt64(offset)) }
            if case .failure(let error) = result {
                guard isMediumError(error.code) else { throw error }
                (base + offset).initializeMemory(as: UInt8.self, repeating: 0, count: block)
            }
        }
        return count
    }
}
