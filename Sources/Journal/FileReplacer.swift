import Glibc
import IO

/// What a file is to hold.
public enum FileContents {
    case image(AlignedBuffer)
    /// Made while it is written.
    case index(IndexFile.Contents)
}

/// Puts a whole new file in place without waiting: written beside it piece by piece, synced, renamed; after a crash there is
/// the old one or the new one, entire. One at a time. What can be made again may go unsynced: after a crash it may be anything.
public struct FileReplacer {
    private enum Phase {
        case idle
        /// The rest of a piece, from that byte of it on.
        case writing(from: Int)
        /// A piece is written; the next waits for `goOn`.
        case resting
        case syncing
        case syncingDirectory
    }

    /// What a completion has led to.
    public enum Outcome {
        case underWay
        case done
        case failed(IOError)
    }

    /// The most bytes of one write; and of one of what is made for it, in blocks.
    private static let pieceBytes = 4 << 20
    private static let madeBlocks = 32

    private let files: any FilePort
    private let tag: UInt64
    /// To be synced after the rename; nil: whoever relies on the file syncs it.
    private let directory: Int32?
    private let isSynced: Bool
    private let isPaced: Bool
    private var phase = Phase.idle
    private var path = ""
    private var unfinished = ""
    private var contents: FileContents?
    /// Where pieces are made.
    private var room: AlignedBuffer?
    /// The piece that is written; and how many bytes of the file come before it.
    private var piece = UnsafeRawBufferPointer(start: nil, count: 0)
    private var pieceOffset = 0
    private var file: Int32 = -1

    /// In how many pieces an index is written.
    public static func pieces(of contents: IndexFile.Contents) -> Int { (contents.blocks + madeBlocks - 1) / madeBlocks }

    /// - Parameters:
    ///   - tag: of its operations; it has one at a time.
    ///   - directory: the file's directory, open.
    ///   - isSynced: it is on stable storage before it is put in place.
    ///   - isPaced: the owner says when each piece but the first is written.
    public init(files: any FilePort, tag: UInt64, directory: Int32?, isSynced: Bool = true, isPaced: Bool = false) {
        self.isSynced = isSynced
        self.isPaced = isPaced
        self.files = files
        self.tag = tag
        self.directory = directory
    }

    public var isIdle: Bool {
        if case .idle = phase { return true }
        return false
    }

    /// Whether a piece is written, and `goOn` is waited for.
    public var isResting: Bool {
        if case .resting = phase { return true }
        return false
    }

    /// Whether none of its operations is under way.
    public var isAtRest: Bool { isIdle || isResting }

    /// Leaves the file as it is; nothing is under way.
    public mutating func abandon() {
        precondition(isAtRest, "the kernel is done with it")
        if file >= 0 { files.close(file) }
        file = -1
        contents = nil
        phase = .idle
    }

    /// - Parameters:
    ///   - unfinished: the path of the file until it is whole.
    ///   - writesOver: a file that is there under that path is used: its blocks cost the file system nothing. What of it is more than
    ///     the contents stays behind them.
    public mutating func begin(
        _ path: String, by unfinished: String, contents: FileContents, writesOver: Bool = false
    ) throws(IOError) {
        precondition(isIdle, "one file at a time")
        self.path = path
        self.unfinished = unfinished
        if writesOver, let there = try? files.open(unfinished, .direct) {
            file = there
        } else {
            try? files.remove(unfinished)
            file = try files.open(unfinished, .createDirect)
        }
        self.contents = contents
        pieceOffset = 0
        piece = UnsafeRawBufferPointer(start: nil, count: 0)
        _ = writeNextPiece()
    }

    public mutating func handle(_ completion: Completion) -> Outcome {
        guard completion.result >= 0 else {
            return fail(IOError(code: -completion.result, doing: "writing \(path)"))
        }
        switch phase {
        case .idle, .resting: return .underWay
        case .writing(let from):
            let next = from + Int(alignedDown(UInt64(completion.result)))
            if next == from { return fail(IOError(code: EIO, doing: "writing \(path)")) }
            if next < piece.count {
                write(from: next)
                return .underWay
            }
            phase = .resting
            return isPaced ? .underWay : goOn()
        case .syncing: return rename()
        case .syncingDirectory:
            phase = .idle
            contents = nil
            return .done
        }
    }

    /// Writes the next piece, or ends the file where there is none.
    public mutating func goOn() -> Outcome {
        precondition(isResting, "a piece has been written")
        if writeNextPiece() { return .underWay }
        guard isSynced else { return rename() }
        files.sync(file, dataOnly: false, tag: tag)
        phase = .syncing
        return .underWay
    }

    /// False where all has been written.
    private mutating func writeNextPiece() -> Bool {
        pieceOffset += piece.count
        switch contents {
        case .image(let image):
            piece = UnsafeRawBufferPointer(
                start: image.base + pieceOffset, count: min(FileReplacer.pieceBytes, image.count - pieceOffset))
        case .index(var made):
            let room = room ?? AlignedBuffer(uninitialized: FileReplacer.madeBlocks * IndexBlock.bytes)
            self.room = room
            piece = UnsafeRawBufferPointer(start: room.base, count: made.next(FileReplacer.madeBlocks, to: room.base) * IndexBlock.bytes)
            contents = .index(made)
        case nil: return false
        }
        guard piece.count > 0 else { return false }
        write(from: 0)
        return true
    }

    private mutating func write(from: Int) {
        files.write(
            file, from: piece.baseAddress! + from, count: piece.count - from, offset: UInt64(pieceOffset + from), durable: false,
            tag: tag)
        phase = .writing(from: from)
    }

    private mutating func rename() -> Outcome {
        files.close(file)
        file = -1
        do { try files.rename(unfinished, to: path) } catch { return fail(error) }
        guard let directory else {
            phase = .idle
            contents = nil
            return .done
        }
        files.sync(directory, dataOnly: false, tag: tag)
        phase = .syncingDirectory
        return .underWay
    }

    private mutating func fail(_ error: IOError) -> Outcome {
        if file >= 0 { files.close(file) }
        file = -1
        contents = nil
        phase = .idle
        return .failed(error)
    }
}
