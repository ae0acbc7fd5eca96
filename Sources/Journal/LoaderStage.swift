import DequeModule
import Glibc
import Host
import IO
import Logging

/// Keeps the writer in segments and the cache in memory: makes files ahead, zeroed and synced, so that no durable write
/// waits for the file system; gives each a slot; takes the slots of the oldest durable segments back. A reader that holds
/// one back delays only that slot.
public struct LoaderStage: Stage, ~Copyable {
    private enum Phase {
        case idle
        case allocating, zeroing(UInt64), syncing, syncingDirectory
        /// The next zeros are written then.
        case pausing(offset: UInt64, until: UInt64)
        /// After an error, not before then.
        case resting(until: UInt64)
    }

    private struct Ready {
        var number: UInt64
        var file: Int32
    }

    /// Zeros are written so many bytes at a time, and, while another file stands ready, with pauses (nanoseconds): the journal's own
    /// writes go to the same drive.
    private static let chunk = 256 << 10
    private static let pause: UInt64 = 500_000
    /// How many files stand ready where each is made anew, which takes time.
    private static let filesAhead = 2
    /// So many freed segments are kept for use: they come in bursts, and to make new ones meanwhile would cost the drive as much
    /// as the journal itself. After some seconds in which none was needed all but one go, a few a step.
    private static let mostRecyclable = 256
    private static let patience: UInt64 = 3_000_000_000
    private static let removalsAStep = 2

    private let files: any FilePort
    private let cache: JournalCache
    private let paths: JournalPaths
    private let positions: JournalPositions
    private let logger: Logger
    private let directory: Int32
    private let zeros: AlignedBuffer
    private var prepared: Sender<LoadedSegment>
    private var durable: Receiver<LoadedSegment>
    private var freed: Receiver<UInt64>
    /// Segments that are free, to be used again.
    private var recyclable: Deque<UInt64>
    /// When freed segments that nobody needs give their space back.
    private var trimsAt: UInt64 = .max
    /// Freed segments come as fast as new ones are needed: to use one again takes no time, so none has to stand ready.
    private var isRecycling: Bool
    private let reserveBytes: UInt64
    private let recycles: Bool
    private var phase = Phase.idle
    private var making: Int32 = -1
    private var ready: Deque<Ready> = []
    private var nextNumber: UInt64
    private var free: [Int32]
    private var evictable: Deque<LoadedSegment> = []
    private var pinned: [Int32] = []
    /// When to look for a slot again: nobody rings when a reader lets go of one.
    private var retryAt: UInt64 = .max

    /// - Parameters:
    ///   - directory: the journal's directory, open, to sync its entries.
    ///   - existing: files of segments that stand ready from an earlier life, in order, the first being number `next`.
    ///   - next: the number of the first segment to hand to the writer.
    ///   - used: the slot that the writer's current segment has; nil: none.
    ///   - prepared: to the writer. Its room is how many slots lie ready.
    ///   - durable: segments that are entirely flushed.
    ///   - freed: segments that may be used again; `free`: those that an earlier life left.
    ///   - reserveBytes: so much of the file system is left free.
    ///   - recycles: freed segments are used again as they are; otherwise they are removed.
    public init(
        files: any FilePort, cache: JournalCache, paths: JournalPaths, positions: JournalPositions,
        directory: Int32, existing: [Int32], next: UInt64, used: Int32?, prepared: consuming Sender<LoadedSegment>,
        durable: consuming Receiver<LoadedSegment>, freed: consuming Receiver<UInt64>, free recyclable: [UInt64],
        reserveBytes: Int, recycles: Bool, logger: Logger
    ) {
        self.files = files
        self.cache = cache
        self.paths = paths
        self.positions = positions
        self.logger = logger
        self.recycles = recycles
        self.prepared = prepared
        self.durable = durable
        self.freed = freed
        self.recyclable = Deque(recyclable)
        isRecycling = recycles && !recyclable.isEmpty
        self.reserveBytes = UInt64(reserveBytes)
        zeros = AlignedBuffer(count: LoaderStage.chunk)
        self.directory = directory
        let others = (0..<Int32(cache.slotCount)).filter { $0 != used }
        free = others.filter { !cache.isPinned(slot: $0) }.reversed()
        pinned = others.filter { cache.isPinned(slot: $0) }
        nextNumber = next
        for file in existing {
            ready.append(Ready(number: nextNumber, file: file))
            nextNumber += 1
        }
    }

    public mutating func step(_ now: Moment) -> Int {
        var progress = 0
        while let segment = durable.pop() {
            evictable.append(segment)
            progress += 1
        }
        durable.release()
        progress += takeFreed(now)
        while let completion = files.next() {
            advance(completion, now)
            progress += 1
        }
        if case .resting(let until) = phase, now.monotonic >= until { phase = .idle }
        if case .pausing(let offset, let until) = phase, ready.isEmpty || now.monotonic >= until {
            zero(from: offset)
            progress += 1
        }
        if case .idle = phase, ready.count < (isRecycling ? (prepared.hasRoom() ? 1 : 0) : LoaderStage.filesAhead) {
            begin(now)
            progress += 1
        }
        retryAt = .max
        while !ready.isEmpty, prepared.hasRoom() {
            guard let slot = takeSlot() else {
                if !pinned.isEmpty { retryAt = now.monotonic + 1_000_000 }
                break
            }
            handOver(slot)
            progress += 1
        }
        return progress
    }

    public var deadline: UInt64 {
        switch phase {
        case .resting(let until), .pausing(_, let until): min(until, retryAt, trimsAt)
        default: min(retryAt, trimsAt)
        }
    }

    public var isDrained: Bool {
        if case .idle = phase { return true }
        if case .resting = phase { return true }
        return false
    }

    // MARK: Slots

    private mutating func handOver(_ slot: Int32) {
        let next = ready.removeFirst()
        cache.admit(next.number, slot: slot)
        let sent = prepared.send(LoadedSegment(number: next.number, slot: slot, file: next.file))
        precondition(sent, "there was room")
    }

    private mutating func takeSlot() -> Int32? {
        if let slot = free.popLast() { return slot }
        if let index = pinned.firstIndex(where: { !cache.isPinned(slot: $0) }) { return pinned.remove(at: index) }
        while let oldest = evictable.popFirst() {
            cache.evict(slot: oldest.slot)
            files.close(oldest.file)
            if !cache.isPinned(slot: oldest.slot) { return oldest.slot }
            pinned.append(oldest.slot)
        }
        return nil
    }

    // MARK: Making files

    /// Freed segments are kept for use, a few; the others give their space back.
    private mutating func takeFreed(_ now: Moment) -> Int {
        var count = 0
        while let number = freed.pop() {
            recyclable.append(number)
            isRecycling = recycles
            trimsAt = now.monotonic + LoaderStage.patience
            count += 1
        }
        freed.release()
        let most = !recycles ? 0 : now.monotonic >= trimsAt ? 1 : LoaderStage.mostRecyclable
        for _ in 0..<LoaderStage.removalsAStep where recyclable.count > most {
            let number = recyclable.removeFirst()
            try? files.remove(paths.index(number))
            try? files.remove(paths.segment(number))
            count += 1
        }
        if recyclable.count <= 1 { trimsAt = .max }
        return count
    }

    private mutating func begin(_ now: Moment) {
        do throws(IOError) {
            // What is in it is of other positions, so no reader takes it for the journal's.
            if recycles, let number = recyclable.popFirst() {
                trimsAt = now.monotonic + LoaderStage.patience
                // The index's blocks go along: to free nine megabytes makes drives stop for milliseconds where the file system
                // tells them of it (discard).
                try? files.rename(paths.index(number), to: paths.unfinishedIndex(nextNumber))
                try files.rename(paths.segment(number), to: paths.segment(nextNumber))
                making = try files.open(paths.segment(nextNumber), .direct)
                files.sync(directory, dataOnly: false, tag: 0)
                phase = .syncingDirectory
                return
            }
            isRecycling = false
            if let space = files.space(paths.directory), space.free < reserveBytes + UInt64(cache.segmentBytes) {
                throw IOError(
                    code: ENOSPC, doing: "making a journal segment in \(paths.directory), of whose file system \(reserveBytes) bytes are kept free (disk.reserve.bytes)")
            }
            making = try files.open(paths.unfinishedSegment, .createDirect)
            files.allocate(making, offset: 0, count: UInt64(cache.segmentBytes), tag: 0)
            phase = .allocating
        } catch {
            rest(error, now)
        }
    }

    private mutating func advance(_ completion: Completion, _ now: Moment) {
        // Allocating takes long enough to be interrupted.
        if completion.result == -EINTR, case .allocating = phase {
            return files.allocate(making, offset: 0, count: UInt64(cache.segmentBytes), tag: 0)
        }
        guard completion.result >= 0 else {
            return rest(IOError(code: -completion.result, doing: "making a journal segment in \(paths.directory)"), now)
        }
        switch phase {
        case .idle, .resting, .pausing: break
        case .allocating: zero(from: 0)
        case .zeroing(let offset):
            let next = offset + alignedDown(UInt64(completion.result))
            if next == offset { return rest(IOError(code: EIO, doing: "zeroing a journal segment"), now) }
            if next < UInt64(cache.segmentBytes) {
                phase = .pausing(offset: next, until: now.monotonic + LoaderStage.pause)
            } else {
                files.sync(making, dataOnly: false, tag: 0)
                phase = .syncing
            }
        case .syncing:
            do {
                try files.rename(paths.unfinishedSegment, to: paths.segment(nextNumber))
                files.sync(directory, dataOnly: false, tag: 0)
                phase = .syncingDirectory
            } catch {
                rest(error, now)
            }
        case .syncingDirectory:
            ready.append(Ready(number: nextNumber, file: making))
            nextNumber += 1
            making = -1
            phase = .idle
            if !positions.hasSpace { positions.hasSpace = true }
        }
    }

    /// Blocks that are allocated but not written would cost the file system a commit at each first write: so zeros, now.
    private mutating func zero(from offset: UInt64) {
        let count = min(LoaderStage.chunk, cache.segmentBytes - Int(offset))
        files.write(making, from: zeros.base, count: count, offset: offset, durable: false, tag: 0)
        phase = .zeroing(offset)
    }

    private mutating func rest(_ error: IOError, _ now: Moment) {
        // Once, not every second.
        if positions.hasSpace { logger.error("\(error); producers are refused until there is room, which is looked for every second") }
        positions.hasSpace = false
        if making >= 0 { files.close(making) }
        making = -1
        try? files.remove(paths.unfinishedSegment)
        phase = .resting(until: now.monotonic + 1_000_000_000)
    }
}
