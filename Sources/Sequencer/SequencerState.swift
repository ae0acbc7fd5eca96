// Unsafe on purpose: it reads batch headers from the journal's memory.

import Journal
import Wire

/// What the write stage knows of its partitions and producers. All of it follows from the journal: recovery makes it
/// again by showing it every frame, and a checkpoint is a shortcut.
public struct SequencerState: Sendable {
    /// By partition number the offset of the next record.
    var nextOffsets: [Int64] = []
    /// By partition number the offset of the first record that is not deleted; partitions beyond its end begin at 0.
    var logStarts: [Int64] = []
    var producers: ProducerTable
    /// Recovery's alone: the partitions that may have lost their last records to damage, and how many offsets these may have
    /// been.
    private var uncertain: Set<UInt32> = []
    private var lostOffsets: Int64 = 0

    /// - Parameter producerLimit: how many (producer, partition) pairs are remembered.
    public init(producerLimit: Int) { producers = ProducerTable(limit: producerLimit) }

    /// By partition number the offset of the next record.
    public var offsets: [Int64] { nextOffsets }

    /// Gives out so many offsets, and tells the first.
    mutating func takeOffsets(_ count: Int64, partition: UInt32) -> Int64 {
        let number = Int(partition)
        while nextOffsets.count <= number { nextOffsets.append(0) }
        let first = nextOffsets[number]
        nextOffsets[number] = first + count
        return first
    }

    mutating func setNextOffset(_ offset: Int64, partition: UInt32) {
        while nextOffsets.count <= Int(partition) { nextOffsets.append(0) }
        nextOffsets[Int(partition)] = offset
    }

    func nextOffset(_ partition: UInt32) -> Int64 {
        Int(partition) < nextOffsets.count ? nextOffsets[Int(partition)] : 0
    }

    /// By partition number the offset of the first record that is not deleted; those beyond its end begin at 0.
    public var starts: [Int64] { logStarts }

    func logStart(_ partition: UInt32) -> Int64 { Int(partition) < logStarts.count ? logStarts[Int(partition)] : 0 }

    /// The log start never goes back.
    mutating func setLogStart(_ offset: Int64, partition: UInt32) {
        while logStarts.count <= Int(partition) { logStarts.append(0) }
        logStarts[Int(partition)] = max(logStarts[Int(partition)], offset)
    }

    /// Takes in a frame that is in the journal. Returns what an index holds of it, if it is a batch.
    public mutating func apply(_ header: FrameHeader, payload: UnsafeRawPointer) -> IndexEntry? {
        switch header.kind {
        case .batch: return apply(header, batch: payload)
        case .logStart:
            if let frame = LogStartFrame(payload, count: header.payloadBytes) {
                setLogStart(frame.offset, partition: header.partition)
            }
            return nil
        case .epoch, .padding: return nil
        }
    }

    private mutating func apply(_ header: FrameHeader, batch: UnsafeRawPointer) -> IndexEntry {
        let fields = BatchFields(batch)
        uncertain.remove(header.partition)
        setNextOffset(fields.baseOffset + Int64(fields.lastOffsetDelta) + 1, partition: header.partition)
        if fields.producerId >= 0 {
            producers.record(
                producers.find(header.partition, fields.producerId), partition: header.partition, id: fields.producerId, epoch: fields.producerEpoch,
                batch: ProducerState.Batch(
                    firstSequence: fields.baseSequence, lastSequence: fields.lastSequence, baseOffset: fields.baseOffset,
                    end: header.end),
                time: header.time)
        }
        return IndexEntry(header, batch: batch)
    }

    // MARK: Damage

    /// A range of the journal can't be read: whatever partitions it held, and whichever producers wrote to them, is unknown. What
    /// stood before it is not in doubt: a producer that asks again for that is still recognised.
    /// - Parameter partitions: how many partition numbers the group has given out.
    mutating func noteDamage(_ range: Range<UInt64>, partitions: UInt32) {
        producers.doubt()
        uncertain = Set(0..<max(partitions, UInt32(nextOffsets.count)))
        // No frame is shorter than 128 bytes, none holds more than 2^31 records.
        lostOffsets += (Int64(range.count) / 128 + 1) << 31
    }

    /// At the journal's end: where nothing tells how many records a partition has lost, its next record's offset skips as many
    /// as could have been, because one offset must never have two values.
    mutating func skipLostOffsets() {
        for partition in uncertain {
            setNextOffset(max(nextOffset(partition) + lostOffsets, logStart(partition)), partition: partition)
        }
        uncertain = []
        lostOffsets = 0
    }

    // MARK: Checkpoints

    private static let format: UInt32 = 2
    /// Stands beside the number of producers.
    private static let forgottenBit: UInt32 = 1 << 31
    /// Stands beside a producer's count of batches.
    private static let uncertainBit: UInt8 = 0x80

    /// How many bytes the state takes.
    private var encodedBytes: Int {
        let batches = producers.all.reduce(0) { $0 + Int($1.count) }
        return 16 + 8 * (nextOffsets.count + logStarts.count) + 23 * producers.count + 24 * batches
    }

    /// The state as bytes, little endian. The write stage does this at each segment's beginning: so, without growing an array
    /// byte by byte.
    public func encode() -> [UInt8] {
        let count = encodedBytes
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            guard let base = buffer.baseAddress else { return }
            var at = 0
            func put<T: FixedWidthInteger>(_ value: T) {
                UnsafeMutableRawPointer(base + at).storeBytes(of: value.littleEndian, as: T.self)
                at += MemoryLayout<T>.size
            }
            put(SequencerState.format)
            put(UInt32(nextOffsets.count))
            for offset in nextOffsets { put(offset) }
            put(UInt32(logStarts.count))
            for offset in logStarts { put(offset) }
            put(UInt32(producers.count) | (producers.hasForgotten ? SequencerState.forgottenBit : 0))
            for state in producers.all {
                put(state.partition)
                put(state.id)
                put(state.lastTime)
                put(state.epoch)
                put(state.count | (state.isUncertain ? SequencerState.uncertainBit : 0))
                for index in 0..<Int(state.count) {
                    put(state[index].firstSequence)
                    put(state[index].lastSequence)
                    put(state[index].baseOffset)
                    put(state[index].end)
                }
            }
            precondition(at == count, "the state takes as many bytes as were counted")
            initialized = count
        }
    }

    /// Nil where the bytes are of another format, or not whole.
    public init?(decoding bytes: [UInt8], producerLimit: Int) {
        self.init(producerLimit: producerLimit)
        var rest = bytes[...]
        func get<T: FixedWidthInteger>(_: T.Type = T.self) -> T? {
            guard rest.count >= MemoryLayout<T>.size else { return nil }
            let value = rest.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(as: T.self)) }
            rest = rest.dropFirst(MemoryLayout<T>.size)
            return value
        }
        guard get(UInt32.self) == SequencerState.format, let partitions = get(UInt32.self) else { return nil }
        for _ in 0..<partitions {
            guard let offset = get(Int64.self) else { return nil }
            nextOffsets.append(offset)
        }
        guard let starts = get(UInt32.self) else { return nil }
        for _ in 0..<starts {
            guard let offset = get(Int64.self) else { return nil }
            logStarts.append(offset)
        }
        guard let count = get(UInt32.self) else { return nil }
        producers.hasForgotten = count & SequencerState.forgottenBit != 0
        for _ in 0..<count & ~SequencerState.forgottenBit {
            guard let partition = get(UInt32.self), let id = get(Int64.self), let time = get(Int64.self),
                let epoch = get(Int16.self), let flags = get(UInt8.self), flags & ~SequencerState.uncertainBit <= ProducerState.kept
            else { return nil }
            var state = ProducerState(partition: partition, id: id, epoch: epoch)
            state.lastTime = time
            for _ in 0..<flags & ~SequencerState.uncertainBit {
                guard let first = get(Int32.self), let last = get(Int32.self), let offset = get(Int64.self),
                    let end = get(UInt64.self)
                else { return nil }
                state.append(ProducerState.Batch(firstSequence: first, lastSequence: last, baseOffset: offset, end: end))
            }
            state.isUncertain = flags & SequencerState.uncertainBit != 0
            producers.restore(state)
        }
        guard rest.isEmpty else { return nil }
    }
}

/// The fields of a batch's header that the writer needs, read in place.
struct BatchFields {
    let baseOffset: Int64
    let lastOffsetDelta: Int32
    let maxTimestamp: Int64
    let producerId: Int64
    let producerEpoch: Int16
    let baseSequence: Int32

    /// At least a header's length of memory.
    @inline(__always)
    init(_ batch: UnsafeRawPointer) {
        func get<T: FixedWidthInteger>(_ at: Int) -> T {
            T(bigEndian: batch.loadUnaligned(fromByteOffset: at, as: T.self))
        }
        baseOffset = get(RecordBatch.Field.baseOffset)
        lastOffsetDelta = get(RecordBatch.Field.lastOffsetDelta)
        maxTimestamp = get(RecordBatch.Field.maxTimestamp)
        producerId = get(RecordBatch.Field.producerId)
        producerEpoch = get(RecordBatch.Field.producerEpoch)
        baseSequence = get(RecordBatch.Field.baseSequence)
    }

    /// Sequence numbers go round from the greatest to zero.
    var lastSequence: Int32 {
        let sum = Int64(baseSequence) + Int64(lastOffsetDelta)
        return Int32(sum > Int64(Int32.max) ? sum - Int64(Int32.max) - 1 : sum)
    }
}
