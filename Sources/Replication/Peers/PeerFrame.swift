// Unsafe on purpose: frames are read and written in place, in connections' buffers; every access is within the lengths that were
// checked.

import CHost
import Journal

/// What brokers send each other: a header of 72 bytes, little endian, and a body.
///
/// | at | bytes | field |
/// |---|---|---|
/// | 0 | 4 | magic, "HTP1" |
/// | 4 | 4 | length of header and body, in bytes |
/// | 8 | 1 | kind of message |
/// | 9 | 1 | 1: the sender is unsure of its log's end; else zero |
/// | 10 | 2 | partition group |
/// | 12 | 4 | epoch |
/// | 16 | 4 | session |
/// | 20 | 4 | the sender's node id |
/// | 24 | 8 | the sender's incarnation |
/// | 32 | 8 | the receiver's incarnation |
/// | 40 | 8 | a position: of a range the first; of a log its start; what was received; in a file, where a stretch begins |
/// | 48 | 8 | a position: of a range the one behind its last; of a log its end; what is persisted; in a file, where a stretch ends |
/// | 56 | 8 | a position: what is committed; where a log starts that has not what was asked for; the size of a file |
/// | 64 | 4 | CRC-32C of the body, where it is not the journal's bytes: these have checksums of their own |
/// | 68 | 4 | CRC-32C of the 68 bytes before |
///
/// The body of `append` and `bytes` is the journal's bytes of the range; of `promise` a history and the damaged ranges; of `follow` a
/// history; of `fetch` and `file` which file it is: its kind (1: 0 the head, 1 a segment, 2 an archive, 3 an archive's index), partition (4) and number or
/// base offset (8); of `file` then its bytes. A history is a count (4) and for each epoch its number (4) and start (8); ranges are a count (4) and pairs of positions.
public struct PeerFrame: Equatable, Sendable {
    public static let headerBytes = 72
    static let magic: UInt32 = 0x3150_5448
    /// The most epochs and damaged ranges that a message may bear.
    static let mostEntries = 1 << 16
    /// The longest frame, in bytes.
    public static let mostBytes = 136 << 20

    public var group: UInt16
    public var from: ReplicaID
    /// The incarnation that is spoken to: what was meant for a disk that was wiped is not for the one that came after.
    public var toIncarnation: UInt64
    public var message: ReplicaMessage

    public init(group: UInt16, from: ReplicaID, toIncarnation: UInt64, message: ReplicaMessage) {
        self.group = group
        self.from = from
        self.toIncarnation = toIncarnation
        self.message = message
    }

    enum Kind: UInt8 {
        case prepare = 1, promise, refuse, read, bytes, unreadable, follow, matched, behind, append, ack, fetch, file
    }

    /// What the first bytes of a connection's buffer are.
    public enum Look: Equatable, Sendable {
        /// More bytes are needed before anything can be said; so many in all, as far as is known.
        case more(Int)
        /// A whole frame of that length stands there.
        case whole(Int)
        /// These are no frames of peers.
        case malformed
    }

    public static func look(_ bytes: UnsafeRawBufferPointer) -> Look {
        guard bytes.count >= headerBytes else { return .more(headerBytes) }
        guard get(bytes, 0, UInt32.self) == magic, get(bytes, 68, UInt32.self) == hutong_crc32c(0, bytes.baseAddress, 68) else {
            return .malformed
        }
        let length = Int(get(bytes, 4, UInt32.self))
        guard length >= headerBytes, length <= mostBytes else { return .malformed }
        return bytes.count >= length ? .whole(length) : .more(length)
    }

    /// Reads a whole frame; nil: it is damaged, or says what no message says. The journal's bytes stay behind the header.
    public init?(_ bytes: UnsafeRawBufferPointer) {
        guard case .whole(let length) = PeerFrame.look(bytes), let kind = Kind(rawValue: bytes[8]) else { return nil }
        let body = UnsafeRawBufferPointer(rebasing: bytes[PeerFrame.headerBytes..<length])
        func position(_ at: Int) -> UInt64 { PeerFrame.get(bytes, at, UInt64.self) }
        let epoch = PeerFrame.get(bytes, 12, UInt32.self)
        let session = PeerFrame.get(bytes, 16, UInt32.self)
        let (first, second) = (position(40), position(48))
        guard first <= second || kind == .ack else { return nil }
        let range = min(first, second)..<second
        let isUnsure = bytes[9] == 1
        switch kind {
        case .append, .bytes:
            guard range.upperBound - range.lowerBound == UInt64(body.count) else { return nil }
            message = kind == .append
                ? .append(epoch: epoch, session: session, range, committed: position(56)) : .bytes(epoch: epoch, range)
        default:
            guard PeerFrame.get(bytes, 64, UInt32.self) == hutong_crc32c(0, body.baseAddress, body.count) else { return nil }
            var cursor = Cursor(rest: body)
            switch kind {
            case .prepare: message = .prepare(epoch: epoch)
            case .refuse: message = .refuse(promised: epoch)
            case .read: message = .read(epoch: epoch, range)
            case .unreadable: message = .unreadable(epoch: epoch, range, start: position(56))
            case .matched: message = .matched(epoch: epoch, session: session, end: second)
            case .behind: message = .behind(epoch: epoch, session: session, end: second)
            case .ack: message = .ack(epoch: epoch, session: session, received: first, persisted: second, isUnsure: isUnsure)
            case .follow:
                guard let history = cursor.history() else { return nil }
                message = .follow(epoch: epoch, session: session, start: second, history)
            case .promise:
                guard let history = cursor.history(), let damaged = cursor.ranges(below: second) else { return nil }
                message = .promise(epoch: epoch, LogShape(start: first, history: history, end: second, damaged: damaged, isUnsure: isUnsure))
            case .fetch, .file:
                guard let file = cursor.snapshotFile(), second - first <= UInt64(SnapshotStretch.mostBytes) else { return nil }
                let stretch = SnapshotStretch(file: file, offset: first, count: Int(second - first))
                message = kind == .fetch
                    ? .fetch(epoch: epoch, stretch) : .file(epoch: epoch, stretch, size: position(56), Array(cursor.rest))
                if kind == .file { cursor.rest = UnsafeRawBufferPointer(start: nil, count: 0) }
            case .append, .bytes: return nil
            }
            guard cursor.rest.isEmpty else { return nil }
        }
        group = PeerFrame.get(bytes, 10, UInt16.self)
        from = ReplicaID(broker: PeerFrame.get(bytes, 20, Int32.self), incarnation: position(24))
        toIncarnation = position(32)
    }

    /// The header, and the body where it is not the journal's bytes: these follow.
    public func encode() -> [UInt8] {
        var body: [UInt8] = []
        var (session, first, second, third) = (UInt32(0), UInt64(0), UInt64(0), UInt64(0))
        var journalBytes = 0
        var isUnsure = false
        let kind: Kind
        func put(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { body.append(contentsOf: $0) } }
        func put(_ history: LogHistory) {
            put(UInt32(history.starts.count))
            for start in history.starts {
                put(start.epoch)
                put(start.position)
            }
        }
        func put(_ file: SnapshotFile) {
            let (kind, partition, number, edition): (UInt8, UInt32, UInt64, UInt32) = switch file {
            case .head: (0, 0, 0, 0)
            case .segment(let number): (1, 0, number, 0)
            case .archive(let key): (2, key.partition, UInt64(bitPattern: key.base), key.edition)
            case .archiveIndex(let key): (3, key.partition, UInt64(bitPattern: key.base), key.edition)
            }
            put(kind)
            put(partition)
            put(number)
            put(edition)
        }
        switch message {
        case .prepare: kind = .prepare
        case .refuse: kind = .refuse
        case .promise(_, let shape):
            kind = .promise
            isUnsure = shape.isUnsure
            (first, second) = (shape.start, shape.end)
            put(shape.history)
            put(UInt32(shape.damaged.count))
            for range in shape.damaged {
                put(range.lowerBound)
                put(range.upperBound)
            }
        case .read(_, let range): (kind, first, second) = (.read, range.lowerBound, range.upperBound)
        case .unreadable(_, let range, let start): (kind, first, second, third) = (.unreadable, range.lowerBound, range.upperBound, start)
        case .bytes(_, let range):
            (kind, first, second) = (.bytes, range.lowerBound, range.upperBound)
            journalBytes = range.count
        case .follow(_, let its, let start, let history):
            (kind, session, second) = (.follow, its, start)
            put(history)
        case .matched(_, let its, let end): (kind, session, second) = (.matched, its, end)
        case .behind(_, let its, let end): (kind, session, second) = (.behind, its, end)
        case .append(_, let its, let range, let committed):
            (kind, session, first, second, third) = (.append, its, range.lowerBound, range.upperBound, committed)
            journalBytes = range.count
        case .ack(_, let its, let received, let persisted, let unsure):
            (kind, session, first, second) = (.ack, its, received, persisted)
            isUnsure = unsure
        case .fetch(_, let stretch):
            (kind, first, second) = (.fetch, stretch.offset, stretch.offset + UInt64(stretch.count))
            put(stretch.file)
        case .file(_, let stretch, let size, let bytes):
            (kind, first, second, third) = (.file, stretch.offset, stretch.offset + UInt64(stretch.count), size)
            put(stretch.file)
            body += bytes
        }
        var frame: [UInt8] = []
        frame.reserveCapacity(PeerFrame.headerBytes + body.count)
        func add(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { frame.append(contentsOf: $0) } }
        add(PeerFrame.magic)
        add(UInt32(PeerFrame.headerBytes + body.count + journalBytes))
        add(kind.rawValue)
        add(UInt8(isUnsure ? 1 : 0))
        add(group)
        add(message.epoch)
        add(session)
        add(from.broker)
        add(from.incarnation)
        add(toIncarnation)
        add(first)
        add(second)
        add(third)
        add(body.withUnsafeBytes { hutong_crc32c(0, $0.baseAddress, $0.count) })
        add(frame.withUnsafeBytes { hutong_crc32c(0, $0.baseAddress, $0.count) })
        return frame + body
    }

    private static func get<T: FixedWidthInteger>(_ bytes: UnsafeRawBufferPointer, _ at: Int, _: T.Type) -> T {
        T(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: T.self))
    }

    private struct Cursor {
        var rest: UnsafeRawBufferPointer

        mutating func take<T: FixedWidthInteger>(_: T.Type) -> T? {
            guard rest.count >= MemoryLayout<T>.size else { return nil }
            defer { rest = UnsafeRawBufferPointer(rebasing: rest[MemoryLayout<T>.size...]) }
            return T(littleEndian: rest.loadUnaligned(as: T.self))
        }

        /// Nil where it is cut short, or where epochs or starts don't grow.
        mutating func history() -> LogHistory? {
            guard let count = take(UInt32.self), count <= PeerFrame.mostEntries, rest.count >= 12 * Int(count) else { return nil }
            var starts: [EpochStart] = []
            for _ in 0..<count {
                guard let epoch = take(UInt32.self), let position = take(UInt64.self) else { return nil }
                if let last = starts.last, last.epoch >= epoch || last.position >= position { return nil }
                starts.append(EpochStart(epoch: epoch, position: position))
            }
            return LogHistory(starts)
        }

        /// Nil where it is cut short, or none of a snapshot's.
        mutating func snapshotFile() -> SnapshotFile? {
            guard let kind = take(UInt8.self), let partition = take(UInt32.self), let number = take(UInt64.self), let edition = take(UInt32.self)
            else { return nil }
            let key = ArchiveKey(partition: partition, base: Int64(truncatingIfNeeded: number), edition: edition)
            switch kind {
            case 0: return .head
            case 1: return .segment(number)
            case 2 where key.base >= 0: return .archive(key)
            case 3 where key.base >= 0: return .archiveIndex(key)
            default: return nil
            }
        }

        /// Nil where it is cut short, or where they overlap, or end behind the log.
        mutating func ranges(below end: UInt64) -> [Range<UInt64>]? {
            guard let count = take(UInt32.self), count <= PeerFrame.mostEntries, rest.count >= 16 * Int(count) else { return nil }
            var ranges: [Range<UInt64>] = []
            for _ in 0..<count {
                guard let first = take(UInt64.self), let second = take(UInt64.self), first < second, second <= end,
                    ranges.last.map({ $0.upperBound <= first }) ?? true
                else { return nil }
                ranges.append(first..<second)
            }
            return ranges
        }
    }
}
