// Unsafe on purpose: it writes frames into the journal's memory, in front of every reader.

import Host

/// Turns payloads into the journal's byte stream: the write stage's pen. It knows memory and positions, no disk.
public struct JournalWriter: ~Copyable {
    private let cache: JournalCache
    private let positions: JournalPositions
    private let identity: JournalIdentity
    public private(set) var epoch: UInt32
    /// Where the next frame goes.
    public private(set) var position: UInt64
    private var previous: UInt32
    /// The checksum of the last frame.
    public var lastChecksum: UInt32 { previous }
    /// Where in memory the next frame goes; nil where no segment is loaded yet.
    private var place: UnsafeMutableRawPointer?
    private var segmentStart: UInt64
    private var segmentEnd: UInt64
    /// The longest payload of a batch.
    public let payloadLimit: Int
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
        payloadLimit = cache.segmentBytes - Frame.headerBytes - Int(reserve)
        flushed = positions.flushed.load()
        self.prepared = prepared
        self.toFlush = toFlush
        if let current {
            segmentStart = current.number * UInt64(cache.segmentBytes)
            segmentEnd = (current.number + 1) * UInt64(cache.segmentBytes)
            place = cache.base(slot: current.slot) + Int(position - segmentStart)
            let sent = self.toFlush.send(current)
            precondition(sent, "flush has room for every loaded segment")
        } else {
            segmentStart = position
            segmentEnd = position
        }
    }

    /// The next frame is its segment's first.
    public var isAtSegmentStart: Bool { position == segmentStart }

    /// Where the next payload of that length goes; nil while the loader has no segment ready for it. What is put there
    /// counts only after `append`.
    public mutating func room(for payload: Int, _ kind: FrameKind) -> UnsafeMutableRawPointer? {
        precondition(payload <= payloadLimit, "a frame does not cross a segment")
        let stride = Frame.stride(Frame.headerBytes + payload)
        let end = position + UInt64(stride) + (kind == .batch ? reserve : 0)
        guard end <= segmentEnd || nextSegment(), let place else { return nil }
        // What of the last word the payload leaves over is to be zero.
        (place + stride - 8).storeBytes(of: 0, as: UInt64.self)
        return place + Frame.headerBytes
    }

    /// Makes a frame of the payload that was put where `room` said. Returns the position behind it.
    @discardableResult
    public mutating func append(_ kind: FrameKind, partition: UInt32, payload: Int, time: Int64) -> UInt64 {
        let length = Frame.headerBytes + payload
        let stride = Frame.stride(length)
        let header = FrameHeader(
            length: UInt32(length), position: position, flushed: flushed, epoch: epoch, partition: partition,
            previous: previous, group: identity.group, kind: kind, time: time)
        previous = header.write(at: place!, key: identity.key)
        place! += stride
        position += UInt64(stride)
        return position
    }

    /// What is appended from here on is of that epoch.
    public mutating func begin(_ epoch: UInt32) {
        precondition(epoch > self.epoch, "epochs grow along a journal")
        self.epoch = epoch
    }

    /// Takes a frame of the leader's in as it is, which continues the journal. Returns where its payload is now; nil while there is no segment
    /// for it.
    public mutating func take(_ header: FrameHeader, _ frame: UnsafeRawPointer) -> UnsafeMutableRawPointer? {
        precondition(header.position == position, "frames continue the journal")
        if position == segmentEnd && !nextSegment() { return nil }
        let stride = Frame.stride(Int(header.length))
        precondition(UInt64(stride) <= segmentEnd - position, "a frame does not cross a segment's end")
        // The header last: a flush may take the beginning of a frame along that is not whole yet, which is not to look like one.
        (place! + Frame.headerBytes).copyMemory(from: frame + Frame.headerBytes, byteCount: stride - Frame.headerBytes)
        place!.copyMemory(from: frame, byteCount: Frame.headerBytes)
        defer {
            place! += stride
            position += UInt64(stride)
        }
        previous = header.checksum
        epoch = header.epoch
        return place! + Frame.headerBytes
    }

    /// Whether the frame is its segment's first.
    public func isFirst(_ header: FrameHeader) -> Bool { header.position == segmentStart }

    /// How many bytes there are to the segment's end where no header fits any more: zeros stand there, in place of a frame. 0 elsewhere.
    public var unusable: Int { segmentEnd - position < UInt64(Frame.headerBytes) ? Int(segmentEnd - position) : 0 }

    /// Fills the segment's unusable end.
    public mutating func fill() {
        guard let place, unusable > 0 else { return }
        place.initializeMemory(as: UInt8.self, repeating: 0, count: unusable)
        position = segmentEnd
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
        if place != nil, position < segmentEnd {
            let left = Int(segmentEnd - position)
            if left >= Frame.headerBytes {
                append(.padding, partition: Frame.noPartition, payload: left - Frame.headerBytes, time: 0)
            } else {
                fill()
            }
        }
        guard let next = prepared.pop() else { return false }
        prepared.release()
        precondition(next.number == cache.segment(of: position), "segments come in order")
        place = cache.base(slot: next.slot)
        segmentStart = next.number * UInt64(cache.segmentBytes)
        segmentEnd = (next.number + 1) * UInt64(cache.segmentBytes)
        let sent = toFlush.send(next)
        precondition(sent, "flush has room for every loaded segment")
        return true
    }
}
