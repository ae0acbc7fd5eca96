import Glibc
import Host
import IO
import Journal
import Logging

/// Writes full segments' indexes to their files, one at a time, without waiting for any.
struct IndexFileWriter {
    private enum Phase {
        case idle
        case writing(from: Int)
        case syncing
        case resting(until: UInt64)
    }

    private static let chunk = 1 << 20

    private let files: any FilePort
    private let paths: JournalPaths
    private let tag: UInt64
    private let logger: Logger
    private var phase = Phase.idle
    private var segment: UInt64 = 0
    private var image: AlignedBuffer?
    private var file: Int32 = -1

    /// - Parameter tag: of its operations; it has one at a time.
    init(files: any FilePort, paths: JournalPaths, tag: UInt64, logger: Logger) {
        self.files = files
        self.paths = paths
        self.tag = tag
        self.logger = logger
    }

    /// Begins with the index, if nothing is under way. Returns whether it did.
    mutating func advance(_ index: SegmentIndex, _ now: Moment) -> Bool {
        switch phase {
        case .writing, .syncing: return false
        case .resting(let until) where now.monotonic < until: return false
        case .idle, .resting: break
        }
        do {
            try? files.remove(paths.unfinishedIndex)
            file = try files.open(paths.unfinishedIndex, .createDirect)
            segment = index.segment
            image = IndexFile.image(of: index)
            write(from: 0)
        } catch {
            rest(error, now)
        }
        return true
    }

    var deadline: UInt64 {
        if case .resting(let until) = phase { return until }
        return .max
    }

    /// Returns whether the file is in place.
    mutating func handle(_ completion: Completion, _ now: Moment) -> Bool {
        guard completion.result >= 0, let image else {
            rest(IOError(code: -completion.result, doing: "writing \(paths.index(segment))"), now)
            return false
        }
        switch phase {
        case .idle, .resting: return false
        case .writing(let from):
            let next = from + Int(alignedDown(UInt64(completion.result)))
            if next == from {
                rest(IOError(code: EIO, doing: "writing \(paths.index(segment))"), now)
            } else if next < image.count {
                write(from: next)
            } else {
                files.sync(file, dataOnly: false, tag: tag)
                phase = .syncing
            }
            return false
        case .syncing:
            return finish(now)
        }
    }

    private mutating func write(from: Int) {
        let count = min(IndexFileWriter.chunk, image!.count - from)
        files.write(file, from: image!.base + from, count: count, offset: UInt64(from), durable: false, tag: tag)
        phase = .writing(from: from)
    }

    private mutating func finish(_ now: Moment) -> Bool {
        do {
            files.close(file)
            file = -1
            image = nil
            try files.rename(paths.unfinishedIndex, to: paths.index(segment))
            phase = .idle
            return true
        } catch {
            rest(error, now)
            return false
        }
    }

    private mutating func rest(_ error: IOError, _ now: Moment) {
        logger.error("\(error); trying again in a second")
        if file >= 0 { files.close(file) }
        file = -1
        image = nil
        phase = .resting(until: now.monotonic + 1_000_000_000)
    }
}
