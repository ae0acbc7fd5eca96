import Host
import IO
import Journal
import Logging

/// Writes full segments' indexes to their files, one at a time, without waiting for any. The archive stage
/// syncs them, before a checkpoint relies on them.
struct IndexFileWriter {
    private let paths: JournalPaths
    private let group: UInt16
    private let logger: Logger
    private var replacer: FileReplacer
    private var restsUntil: UInt64?

    /// - Parameter tag: of its operations; it has one at a time.
    init(files: any FilePort, paths: JournalPaths, group: UInt16, tag: UInt64, logger: Logger) {
        self.paths = paths
        self.group = group
        self.logger = logger
        replacer = FileReplacer(files: files, tag: tag, directory: nil, isSynced: false)
    }

    /// Begins with the index, if nothing is under way. Returns whether it did.
    mutating func advance(_ index: SegmentIndex, _ now: Moment) -> Bool {
        guard replacer.isIdle, now.monotonic >= restsUntil ?? 0 else { return false }
        restsUntil = nil
        do {
            try replacer.begin(
                paths.index(index.segment), by: paths.unfinishedIndex,
                contents: .index(IndexFile.Contents(of: index, owner: IndexOwner(segment: index.segment, group: group))))
        } catch {
            rest(error, now)
        }
        return true
    }

    /// When to try again after a failure.
    var deadline: UInt64 { restsUntil ?? .max }

    /// Returns whether the file is in place.
    mutating func handle(_ completion: Completion, _ now: Moment) -> Bool {
        switch replacer.handle(completion) {
        case .underWay: return false
        case .done: return true
        case .failed(let error):
            rest(error, now)
            return false
        }
    }

    private mutating func rest(_ error: IOError, _ now: Moment) {
        logger.error("\(error); trying again in a second")
        restsUntil = now.monotonic + 1_000_000_000
    }
}
