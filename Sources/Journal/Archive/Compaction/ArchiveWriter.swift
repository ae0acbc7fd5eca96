// Unsafe on purpose: frames are put into its buffers, which it keeps until they are written.

import Glibc
import IO

/// Writes one new file of an archive, frame after frame, and its index beside it, without waiting. One write is under way at a time.
final class ArchiveWriter {
    private struct Stream {
        let file: Int32
        var memory: AlignedBuffer
        var used = 0
        var offset: UInt64 = 0
    }

    private static let dataBytes = 1 << 20
    private static let indexBytes = 16 * IndexBlock.bytes

    private(set) var file: ArchiveFile
    private let files: any FilePort
    private let owner: IndexOwner
    private let path: String
    private var data: Stream
    private var index: Stream
    /// Entries in the index's last block.
    private var entries = 0
    private var isFinishing = false
    /// The write under way: of which stream, how much of it, and how much is done.
    private var writesIndex = false
    private var count = 0
    private var done = 0

    /// - Parameters:
    ///   - file: what it is to be; what it holds is counted from nothing.
    ///   - made: is told of the files.
    init(_ file: ArchiveFile, partition: UInt32, group: UInt16, files: any FilePort, paths: JournalPaths, made: inout [String]) throws(IOError) {
        self.file = file
        self.file.dataBytes = 0
        self.file.indexBlocks = 0
        self.file.maxTimestamp = .min
        self.files = files
        owner = IndexOwner(group: group, partition: partition, number: UInt64(max(file.base, 0)))
        let key = file.key(partition)
        path = paths.archive(key)
        let dataFile = try ArchiveWriter.open(path, files, &made)
        let indexFile: Int32
        do throws(IOError) { indexFile = try ArchiveWriter.open(paths.archiveIndex(key), files, &made) } catch {
            files.close(dataFile)
            throw error
        }
        data = Stream(file: dataFile, memory: AlignedBuffer(uninitialized: ArchiveWriter.dataBytes))
        index = Stream(file: indexFile, memory: AlignedBuffer(uninitialized: ArchiveWriter.indexBytes))
    }

    /// The file, whether or not an attempt that failed has left it.
    private static func open(_ path: String, _ files: any FilePort, _ made: inout [String]) throws(IOError) -> Int32 {
        made.append(path)
        do throws(IOError) { return try files.open(path, .createDirect) } catch {
            guard error.code == EEXIST else { throw error }
            return try files.open(path, .direct)
        }
    }

    deinit {
        files.close(data.file)
        files.close(index.file)
    }

    /// Whether a batch of so many bytes can be added before something is written.
    func hasRoom(_ bytes: Int) -> Bool {
        // Less than a block can't be written before its end: the buffer grows then.
        let fits = data.used < directAlignment || data.used + Frame.stride(Frame.headerBytes + bytes) <= data.memory.count
        return fits && index.used < index.memory.count
    }

    /// Adds a frame, which has room.
    /// - Parameters:
    ///   - entry: its entry; where it stands follows.
    ///   - header: of another length than the frame had, its checksum is made anew; nil: the frame is taken as it is.
    func add(_ entry: IndexEntry, header: FrameHeader?, frame: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, key: UInt32) {
        let stride = entry.stride
        if stride > data.memory.count - data.used {
            let larger = AlignedBuffer(uninitialized: data.used + stride)
            larger.base.copyMemory(from: data.memory.base, byteCount: data.used)
            data.memory = larger
        }
        let at = data.memory.base + data.used
        (at + Frame.headerBytes).copyMemory(from: payload.baseAddress!, byteCount: payload.count)
        if let header { _ = header.write(at: at, key: key) } else { at.copyMemory(from: frame.baseAddress!, byteCount: Frame.headerBytes) }
        let length = Frame.headerBytes + payload.count
        (at + length).initializeMemory(as: UInt8.self, repeating: 0, count: stride - length)
        var entry = entry
        entry.position = data.offset + UInt64(data.used)
        data.used += stride
        put(entry)
        file.maxTimestamp = max(file.maxTimestamp, entry.maxTimestamp)
        file.endOffset = entry.nextOffset
    }

    private func put(_ entry: IndexEntry) {
        let block = index.memory.base + index.used
        if entries == 0 { block.initializeMemory(as: UInt8.self, repeating: 0, count: IndexBlock.bytes) }
        block.storeBytes(of: entry, toByteOffset: entries * IndexBlock.entryBytes, as: IndexEntry.self)
        entries += 1
        guard entries == IndexBlock.entries else { return }
        IndexBlock.seal(block, number: Int(file.indexBlocks), owner: owner)
        file.indexBlocks += 1
        index.used += IndexBlock.bytes
        entries = 0
    }

    /// Nothing is added any more.
    func finish() {
        isFinishing = true
        let filler = IndexEntry(baseOffset: file.endOffset - 1, position: 0, maxTimestamp: .min, bytes: 0, lastOffsetDelta: 0)
        while entries > 0 { put(filler) }
    }

    /// Begins to write what has gathered. Returns how many bytes; 0: there is nothing (more) to write.
    func write(tag: UInt64) -> Int {
        writesIndex = index.used > 0 && (index.used == index.memory.count || data.used == 0)
        let stream = writesIndex ? index : data
        guard stream.used > 0 else { return 0 }
        // Only the last piece of the data is filled up; of the others the rest stays behind.
        count = isFinishing || writesIndex ? Int(alignedUp(UInt64(stream.used))) : Int(alignedDown(UInt64(stream.used)))
        if count == 0 { return 0 }
        if count > stream.used { (stream.memory.base + stream.used).initializeMemory(as: UInt8.self, repeating: 0, count: count - stream.used) }
        done = 0
        submit(tag)
        return count
    }

    private func submit(_ tag: UInt64) {
        let stream = writesIndex ? index : data
        files.write(
            stream.file, from: stream.memory.base + done, count: count - done, offset: stream.offset + UInt64(done), durable: false, tag: tag)
    }

    /// The write has ended. Returns whether it goes on.
    func handle(_ result: Int32, tag: UInt64) throws(IOError) -> Bool {
        let more = Int(alignedDown(UInt64(max(result, 0))))
        guard more > 0 else { throw IOError(code: result < 0 ? -result : EIO, doing: "writing \(path) or its index") }
        done += more
        if done < count {
            submit(tag)
            return true
        }
        if writesIndex { wrote(&index) } else { wrote(&data) }
        file.dataBytes = data.offset
        return false
    }

    /// What is left behind goes to the buffer's beginning.
    private func wrote(_ stream: inout Stream) {
        let rest = max(stream.used - count, 0)
        if rest > 0 { stream.memory.base.copyMemory(from: stream.memory.base + count, byteCount: rest) }
        stream.offset += UInt64(count)
        stream.used = rest
    }

    /// Begins to sync one of its two files.
    func sync(index isIndex: Bool, tag: UInt64) { files.sync(isIndex ? index.file : data.file, dataOnly: true, tag: tag) }

    func describe(_ result: Int32) -> IOError { IOError(code: -result, doing: "syncing \(path) or its index") }
}
