// Unsafe on purpose: it reads frames where they came from another broker, after they have been checked there.

import Host
import Journal

/// What the replicate stage wants of the write stage: to follow, to lead, to stop.
extension SequencerStage {
    private static let framesAStep = 4096

    /// Carries out orders, as far as there is room. Returns how much was done.
    mutating func takeOrders(_ now: Moment) -> Int {
        var progress = 0
        while let order = links.orders.peek() {
            switch order.kind {
            case .take:
                let taken = take(order, limit: SequencerStage.framesAStep - progress)
                progress += taken
                guard takenBytes == order.count else { return progress }
                takenBytes = 0
            case .lead:
                if journal.epoch < order.epoch {
                    journal.begin(order.epoch)
                    epochFrame = EpochFrame(nodeId: nodeId, start: journal.position).encode()
                }
                if epochFrame != nil && !beginEpoch(now) {
                    // There is no room for its frame; and it may be over already.
                    guard links.orders.available() > 1 else { return progress }
                    epochFrame = nil
                }
            case .stop: stop()
            }
            _ = links.orders.pop()
            progress += 1
        }
        return progress
    }

    /// What is pending is void from here on, and the request under way with it.
    private mutating func stop() {
        isLeading = false
        epochFrame = nil
        for io in 0..<links.pending.count { links.pending[io].void() }
        _ = publish()
        positions.lastChecksum.advance(to: UInt64(journal.lastChecksum))
    }

    /// Takes frames of the leader's in: into the cache, the state and the index. Returns how many.
    private mutating func take(_ order: WriteOrder, limit: Int) -> Int {
        guard let bytes = order.bytes else { return 0 }
        var count = 0
        while takenBytes < order.count, count < limit {
            let unusable = journal.unusable
            if unusable > 0 {
                journal.fill()
                takenBytes += unusable
                continue
            }
            let frame = bytes + takenBytes
            guard links.index.hasRoom(), let header = FrameHeader(checked: frame), let payload = journal.take(header, frame) else { break }
            // From here recovery can begin.
            if journal.isFirst(header), header.position > 0 { owesCheckpoint = true }
            let entry = state.apply(header, payload: payload)
            index(header, entry, payload)
            takenBytes += Frame.stride(Int(header.length))
            count += 1
        }
        return count
    }

    private mutating func index(_ header: FrameHeader, _ entry: IndexEntry?, _ payload: UnsafeRawPointer) {
        let batch: AppendedBatch
        if let entry {
            batch = AppendedBatch(entry: entry, partition: header.partition)
        } else if header.kind == .logStart, let frame = LogStartFrame(payload, count: header.payloadBytes) {
            batch = AppendedBatch(
                entry: IndexEntry(
                    baseOffset: frame.offset, position: header.position, maxTimestamp: 0, bytes: UInt32(LogStartFrame.bytes),
                    lastOffsetDelta: 0), partition: header.partition, kind: .logStart)
        } else {
            return
        }
        let indexed = links.index.push(batch)
        precondition(indexed, "there was room")
    }
}
