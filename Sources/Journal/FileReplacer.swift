import Glibc
import IO

/// Puts a whole new file in place without waiting: written beside it, synced, renamed; after a crash there is the old one or the
/// new one, entire. One at a time. What can be made again may go unsynced: after a crash it may be anything.
public struct FileReplacer {
    private enum Phase {
        case idle
        case writing(from: Int)
        case syncing
        case syncingDirectory
    }

    /// What a completion has led to.
    public enum Outcome {
        case underWay
        case done
        case failed(IOError)
    }

    private static let chunk = 4 << 20

    private let files: any FilePort
    private let tag: UInt64
    /// To be synced after the rename; nil: whoever relies on the file syncs it.
    private let directory: Int32?
    private let isSynced: Bool
    private var phase = Phase.idle
    private var path = ""
    private var unfinished = ""
    private var image: AlignedBuffer?
    private var file: Int32 = -1

    /// - Parameters:
    ///   - tag: of its operations; it has one at a time.
    ///   - directory: the file's directory, open.
    ///   - isSynced: it is on stable storage before it is put in place.
    public init(files: any FilePort, tag: UInt64, directory: Int32?, isSynced: Bool = true) {
        self.isSynced = isSynced
        self.files = files
        self.tag = tag
        self.directory = directory
    }

    public var isIdle: Bool {
        if case .idle = phase { return true }
        return false
    }

    /// - Parameter unfinished: the path of the file until it is whole.
    public mutating func begin(_ path: String, by unfinished: String, image: AlignedBuffer) throws(IOError) {
        precondition(isIdle, "one file at a time")
        self.path = path
        self.unfinished = unfinished
        try? files.remove(unfinished)
        file = try files.open(unfinished, .createDirect)
        self.image = image
        write(from: 0)
    }

    public mutating func handle(_ completion: Completion) -> Outcome {
        guard completion.result >= 0, let image else {
            return fail(IOError(code: -completion.result, doing: "writing \(path)"))
        }
        switch phase {
        case .idle: return .underWay
        case .writing(let from):
            let next = from + Int(alignedDown(UInt64(completion.result)))
            if next == from { return fail(IOError(code: EIO, doing: "writing \(path)")) }
            if next < image.count {
                write(from: next)
                return .underWay
            }
            guard isSynced else { return rename() }
            files.sync(file, dataOnly: false, tag: tag)
            phase = .syncing
            return .underWay
        case .syncing: return rename()
        case .syncingDirectory:
            phase = .idle
            self.image = nil
            return .done
        }
    }

    private mutating func write(from: Int) {
        let count = min(FileReplacer.chunk, image!.count - from)
        files.write(file, from: image!.base + from, count: count, offset: UInt64(from), durable: false, tag: tag)
        phase = .writing(from: from)
    }

    private mutating func rename() -> Outcome {
        files.close(file)
        file = -1
        do { try files.rename(unfinished, to: path) } catch { return fail(error) }
        guard let directory else {
            phase = .idle
            image = nil
            return .done
        }
        files.sync(directory, dataOnly: false, tag: tag)
        phase = .syncingDirectory
        return .underWay
    }

    private mutating func fail(_ error: IOError) -> Outcome {
        if file >= 0 { files.close(file) }
        file = -1
        image = nil
        phase = .idle
        return .failed(error)
    }
}
