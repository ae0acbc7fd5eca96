// Unsafe on purpose: it looks at frames in a segment's image.

import Glibc
import IO
import Logging

/// Reads a segment's file into memory and goes through its sound frames, without waiting, a little at a time.
final class SegmentScan {
    private enum Phase {
        case loading(offset: Int)
        /// A part can't be read as a whole: block by block, so that only what is really lost is missing.
        case narrowing(offset: Int, end: Int, tries: Int)
        case scanning(position: UInt64)
        case done
    }

    /// How much is looked at in one step, so that the thread's other stages don't wait: frames, or steps through damage.
    private static let workAStep = 8192
    private static let workAFrame = 16
    private static let bytesAWork = 256
    private static let loadBytes = 8 << 20
    /// So often a block is read before it counts as unreadable.
    private static let triesABlock = 3

    let number: UInt64
    private let files: any FilePort
    private let paths: JournalPaths
    private let journal: JournalIdentity
    private let epochs: EpochHistory
    private let segmentBytes: Int
    private let image: AlignedBuffer
    private let tag: UInt64
    private let takesLoss: Bool
    private let isReplica: Bool
    private let logger: Logger
    private let file: Int32
    private var phase = Phase.loading(offset: 0)
    private var damagedFrom: UInt64?
    /// What is damaged, which others may have as it was: the scan has failed.
    private(set) var isDamaged = false
    private(set) var isReading = false

    /// - Parameters:
    ///   - image: as large as a segment.
    ///   - tag: of its reads; it has one at a time.
    ///   - takesLoss: a block that can't be read is damage, and the scan goes on behind it; otherwise it fails, as another attempt
    ///     may find that the drive, or the way to it, is well again.
    ///   - isReplica: others have the segment as well. Then damage of any kind makes it fail that way.
    init(
        _ number: UInt64, files: any FilePort, paths: JournalPaths, journal: JournalIdentity, epochs: EpochHistory,
        segmentBytes: Int, image: AlignedBuffer, tag: UInt64, takesLoss: Bool, isReplica: Bool, logger: Logger
    ) throws(IOError) {
        self.number = number
        self.isReplica = isReplica
        self.files = files
        self.paths = paths
        self.journal = journal
        self.epochs = epochs
        self.segmentBytes = segmentBytes
        self.image = image
        self.tag = tag
        self.takesLoss = takesLoss
        self.logger = logger
        file = try files.open(paths.segment(number), .readDirect)
    }

    deinit { files.close(file) }

    var isDone: Bool {
        if case .done = phase { return true }
        return false
    }

    /// Goes on. Returns how much was done.
    /// - Parameter visit: given each sound frame and where it is in the image.
    func step(_ visit: (FrameHeader, Int) -> Void) -> Int {
        switch phase {
        case .loading(let offset):
            if isReading { return 0 }
            guard offset < segmentBytes else {
                phase = .scanning(position: number * UInt64(segmentBytes))
                return 1
            }
            read(offset, min(SegmentScan.loadBytes, segmentBytes - offset))
            return 1
        case .narrowing(let offset, let end, _):
            if isReading { return 0 }
            if offset < end { read(offset, directAlignment) } else { phase = .loading(offset: end) }
            return 1
        case .scanning(let position):
            scan(position, visit)
            return 1
        case .done: return 0
        }
    }

    private func read(_ offset: Int, _ count: Int) {
        isReading = true
        files.read(file, into: image.base + offset, count: count, offset: UInt64(offset), tag: tag)
    }

    /// A read has ended; an errno where the scan has failed.
    func handle(_ completion: Completion) -> Int32? {
        isReading = false
        switch phase {
        case .loading(let offset) where isMediumError(-completion.result):
            phase = .narrowing(offset: offset, end: min(offset + SegmentScan.loadBytes, segmentBytes), tries: 0)
        case .loading(let offset):
            if completion.result < 0 { return -completion.result }
            let next = offset + Int(alignedDown(UInt64(completion.result)))
            if next == offset { return EIO }
            phase = .loading(offset: next)
        case .narrowing(let offset, let end, let tries):
            if completion.result < Int32(directAlignment) {
                if tries + 1 < SegmentScan.triesABlock {
                    phase = .narrowing(offset: offset, end: end, tries: tries + 1)
                    return nil
                }
                guard takesLoss else { return completion.result < 0 ? -completion.result : EIO }
                (image.base + offset).initializeMemory(as: UInt8.self, repeating: 0, count: directAlignment)
            }
            phase = .narrowing(offset: offset + directAlignment, end: end, tries: 0)
        case .scanning, .done: break
        }
        return nil
    }

    private func scan(_ from: UInt64, _ visit: (FrameHeader, Int) -> Void) {
        let end = (number + 1) * UInt64(segmentBytes)
        var position = from
        var work = 0
        while position + UInt64(Frame.headerBytes) <= end, work < SegmentScan.workAStep, !isDamaged {
            let offset = Int(position % UInt64(segmentBytes))
            switch FrameHeader.read(at: image.base + offset, available: segmentBytes - offset, position: position, of: journal) {
            case .success(let header) where header.epoch >= epochs.least(at: position):
                noteDamage(before: position)
                visit(header, offset)
                position = header.end
                work += SegmentScan.workAFrame + Int(header.length) / SegmentScan.bytesAWork
            default:
                damagedFrom = damagedFrom ?? position
                position += 8
                work += 1
            }
        }
        if isDamaged {
            phase = .done
        } else if position + UInt64(Frame.headerBytes) > end {
            noteDamage(before: end)
            phase = .done
        } else {
            phase = .scanning(position: position)
        }
    }

    private func noteDamage(before position: UInt64) {
        guard let from = damagedFrom else { return }
        damagedFrom = nil
        guard takesLoss || !isReplica else {
            isDamaged = true
            return
        }
        logger.error(
            "\(paths.directory): DAMAGED from position \(from) to \(position): what was there is lost. Readers of those offsets are refused, the rest is served")
    }
}
