// Unsafe on purpose: it looks at entries and frames in windows of files, within what was read.

import Glibc
import IO

/// Reads an archive's file from its beginning to its end, entry after entry with its frame, without waiting. One read is under way at a time.
final class ArchiveReader {
    enum Next {
        /// The entry, as it stands in the file, and the bytes where its frame should be; good until the next call.
        case batch(IndexEntry, UnsafeRawBufferPointer)
        /// So many bytes are to be read first (`read`).
        case needs(Int)
        case end
    }

    private struct Window {
        let file: Int32
        var memory: AlignedBuffer
        var start: UInt64 = 0
        var count = 0

        func bytes(_ range: Range<UInt64>) -> UnsafeRawBufferPointer? {
            guard range.lowerBound >= start, range.upperBound <= start + UInt64(count) else { return nil }
            return UnsafeRawBufferPointer(start: memory.base + Int(range.lowerBound - start), count: range.count)
        }
    }

    private static let indexWindow = 16 * IndexBlock.bytes
    private static let dataWindow = 1 << 20

    let file: ArchiveFile
    private let files: any FilePort
    private let owner: IndexOwner
    private let path: String
    private var index: Window
    private var data: Window
    private var block: UInt64 = 0
    private var place = 0
    private var wanted: Range<UInt64>?
    private var wantsIndex = false

    init(_ file: ArchiveFile, partition: UInt32, group: UInt16, files: any FilePort, paths: JournalPaths) throws(IOError) {
        self.file = file
        self.files = files
        owner = IndexOwner(group: group, partition: partition, number: UInt64(max(file.base, 0)))
        let key = file.key(partition)
        path = paths.archive(key)
        let dataFile = try files.open(path, .readDirect)
        let indexFile: Int32
        do throws(IOError) { indexFile = try files.open(paths.archiveIndex(key), .readDirect) } catch {
            files.close(dataFile)
            throw error
        }
        data = Window(file: dataFile, memory: AlignedBuffer(uninitialized: ArchiveReader.dataWindow))
        index = Window(file: indexFile, memory: AlignedBuffer(uninitialized: ArchiveReader.indexWindow))
    }

    deinit {
        files.close(data.file)
        files.close(index.file)
    }

    /// The next batch.
    /// - Throws: where the index is damaged: then nothing that is only in this file may be taken for gone.
    func next() throws(IOError) -> Next {
        while block < file.indexBlocks {
            let range = block * UInt64(IndexBlock.bytes)..<(block + 1) * UInt64(IndexBlock.bytes)
            guard let bytes = index.bytes(range) else {
                let rest = Int((file.indexBlocks - block) * UInt64(IndexBlock.bytes))
                return wants(range.lowerBound, min(rest, ArchiveReader.indexWindow), ofIndex: true)
            }
            guard IndexBlock.isSound(bytes.baseAddress!, number: Int(block), owner: owner) else {
                throw IOError(code: EBADMSG, doing: "block \(block) of the index of \(path) is damaged")
            }
            while place < IndexBlock.entries {
                let entry = IndexBlock.entry(bytes.baseAddress!, place)
                guard entry.bytes > 0 else {
                    place += 1
                    continue
                }
                let length = UInt64(Frame.headerBytes) + UInt64(entry.bytes)
                guard length <= file.dataBytes, entry.position <= file.dataBytes - length else {
                    throw IOError(code: EBADMSG, doing: "an entry of the index of \(path) is damaged")
                }
                let frame = entry.position..<entry.position + length
                guard let found = data.bytes(frame) else {
                    let start = alignedDown(frame.lowerBound)
                    let least = alignedUp(frame.upperBound) - start
                    return wants(start, Int(min(max(least, UInt64(ArchiveReader.dataWindow)), alignedUp(file.dataBytes) - start)), ofIndex: false)
                }
                place += 1
                return .batch(entry, found)
            }
            place = 0
            block += 1
        }
        return .end
    }

    private func wants(_ start: UInt64, _ count: Int, ofIndex: Bool) -> Next {
        wanted = start..<start + UInt64(count)
        wantsIndex = ofIndex
        return .needs(count)
    }

    /// Begins to read what `next` needs.
    func read(tag: UInt64) {
        guard let wanted else { preconditionFailure("something is needed") }
        if !wantsIndex, data.memory.count < wanted.count { data.memory = AlignedBuffer(uninitialized: wanted.count) }
        let window = wantsIndex ? index : data
        files.read(window.file, into: window.memory.base, count: wanted.count, offset: wanted.lowerBound, tag: tag)
    }

    /// The read has ended.
    func handle(_ result: Int32) throws(IOError) {
        guard let wanted else { preconditionFailure("something was read") }
        guard result >= 0, Int(result) == wanted.count else { throw IOError(code: result < 0 ? -result : EIO, doing: "reading \(path) or its index") }
        if wantsIndex { (index.start, index.count) = (wanted.lowerBound, wanted.count) } else { (data.start, data.count) = (wanted.lowerBound, wanted.count) }
        self.wanted = nil
    }
}
