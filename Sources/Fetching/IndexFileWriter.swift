import Host
import IO
import Journal
import Logging

/// Writes full segments' indexes to their files, one at a time, without waiting for any, and slowly: what is written unsynced the drive
/// writes out at the journal's next sync, and whoever waits for that waits longer. The archive stage syncs the files, before a
/// checkpoint relies on them.
struct IndexFileWriter {
    /// The longest wait between two pieces of a file, in nanoseconds.
    private static let longestPause: UInt64 = 2_000_000

    private let paths: JournalPaths
    private let group: UInt16
    private let logger: Logger
    private var replacer: FileReplacer
    private var restsUntil: UInt64?
    /// When the file under way was begun, and how long its pieces wait for each other.
    private var begun: UInt64 = 0
    private var pause: UInt64 = 0
    private var nextPiece: UInt64 = 0

    /// - Parameter tag: of its operations; it has one at a time.
    init(files: any FilePort, paths: JournalPaths, group: UInt16, tag: UInt64, logger: Logger) {
        self.paths = paths
        self.group = group
        self.logger = logger
        replacer = FileReplacer(files: files, tag: tag, directory: nil, isSynced: false, isPaced: true)
    }

    /// What `advance` and `handle` have done.
    enum Outcome {
        case nothing
        case progress
        /// The file is in place.
        case done
    }

    /// Goes on with the index's file, if it is time to.
    /// - Parameter hurries: others wait behind it.
    mutating func advance(_ index: SegmentIndex, hurries: Bool, _ now: Moment) -> Outcome {
        if replacer.isResting {
            guard hurries || now.monotonic >= nextPiece else { return .nothing }
            return took(replacer.goOn(), now)
        }
        guard replacer.isIdle, now.monotonic >= restsUntil ?? 0 else { return .nothing }
        restsUntil = nil
        do {
            let contents = IndexFile.Contents(of: index, owner: IndexOwner(segment: index.segment, group: group))
            // Half the time that the segment itself took, as near as that is known.
            pause = min((now.monotonic - begun) / 2 / UInt64(FileReplacer.pieces(of: contents)), IndexFileWriter.longestPause)
            begun = now.monotonic
            try replacer.begin(
                paths.index(index.segment), by: paths.unfinishedIndex(index.segment), contents: .index(contents), writesOver: true)
        } catch {
            rest(error, now)
        }
        return .progress
    }

    /// Leaves a file unfinished; false where the kernel is still at work on it.
    mutating func abandon() -> Bool {
        guard replacer.isAtRest else { return false }
        replacer.abandon()
        return true
    }

    /// When to go on.
    var deadline: UInt64 { replacer.isResting ? nextPiece : restsUntil ?? .max }

    mutating func handle(_ completion: Completion, _ now: Moment) -> Outcome { took(replacer.handle(completion), now) }

    private mutating func took(_ outcome: FileReplacer.Outcome, _ now: Moment) -> Outcome {
        switch outcome {
        case .underWay:
            if replacer.isResting { nextPiece = now.monotonic + pause }
            return .progress
        case .done: return .done
        case .failed(let error):
            rest(error, now)
            return .progress
        }
    }

    private mutating func rest(_ error: IOError, _ now: Moment) {
        logger.error("\(error); trying again in a second")
        restsUntil = now.monotonic + 1_000_000_000
    }
}
