// Unsafe on purpose: it hands out the journal's memory where it lies, pinned; and reads what is no longer there from files into buffers.

import DequeModule
import Glibc
import IO
import Journal

/// Brings stretches of a partition group's journal: from the cache, or, for who is far behind, from the segments' files. The latter a few at a time, so
/// that whoever is far behind disturbs nobody.
final class JournalSource {
    /// A stretch that is to be read from a segment's file.
    private struct Wish {
        let segment: UInt64
        let offset: Int
        let count: Int
        let paths: JournalPaths
        let piece: PeerLink.Piece
        let failed: () -> Void
    }

    private struct Read {
        let wish: Wish
        let buffer: AlignedBuffer
        let file: Int32
        /// Where in the buffer the stretch begins.
        let first: Int
    }

    private static let atOnce = 4
    private let files: any FilePort
    private let firstTag: UInt64
    private var waiting: Deque<Wish> = []
    private var reads: [UInt64: Read] = [:]
    private var nextTag: UInt64 = 0

    /// - Parameter firstTag: of its operations' tags.
    init(files: any FilePort, firstTag: UInt64) {
        self.files = files
        self.firstTag = firstTag
    }

    /// The stretches of memory that hold the range, in order. What is read from files is filled in later.
    /// - Parameter failed: called where it can't be read.
    func pieces(
        _ range: Range<UInt64>, cache: JournalCache, paths: JournalPaths, failed: @escaping () -> Void
    ) -> [PeerLink.Piece] {
        var pieces: [PeerLink.Piece] = []
        var from = range.lowerBound
        while from < range.upperBound {
            let number = cache.segment(of: from)
            let end = min(range.upperBound, (number + 1) * UInt64(cache.segmentBytes))
            let offset = cache.offset(of: from)
            if let slot = cache.pin(segment: number) {
                pieces.append(PeerLink.Piece(cache: cache, slot: slot, offset: offset, count: Int(end - from)))
            } else {
                let piece = PeerLink.Piece(loading: Int(end - from))
                pieces.append(piece)
                waiting.append(Wish(segment: number, offset: offset, count: Int(end - from), paths: paths, piece: piece, failed: failed))
            }
            from = end
        }
        begin()
        return pieces
    }

    private func begin() {
        while reads.count < JournalSource.atOnce, let next = waiting.popFirst() {
            let first = Int(alignedDown(UInt64(next.offset)))
            let count = Int(alignedUp(UInt64(next.offset + next.count))) - first
            do throws(IOError) {
                let file = try files.open(next.paths.segment(next.segment), .readDirect)
                let buffer = AlignedBuffer(uninitialized: count)
                nextTag = (nextTag + 1) % (1 << 20)
                let tag = firstTag + nextTag
                reads[tag] = Read(wish: next, buffer: buffer, file: file, first: next.offset - first)
                files.read(file, into: buffer.base, count: count, offset: UInt64(first), tag: tag)
            } catch {
                next.failed()
            }
        }
    }

    /// A completion of one of its operations. True: something can be sent that could not be before.
    func handle(_ completion: Completion) -> Bool {
        guard let read = reads.removeValue(forKey: completion.tag) else { return false }
        files.close(read.file)
        let isWhole = Int(completion.result) >= read.first + read.wish.count
        if isWhole { read.wish.piece.load(read.buffer, offset: read.first) } else { read.wish.failed() }
        begin()
        return isWhole
    }
}
