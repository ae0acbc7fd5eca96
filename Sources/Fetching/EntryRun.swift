// Unsafe on purpose: entries of index files are read where the cold cache holds them.

import Glibc
import Journal

/// Entries of one partition, in order, in an index file.
struct EntryRun {
    let file: ColdFile
    let owner: IndexOwner
    /// The number of the file's first block of entries; nil: the file's header tells.
    let firstBlock: Int?
    let entries: Range<Int>
    /// The edition of the archive's file that they are of; nil: of a segment.
    let edition: UInt32?

    private enum Block {
        case ready(UnsafeRawBufferPointer)
        case loading
        case failed(Int32)
    }

    /// What stands for an index file that can't be believed.
    static let damaged = EBADMSG

    /// Whole blocks from that one on, as many as lie in one window; the first is checked.
    private func blocks(_ number: Int, _ cold: inout ColdCache) -> Block {
        switch cold.bytes(file, offset: UInt64(number * IndexBlock.bytes)) {
        case .loading: return .loading
        case .failed(let code): return .failed(code)
        case .ready(let bytes):
            guard bytes.count >= IndexBlock.bytes, IndexBlock.isSound(bytes.baseAddress!, number: number, owner: owner) else {
                return .failed(EntryRun.damaged)
            }
            return .ready(bytes)
        }
    }

    /// The entries from the first on that ends behind `offset`, as many as one window holds, at most `limit`.
    func lookup(_ offset: Int64, limit: Int, _ cold: inout ColdCache) -> IndexLookup {
        var first = firstBlock ?? 0
        if firstBlock == nil {
            switch blocks(0, &cold) {
            case .loading: return .loading
            case .failed(let code): return .failed(code)
            case .ready(let bytes):
                guard let header = IndexFile.Header(bytes.baseAddress!, owner: owner), entries.upperBound <= header.entries else {
                    return .failed(EntryRun.damaged)
                }
                first = header.firstEntryBlock
            }
        }
        var low = entries.lowerBound
        var high = entries.upperBound
        while low < high {
            let middle = low + (high - low) / 2
            switch blocks(first + middle / IndexBlock.entries, &cold) {
            case .loading: return .loading
            case .failed(let code): return .failed(code)
            case .ready(let bytes):
                let entry = IndexBlock.entry(bytes.baseAddress!, middle % IndexBlock.entries)
                if entry.nextOffset > offset { high = middle } else { low = middle + 1 }
            }
        }
        return low < entries.upperBound ? gather(from: low, first, limit, &cold) : .entries([])
    }

    /// The entries from that one on, as far as the window and sound blocks reach.
    private func gather(from: Int, _ first: Int, _ limit: Int, _ cold: inout ColdCache) -> IndexLookup {
        let firstBlock = from / IndexBlock.entries
        switch blocks(first + firstBlock, &cold) {
        case .loading: return .loading
        case .failed(let code): return .failed(code)
        case .ready(let bytes):
            var found: [IndexEntry] = []
            for number in 0..<bytes.count / IndexBlock.bytes where found.count < limit {
                let block = bytes.baseAddress! + number * IndexBlock.bytes
                guard IndexBlock.isSound(block, number: first + firstBlock + number, owner: owner) else { break }
                let start = (firstBlock + number) * IndexBlock.entries
                for each in max(start, from)..<min(start + IndexBlock.entries, max(entries.upperBound, start, from)) {
                    var entry = IndexBlock.entry(block, each - start)
                    // What fills up an archive's block.
                    if entry.bytes == 0 { continue }
                    if let edition { entry.markArchived(edition) }
                    found.append(entry)
                    if found.count == limit { break }
                }
            }
            return .entries(found[...])
        }
    }
}
