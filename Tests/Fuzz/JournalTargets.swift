import CHost
import Codecs
import Glibc
import Host
import IO
import Journal
import Metadata
import Sequencer
import TestSupport
import Wire

// What is read from the data directory: a disk may return anything. A target for each format.

func journalTargets() throws -> [FuzzTarget] {
    [try frameTarget(), indexTarget(), stateTarget(), checkpointTarget(), try metadataTarget()]
}

/// A frame at its position, in memory of just the frame.
private func frameTarget() throws -> FuzzTarget {
    let position: UInt64 = 4096
    func frame(_ kind: FrameKind, _ payload: [UInt8]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Frame.headerBytes) + payload
        let header = FrameHeader(
            length: UInt32(bytes.count), position: position, flushed: 64, epoch: 3, partition: 5, previous: 9, group: 1, kind: kind,
            time: 1_700_000_000_000)
        _ = bytes.withUnsafeMutableBytes { header.write(at: $0.baseAddress!) }
        return bytes
    }
    var samples = try sampleBatches().map { frame(.batch, $0) }
    samples.append(frame(.epoch, EpochFrame(nodeId: 1, start: position).encode()))
    samples.append(frame(.padding, [UInt8](repeating: 0, count: 100)))
    return FuzzTarget("journal.frame", weight: 40, samples: samples, mend: mendFrame) { input in
        guard let base = input.baseAddress,
            case .success(let header) = FrameHeader.read(at: base, available: input.count, position: position)
        else { return false }
        try Finding.unless(header.position == position, "a frame of another position")
        try Finding.unless(header.payloadBytes >= 0 && Int(header.length) <= input.count, "a frame that reaches outside")
        try Finding.unless(header.end > position, "a frame that does not lead on")
        return true
    }
}

/// Makes both checksums of a frame right.
private func mendFrame(_ bytes: inout [UInt8]) {
    guard bytes.count >= Frame.headerBytes else { return }
    let batch = bytes.count - Frame.headerBytes
    bytes.withUnsafeMutableBytes { frame in
        let base = frame.baseAddress!
        if frame[38] == FrameKind.batch.rawValue, batch >= RecordBatch.headerLength {
            let payload = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(frame)[Frame.headerBytes...])
            let crc = RecordBatch.crc(of: payload)
            base.storeBytes(of: crc.bigEndian, toByteOffset: Frame.headerBytes + RecordBatch.Field.crc, as: UInt32.self)
        }
        let covered =
            switch FrameKind(rawValue: frame[38]) {
            case .batch: min(batch, 21)
            case .epoch: batch
            case .padding, nil: 0
            }
        let sum = hutong_crc32c(hutong_crc32c(0, base, 60), base + Frame.headerBytes, covered)
        base.storeBytes(of: sum.littleEndian, toByteOffset: 60, as: UInt32.self)
    }
}

/// A whole index file.
private func indexTarget() -> FuzzTarget {
    var index = SegmentIndex(segment: 9, startOffsets: [100, 0, 50])
    for number in 0..<10 {
        let entry = IndexEntry(
            baseOffset: 100 + Int64(number), position: UInt64(number), maxTimestamp: 5, bytes: 100, lastOffsetDelta: 0)
        index.append(entry, partition: number % 3 == 0 ? 4 : 0)
    }
    let image = IndexFile.image(of: index)
    let bytes = Array(UnsafeRawBufferPointer(start: image.base, count: IndexFile.headerBytes + 15 * 32))
    func mend(_ bytes: inout [UInt8]) {
        guard bytes.count >= 28 else { return }
        bytes.withUnsafeMutableBytes { file in
            let rest = max(0, file.count - IndexFile.headerBytes)
            if rest > 0 {
                let sum = hutong_crc32c(0, file.baseAddress! + IndexFile.headerBytes, rest)
                file.storeBytes(of: sum.littleEndian, toByteOffset: 20, as: UInt32.self)
            }
            file.storeBytes(of: hutong_crc32c(0, file.baseAddress!, 24).littleEndian, toByteOffset: 24, as: UInt32.self)
        }
    }
    return FuzzTarget("journal.index", weight: 10, samples: [bytes], mend: mend) { input in
        guard let base = input.baseAddress, input.count >= 28 else { return false }
        guard IndexFile.isSound(base, count: input.count, segment: 9), let header = IndexFile.Header(base) else { return false }
        try Finding.unless(IndexFile.headerBytes + header.bodyBytes <= input.count, "an index that reaches outside")
        try Finding.unless(header.offset(entry: Int(header.entries)) <= UInt64(input.count), "entries outside")
        return true
    }
}

/// The write stage's state, as checkpoints hold it.
private func stateTarget() -> FuzzTarget {
    let replay = SequencerReplay(producerLimit: 100)
    // Format, two partitions, one producer with a batch: as `SequencerState.encode` writes it.
    var sample = replay.encode()
    func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { sample.append(contentsOf: $0) } }
    let format = Array(sample.prefix(4))
    sample = format
    put(UInt32(2))
    put(Int64(7))
    put(Int64(9))
    put(UInt32(1))
    put(UInt32(1))
    put(Int64(1000))
    put(Int64(1_700_000_000_000))
    put(Int16(2))
    put(UInt8(1))
    put(Int32(3))
    put(Int32(5))
    put(Int64(4))
    put(UInt64(4096))
    return FuzzTarget("journal.state", weight: 10, samples: [sample, replay.encode()]) { input in
        let replay = SequencerReplay(producerLimit: 100)
        guard replay.restore(Array(input)) else { return false }
        let again = SequencerReplay(producerLimit: 100)
        try Finding.unless(again.restore(replay.encode()), "what was encoded can't be restored")
        try Finding.unless(again.encode() == replay.encode(), "what was restored is another")
        return true
    }
}

/// A checkpoint's file, read through a disk.
private func checkpointTarget() -> FuzzTarget {
    let directory = "/data/group-0"
    let paths = JournalPaths(directory: directory)
    let disk = FuzzDisk()
    let state = (0..<200).map { UInt8($0) }
    try? CheckpointFile.write(
        Checkpoint(position: 4096, previous: 7, epoch: 3, state: state), paths: paths, blocking: disk.blocking)
    let sample = Array(disk.contents(paths.checkpoint)!.prefix(64 + state.count))
    func mend(_ bytes: inout [UInt8]) {
        guard bytes.count >= 64 else { return }
        bytes.withUnsafeMutableBytes { file in
            let count = Int(clamping: file.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
            if count <= file.count - 64 {
                let sum = hutong_crc32c(0, file.baseAddress! + 64, count)
                file.storeBytes(of: sum.littleEndian, toByteOffset: 20, as: UInt32.self)
            }
            file.storeBytes(of: hutong_crc32c(0, file.baseAddress!, 32).littleEndian, toByteOffset: 32, as: UInt32.self)
        }
    }
    return FuzzTarget("journal.checkpoint", weight: 3, samples: [sample], mend: mend) { input in
        disk.put(Array(input), at: paths.checkpoint)
        guard let checkpoint = try CheckpointFile.read(paths: paths, blocking: disk.blocking) else { return false }
        try Finding.unless(checkpoint.state.count + 64 <= max(input.count, 1) + directAlignment, "a state from nowhere")
        return true
    }
}

/// The log of metadata.
private func metadataTarget() throws -> FuzzTarget {
    let disk = FuzzDisk()
    var opened = try EmbeddedStore.open(directory: "/data", blocking: disk.blocking)
    let topic = MetadataChange.createTopic(
        name: "t", id: TopicID(Uuid(high: 1, low: 2)), partitions: [PartitionPlace(group: 0, number: 0), PartitionPlace(group: 1, number: 0)],
        configs: ["qos.all": "durable"])
    try EmbeddedStore.commit([.cluster(id: "c"), .epoch(group: 0, epoch: 1)], to: &opened, blocking: disk.blocking)
    try EmbeddedStore.commit([topic, .producerIds(below: 1000)], to: &opened, blocking: disk.blocking)
    try EmbeddedStore.commit([.deleteTopic(id: TopicID(Uuid(high: 1, low: 2)))], to: &opened, blocking: disk.blocking)
    let sample = disk.contents("/data/metadata.log")!
    try EmbeddedStore.commit(
        [
            .createTopic(
                name: "extreme", id: TopicID(Uuid(high: .max, low: .max)), partitions: [PartitionPlace(group: .max, number: .max)],
                configs: ["max.message.bytes": "9223372036854775807"]),
            .epoch(group: .max, epoch: .max), .producerIds(below: .max),
        ], to: &opened, blocking: disk.blocking)
    let extreme = disk.contents("/data/metadata.log")!
    // The first line's end stands for all: each line that is still a line gets its checksum.
    func mend(_ bytes: inout [UInt8]) {
        var mended: [UInt8] = []
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            if !mended.isEmpty { mended.append(UInt8(ascii: "\n")) }
            guard line.count > 9 else {
                mended += line
                continue
            }
            let json = Array(line.dropFirst(9))
            let sum = String(json.withUnsafeBytes { hutong_crc32c(0, $0.baseAddress!, $0.count) }, radix: 16)
            mended += Array((String(repeating: "0", count: 8 - sum.count) + sum + " ").utf8) + json
        }
        bytes = mended
    }
    return FuzzTarget("metadata.log", weight: 2, samples: [sample, extreme], mend: mend) { input in
        disk.put(Array(input), at: "/data/metadata.log")
        guard let opened = try? EmbeddedStore.open(directory: "/data", blocking: disk.blocking) else { return false }
        _ = opened.state.table(defaults: TopicSettings())
        return true
    }
}

/// A disk in memory whose files can be whatever the fuzzer says.
private final class FuzzDisk: EventSource {
    private let disk = SimulatedDisk()
    let waker = Waker {}
    private let port: SimulatedFilePort

    init() { port = disk.makePort() }

    var blocking: BlockingFiles { BlockingFiles(files: port, source: self) }

    func attach() {}
    func poll() -> Int { disk.poll() }
    func wait(nanoseconds: UInt64) {}

    func put(_ bytes: [UInt8], at path: String) {
        try? port.remove(path)
        guard let file = try? port.open(path, .create) else { preconditionFailure("the file was removed") }
        defer { port.close(file) }
        bytes.withUnsafeBytes { if let base = $0.baseAddress { try? blocking.write(file, from: base, count: $0.count, offset: 0) } }
    }

    func contents(_ path: String) -> [UInt8]? {
        guard let file = try? port.open(path, .buffered), let size = try? port.size(file) else { return nil }
        defer { port.close(file) }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        _ = bytes.withUnsafeMutableBytes { try? blocking.read(file, into: $0.baseAddress!, count: $0.count, offset: 0) }
        return bytes
    }
}
