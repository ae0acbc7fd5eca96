// Unsafe on purpose: it writes frames into the journal's memory, in front of every reader.

import Host

/// Turns payloads into the journal's byte stream: the write stage's pen. It knows memory and positions, no disk.
public struct JournalWriter: ~Copyable {
    private let cache: JournalCache
    private let positions: JournalPositions
    private let identity: JournalIdentity
    public let epoch: UInt32
    /// Where the next frame goes.
    public private(set) var position: UInt64
    private var previous: UInt32
    /// The checksum of the last frame.
    public var lastChecksum: UInt32 { previous }
    private var base: UnsafeMutableRawPointer?
    private var segmentStart: UInt64
    private var segmentEnd: UInt64
    /// Of each segment so much is kept for frames that are not batches: where the disk is full and no further segment can be had,
    /// records can still be deleted.
    private let reserve: UInt64
    private var flushed: UInt64
    private var prepared: Receiver<LoadedSegment>
    private var toFlush: Sender<LoadedSegment>

    /// - Parameters:
    ///   - current: the segment that holds `position`; nil where `position` is a segment's first and none is loaded yet.
    ///   - previous: the checksum of the last frame before `position`.
    ///   - prepared: the next segments, in order.
    ///   - toFlush: told of each segment before anything in it is published.
    public init(
        cache: JournalCache, positions: JournalPositions, identity: JournalIdentity, epoch: UInt32, position: UInt64,
        previous: UInt32, current: LoadedSegment?, prepared: consuming Receiver<LoadedSegment>,
        toFlush: consuming Sender<LoadedSegment>
    ) {
        self.cache = cache
        self.positions = positions
        self.identity = identity
        self.epoch = epoch
        self.position = position
        self.previous = previous
        reserve = UInt64(min(cache.segmentBytes / 64, 64 << 10))
        flushed = positions.flushed.load()
        self.prepared = prepared
        self.toFlush = toFlush
        if let current {
            base = cache.base(slot: current.slot)
            segmentStart = current.number * UInt64(cache.segmentBytes)
            segmentEnd = (current.number + 1) * UInt64(cache.segmentBytes)
            let sent = self.toFlush.send(current)
            precondition(sent, "flush has room for every loaded segment")
        } else {
            segmentStart = position
            segmentEnd = position
        }
    }

    /// Whether the current segment has room for a payload of that length.
    private func hasRoom(for payload: Int, _ kind: FrameKind) -> Bool {
        let end = position + UInt64(Frame.stride(Frame.headerBytes + payload)) + (kind == .batch ? reserve : 0)
        return base != nil && end <= segmentEnd
    }

    /// The longest payload of a batch.
    public var payloadLimit: Int { cache.segmentBytes - Frame.headerBytes - Int(reserve) }

    /// The next frame is its segment's first.
    public var isAtSegmentStart: Bool { position == segmentStart }

    /// Where the next payload of that length goes; nil while the loader has no segment ready for it. What is put there
    /// counts only after `append`.
    public mutating func room(for payload: Int, _ kind: FrameKind) -> UnsafeMutableRawPointer? {
        precondition(payload <= payloadLimit, "a frame does not cross a segment")
        if !hasRoom(for: payload, kind) {
            guard nextSegment() else { return nil }
        }
        return place! + Frame.headerBytes
    }

    /// Where the next frame goes; nil where no segment is loaded.
    private var place: UnsafeMutableRawPointer? { base.map { $0 + Int(position - segmentStart) } }

    /// Makes a frame of the payload that was put where `room` said. Returns the position behind it.
    @discardableResult
    public mutating func append(_ kind: FrameKind, partition: UInt32, payload: Int, time: Int64) -> UInt64 {
        let length = Frame.headerBytes + payload
        let header = FrameHeader(
            length: UInt32(length), position: position, flushed: flushed, epoch: epoch, partition: partition,
            previous: previous, group: identity.group, kind: kind, time: time)
        let at = place!
        previous = header.write(at: at, key: identity.key)
        let stride = Frame.stride(length)
        if stride > length { (at + length).initializeMemory(as: UInt8.self, repeating: 0, count: stride - length) }
        position += UInt64(stride)
        return position
    }

    /// Shows what was appended to flush and replicate. Returns whether there was anything.
    public mutating func publish() -> Bool {
        flushed = positions.flushed.load()
        guard positions.appended.load() != position else { return false }
        positions.appended.advance(to: position)
        return true
    }

    private mutating func nextSegment() -> Bool {
        guard prepared.peek() != nil else { return false }
        if let base, position < segmentEnd {
            let left = Int(segmentEnd - position)
            if left >= Frame.headerBytes {
                append(.padding, partition: Frame.noPartition, payload: left - Frame.headerBytes, time: 0)
            } else {
                (base + Int(position - segmentStart)).initializeMemory(as: UInt8.self, repeating: 0, count: left)
                position = segmentEnd
            }
        }
        guard let next = prepared.pop() else { return false }
        prepared.release()
        precondition(next.number == cache.segment(of: position), "segments come in order")
        base = cache.base(slot: next.slot)
        segmentStart = next.number * UInt64(cache.segmentBytes)
        segmentEnd = (next.number + 1) * UInt64(cache.segmentBytes)
        let sent = toFlush.send(next)
        precondition(sent, "flush has room for every loaded segment")
        return true
    }
}
