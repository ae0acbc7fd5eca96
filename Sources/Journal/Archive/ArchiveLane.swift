// Unsafe on purpose: it copies frames from a segment's image into its write buffer.

import IO

/// Appends one partition's frames to its archive: first the data, piece by piece, then the index.
final class ArchiveLane {
    private static let bufferBytes = 1 << 20

    private let group: UInt16
    private let buffer = AlignedBuffer(uninitialized: bufferBytes)
    private var partition: UInt32 = 0
    private var file = ArchiveFile(base: 0, endOffset: 0, maxTimestamp: 0, dataBytes: 0, indexBlocks: 0)
    private var frames: [(offset: Int, entry: IndexEntry)] = []
    private var image: AlignedBuffer?
    private var data: Int32 = -1
    private var index: Int32 = -1
    /// The frame that is next to be copied, and how much of it has been.
    private var frame = 0
    private var copied = 0
    /// The frame whose entry is next to be written.
    private var entry = 0
    private var isWritingIndex = false
    /// The write under way: where in the file, how much, and how much of it is done.
    private var writeOffset: UInt64 = 0
    private var writeCount = 0
    private var writeDone = 0
    private var isFinished = false

    init(group: UInt16) { self.group = group }

    private(set) var isIdle = true

    func close(_ files: any FilePort) {
        for handle in [data, index] where handle >= 0 { files.close(handle) }
        data = -1
        index = -1
    }

    /// Begins with a partition's frames, at least one. Returns how many operations were begun.
    func begin(
        partition: UInt32, file: ArchiveFile, frames: [(offset: Int, entry: IndexEntry)], data: Int32, index: Int32,
        image: AlignedBuffer, files: any FilePort, tag: UInt64
    ) -> Int {
        self.partition = partition
        self.file = file
        self.frames = frames
        self.data = data
        self.index = index
        self.image = image
        frame = 0
        copied = 0
        entry = 0
        isWritingIndex = false
        isIdle = false
        isFinished = false
        var at = file.dataBytes
        for number in self.frames.indices {
            self.frames[number].entry.position = at
            at += UInt64(self.frames[number].entry.stride)
        }
        writeOffset = file.dataBytes
        fillData()
        submit(files, tag)
        return 1
    }

    /// What was finished since the last call: the file as it is now.
    func takeFinished() -> (partition: UInt32, file: ArchiveFile)? {
        guard isFinished else { return nil }
        isFinished = false
        isIdle = true
        frames = []
        image = nil
        return (partition, file)
    }

    /// A write has ended. Returns how many operations were begun; nil: it failed.
    func completed(_ result: Int32, files: any FilePort, tag: UInt64) -> Int? {
        let done = Int(alignedDown(UInt64(max(result, 0))))
        guard done > 0 else { return nil }
        writeDone += done
        if writeDone < writeCount {
            submit(files, tag)
            return 1
        }
        writeOffset += UInt64(writeCount)
        if !isWritingIndex {
            if frame < frames.count { fillData() } else {
                file.dataBytes = writeOffset
                isWritingIndex = true
                writeOffset = file.indexBlocks * UInt64(IndexBlock.bytes)
                fillIndex()
            }
        } else if entry < frames.count {
            fillIndex()
        } else {
            file.indexBlocks = writeOffset / UInt64(IndexBlock.bytes)
            for each in frames { file.maxTimestamp = max(file.maxTimestamp, each.entry.maxTimestamp) }
            file.endOffset = frames[frames.count - 1].entry.nextOffset
            close(files)
            isFinished = true
            return 0
        }
        submit(files, tag)
        return 1
    }

    private func submit(_ files: any FilePort, _ tag: UInt64) {
        files.write(
            isWritingIndex ? index : data, from: buffer.base + writeDone, count: writeCount - writeDone,
            offset: writeOffset + UInt64(writeDone), durable: false, tag: tag)
    }

    /// The frames' bytes, as they stood; at the end zeros up to the next block.
    private func fillData() {
        var used = 0
        while frame < frames.count, used < buffer.count {
            let stride = frames[frame].entry.stride
            let count = min(stride - copied, buffer.count - used)
            (buffer.base + used).copyMemory(from: image!.base + frames[frame].offset + copied, byteCount: count)
            used += count
            copied += count
            if copied == stride {
                frame += 1
                copied = 0
            }
        }
        writeCount = Int(alignedUp(UInt64(used)))
        (buffer.base + used).initializeMemory(as: UInt8.self, repeating: 0, count: writeCount - used)
        writeDone = 0
    }

    /// Whole blocks of entries; what is left of the last is filled with entries of no bytes.
    private func fillIndex() {
        let owner = IndexOwner(group: group, partition: partition, number: UInt64(max(file.base, 0)))
        let most = buffer.count / IndexBlock.bytes
        let blocks = min(most, IndexBlock.blocks(entries: frames.count - entry))
        for number in 0..<blocks {
            let block = buffer.base + number * IndexBlock.bytes
            block.initializeMemory(as: UInt8.self, repeating: 0, count: IndexBlock.bytes)
            for place in 0..<IndexBlock.entries {
                block.storeBytes(of: nextEntry(), toByteOffset: place * MemoryLayout<IndexEntry>.size, as: IndexEntry.self)
            }
            IndexBlock.seal(block, number: Int(writeOffset) / IndexBlock.bytes + number, owner: owner)
        }
        writeCount = blocks * IndexBlock.bytes
        writeDone = 0
    }

    private func nextEntry() -> IndexEntry {
        guard entry < frames.count else {
            let end = frames[frames.count - 1].entry.nextOffset
            return IndexEntry(baseOffset: end - 1, position: 0, maxTimestamp: .min, bytes: 0, lastOffsetDelta: 0)
        }
        entry += 1
        return frames[entry - 1].entry
    }
}
