import Glibc
import Host
import IO

/// Writes what is new in the journal cache to disk, as many bytes at once as have gathered while the last write was under
/// way, and advances the flushed position. One write is in flight at a time, so the partial block at the end can be
/// written again with the next: its durable prefix is the same, byte by byte.
public struct FlushStage: Stage, ~Copyable {
    private enum Phase {
        case idle
        /// The write, or the write and its linked sync, are in the ring.
        case writing(from: UInt64, end: UInt64)
    }

    private enum Tag {
        static let write: UInt64 = 1
        static let sync: UInt64 = 2
    }

    private enum Count {
        static let writes = StageMeter.Counter.first
        static let bytes = StageMeter.Counter.second
    }

    private static let shortWritesLimit = 16

    private let files: any FilePort
    private let cache: JournalCache
    private let positions: JournalPositions
    private let method: FlushMethod
    private let writeLimit: UInt64
    private let group: Int
    private let trace: EventTrace?
    private var segments: Receiver<LoadedSegment>
    private var done: Sender<LoadedSegment>
    private var current: LoadedSegment?
    private var flushed: UInt64
    private var phase = Phase.idle
    private var writeFellShort = false
    /// Writes in a row that were not whole.
    private var shortWrites = 0
    private var failed = false
    private let meter: StageMeter
    /// When this step began, and when the write under way was submitted first, by the monotonic clock.
    private var now: UInt64 = 0
    private var submittedAt: UInt64 = 0

    /// - Parameters:
    ///   - segments: the segments in the order in which they are written to.
    ///   - done: takes each segment once all of it is durable.
    ///   - writeLimit: the most bytes of one write.
    public init(
        files: any FilePort, cache: JournalCache, positions: JournalPositions, method: FlushMethod, group: Int,
        segments: consuming Receiver<LoadedSegment>, done: consuming Sender<LoadedSegment>, writeLimit: Int = 4 << 20,
        trace: EventTrace? = nil, meter: StageMeter = .unwatched
    ) {
        self.meter = meter
        self.files = files
        self.cache = cache
        self.positions = positions
        self.method = method
        self.group = group
        self.segments = segments
        self.done = done
        self.writeLimit = UInt64(writeLimit)
        self.trace = trace
        flushed = positions.flushed.load()
    }

    public mutating func step(_ now: Moment) -> Int {
        var progress = 0
        self.now = now.monotonic
        while let completion = files.next() {
            progress += 1
            handle(completion)
        }
        if case .idle = phase, !failed, begin() { progress += 1 }
        return progress
    }

    public var isDrained: Bool {
        if failed { return true }
        guard case .idle = phase else { return false }
        return positions.appended.load() == flushed
    }

    // MARK: Writing

    private mutating func begin() -> Bool {
        let appended = positions.appended.load()
        guard appended > flushed else { return false }
        if current == nil {
            guard let next = segments.pop() else { return false }
            segments.release()
            precondition(next.number == cache.segment(of: flushed), "segments come in order")
            current = next
        }
        let segmentEnd = (current!.number + 1) * UInt64(cache.segmentBytes)
        let from = alignedDown(flushed)
        submittedAt = now
        submit(from: from, end: min(appended, segmentEnd, from + writeLimit))
        return true
    }

    /// Bytes behind `end` in its last block go along: they may be half a frame, which nobody has been promised.
    private mutating func submit(from: UInt64, end: UInt64) {
        let offset = cache.offset(of: from)
        let memory = UnsafeRawPointer(cache.base(slot: current!.slot) + offset)
        let count = Int(alignedUp(end) - from)
        phase = .writing(from: from, end: end)
        trace?.line("write-submit group=\(group) from=\(from) to=\(end)")
        switch method {
        case .dsync:
            files.write(current!.file, from: memory, count: count, offset: UInt64(offset), durable: true, tag: Tag.write)
        case .fdatasync:
            files.write(current!.file, from: memory, count: count, offset: UInt64(offset), durable: false, tag: Tag.write)
        case .linked:
            files.writeAndSync(
                current!.file, from: memory, count: count, offset: UInt64(offset), writeTag: Tag.write, syncTag: Tag.sync)
        }
    }

    private mutating func handle(_ completion: Completion) {
        guard case .writing(let from, let end) = phase, !failed else { return }
        if completion.tag == Tag.sync {
            if writeFellShort {
                writeFellShort = false
                return submit(from: from, end: end)
            }
            return completion.result < 0 ? fail(completion.result) : advance(to: end)
        }
        let isInterrupted = completion.result == -EINTR
        guard completion.result >= 0 || isInterrupted else { return fail(completion.result) }
        let written = from + UInt64(max(completion.result, 0))
        // The linked sync is cancelled by any short write, also by one that lacks only the rest of the last block.
        guard written < (method == .linked ? alignedUp(end) : end) else {
            shortWrites = 0
            if method == .dsync { advance(to: end) }
            if method == .fdatasync {
                let result = files.syncNow(current!.file)
                if result < 0 { fail(result) } else { advance(to: end) }
            }
            return
        }
        // A short write: whole blocks of it stand; what follows is written again. (Nothing at all, without a reason, is an error.)
        shortWrites += 1
        guard completion.result > 0 || isInterrupted, shortWrites < FlushStage.shortWritesLimit else { return fail(-EIO) }
        let rest = alignedDown(written)
        phase = .writing(from: rest, end: end)
        if method == .linked { writeFellShort = true } else { submit(from: rest, end: end) }
    }

    private mutating func advance(to end: UInt64) {
        meter.record(latency: now - submittedAt)
        meter.add(Count.writes, 1)
        meter.add(Count.bytes, end - flushed)
        flushed = end
        phase = .idle
        trace?.line("sync-done group=\(group) flushed=\(end)")
        if end == (current!.number + 1) * UInt64(cache.segmentBytes) {
            let sent = done.send(current!)
            precondition(sent, "the loader has room for every loaded segment")
            current = nil
        }
        positions.flushed.advance(to: end)
    }

    /// Never retried: after a failed sync the kernel may have dropped the pages and report success next time.
    private mutating func fail(_ result: Int32) {
        failed = true
        positions.fail(-result)
    }
}
