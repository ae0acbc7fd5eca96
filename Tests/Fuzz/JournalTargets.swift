import CHost
import Codecs
import Glibc
import Groups
import Host
import IO
import Journal
import Logging
import Metadata
import Sequencer
import TestSupport
import Wire

// What is read from the data directory: a disk may return anything. A target for each format.

func journalTargets() throws -> [FuzzTarget] {
    [
        try frameTarget(), indexTarget(), stateTarget(), checkpointTarget(), catalogTarget(), try snapshotHeadTarget(), try shardSnapshotTarget(), try recoveryTarget(), try metadataTarget(),
    ]
}

private let journal = JournalIdentity(group: 1, key: 77)

/// A frame at its position, in memory of just the frame.
private func frameTarget() throws -> FuzzTarget {
    let position: UInt64 = 4096
    func frame(_ kind: FrameKind, _ payload: [UInt8]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Frame.headerBytes) + payload
        let header = FrameHeader(
            length: UInt32(bytes.count), position: position, flushed: 64, epoch: 3, partition: 5, previous: 9, group: journal.group,
            kind: kind, time: 1_700_000_000_000)
        _ = bytes.withUnsafeMutableBytes { header.write(at: $0.baseAddress!, key: journal.key) }
        return bytes
    }
    var samples = try sampleBatches().map { frame(.batch, $0) }
    samples.append(frame(.epoch, EpochFrame(nodeId: 1, start: position).encode()))
    samples.append(frame(.padding, [UInt8](repeating: 0, count: 100)))
    var start = [UInt8](repeating: 0, count: LogStartFrame.bytes)
    start.withUnsafeMutableBytes { LogStartFrame(offset: 12).write(at: $0.baseAddress!) }
    samples.append(frame(.logStart, start))
    return FuzzTarget("journal.frame", weight: 40, samples: samples, mend: mendFrame) { input in
        guard let base = input.baseAddress,
            case .success(let header) = FrameHeader.read(at: base, available: input.count, position: position, of: journal)
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
            case .epoch, .logStart: batch
            case .padding, nil: 0
            }
        base.storeBytes(of: UInt32(covered).littleEndian, toByteOffset: 48, as: UInt32.self)
        let sum = hutong_crc32c(hutong_crc32c(journal.key, base, 60), base + Frame.headerBytes, covered)
        base.storeBytes(of: sum.littleEndian, toByteOffset: 60, as: UInt32.self)
    }
}

/// A whole index file.
private func indexTarget() -> FuzzTarget {
    let owner = IndexOwner(segment: 9, group: 1)
    var index = SegmentIndex(segment: 9)
    for number in 0..<10 {
        let entry = IndexEntry(
            baseOffset: 100 + Int64(number), position: UInt64(number), maxTimestamp: 5, bytes: 100, lastOffsetDelta: 0)
        index.append(entry, partition: number % 3 == 0 ? 4 : 0)
    }
    let image = IndexFile.image(of: index, owner: owner)
    let bytes = Array(UnsafeRawBufferPointer(start: image.base, count: image.count))
    func mend(_ bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { file in
            for block in 0..<file.count / IndexBlock.bytes {
                IndexBlock.seal(file.baseAddress! + block * IndexBlock.bytes, number: block, owner: owner)
            }
        }
    }
    return FuzzTarget("journal.index", weight: 5, samples: [bytes], mend: mend) { input in
        guard let base = input.baseAddress else { return false }
        let summary = IndexFile.summary(base, count: input.count, owner: owner)
        guard IndexFile.isSound(base, count: input.count, owner: owner), let header = IndexFile.Header(base, owner: owner) else {
            return summary != nil
        }
        try Finding.unless(header.blocks * IndexBlock.bytes <= input.count, "an index that reaches outside")
        for row in summary?.rows ?? [] {
            try Finding.unless(Int(row.firstEntry) + Int(row.count) <= header.entries, "a row of entries that are not there")
        }
        return summary != nil
    }
}

/// The write stage's state, as checkpoints hold it.
private func stateTarget() -> FuzzTarget {
    let replay = SequencerReplay(producerLimit: 100, partitions: 4)
    // Format, two partitions, one log start, one producer with a batch: as `SequencerState.encode` writes it.
    var sample = replay.encode()
    func put<T: FixedWidthInteger>(_ value: T) { withUnsafeBytes(of: value.littleEndian) { sample.append(contentsOf: $0) } }
    let format = Array(sample.prefix(4))
    sample = format
    put(UInt32(2))
    put(Int64(7))
    put(Int64(9))
    put(UInt32(1))
    put(Int64(3))
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
        let replay = SequencerReplay(producerLimit: 100, partitions: 4)
        guard replay.restore(Array(input)) else { return false }
        let again = SequencerReplay(producerLimit: 100, partitions: 4)
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
    let path = paths.checkpoints[0]
    let sample = Array(disk.contents(path)!.prefix(64 + state.count))
    disk.delete(paths.checkpoints[1])
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
        disk.put(Array(input), at: path)
        guard let checkpoint = try CheckpointFile.read(paths: paths, blocking: disk.blocking).checkpoint else { return false }
        try Finding.unless(checkpoint.state.count + 64 <= max(input.count, 1) + directAlignment, "a state from nowhere")
        return true
    }
}

/// An archive's catalog, read through a disk.
private func catalogTarget() -> FuzzTarget {
    let paths = JournalPaths(directory: "/data/group-1")
    let disk = FuzzDisk()
    let file = ArchiveFile(base: 5, endOffset: 90, maxTimestamp: 7, dataBytes: 8192, indexBlocks: 1, edition: 4, cleaned: 11)
    let catalog = ArchiveCatalog(generation: 3, firstSegment: 2, files: [0: [file], 9: [file, file]])
    let image = catalog.image(group: journal.group)
    let sample = Array(UnsafeRawBufferPointer(start: image.base, count: 32 + 3 * 48 + 4))
    func mend(_ bytes: inout [UInt8]) {
        guard bytes.count >= 36 else { return }
        bytes.withUnsafeMutableBytes { file in
            let count = Int(clamping: file.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
            guard count <= (file.count - 36) / 48 else { return }
            let end = 32 + count * 48
            file.storeBytes(of: hutong_crc32c(0, file.baseAddress!, end).littleEndian, toByteOffset: end, as: UInt32.self)
        }
    }
    return FuzzTarget("journal.catalog", weight: 3, samples: [sample], mend: mend) { input in
        disk.put(Array(input), at: paths.catalogs[0])
        guard let found = try? ArchiveCatalog.read(paths: paths, group: journal.group, blocking: disk.blocking) else { return false }
        let again = found.image(group: journal.group)
        disk.put(Array(UnsafeRawBufferPointer(start: again.base, count: again.count)), at: paths.catalogs[0])
        let back = try ArchiveCatalog.read(paths: paths, group: journal.group, blocking: disk.blocking)
        try Finding.unless(back?.files == found.files && back?.firstSegment == found.firstSegment, "what was read is written otherwise")
        return true
    }
}

/// The head of a snapshot, which comes from another broker.
private func snapshotHeadTarget() throws -> FuzzTarget {
    let file = ArchiveFile(base: 5, endOffset: 90, maxTimestamp: 7, dataBytes: 8192, indexBlocks: 1, edition: 4, cleaned: 11)
    let head = SnapshotHead(
        segmentBytes: 64 << 10, end: 300_000, catalog: ArchiveCatalog(generation: 3, firstSegment: 2, files: [0: [file], 9: [file]]),
        checkpoint: Checkpoint(position: 200_000, previous: 7, epoch: 3, state: [1, 2, 3]))!
    func mend(_ bytes: inout [UInt8]) {
        guard bytes.count >= 44 else { return }
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: hutong_crc32c(0, $0.baseAddress!, 40).littleEndian, toByteOffset: 40, as: UInt32.self) }
    }
    return FuzzTarget("journal.snapshotHead", weight: 3, samples: [head.encode(group: journal.group)], mend: mend) { input in
        guard let found = SnapshotHead(Array(input), group: journal.group, segmentBytes: 64 << 10) else { return false }
        try Finding.unless(found.checkpoint.position <= found.end, "a checkpoint of what is not there")
        let again = SnapshotHead(found.encode(group: journal.group), group: journal.group, segmentBytes: 64 << 10)
        try Finding.unless(again?.end == found.end && again?.files.count == found.files.count, "what was read is written otherwise")
        return true
    }
}

/// What groups had committed, up to an offset.
private func shardSnapshotTarget() throws -> FuzzTarget {
    var shard = GroupShard(limits: GroupLimits())
    var group = GroupMetadataValue()
    group.generation = 3
    group.protocolType = "consumer"
    shard.apply(.group("g", group), keepsMembers: false, wall: 5)
    for number in 0..<3 as Range<Int32> {
        let offset = CommittedOffset(offset: 9, leaderEpoch: 1, metadata: "m", committedAt: 5)
        shard.apply(.offset(group: "g", topic: "t", partition: number, offset), keepsMembers: false, wall: 5)
    }
    shard.advance(to: 4)
    var encoder = ShardSnapshotEncoder(shard, topic: Uuid(high: 1, low: 2), partition: 3, madeAt: 5)
    guard let image = try encoder.proceed(records: 100) else { throw Finding("an encoder that does not end") }
    let length = 64 + Int(image.base.loadUnaligned(fromByteOffset: 48, as: UInt64.self))
    func mend(_ bytes: inout [UInt8]) {
        guard bytes.count >= 64 else { return }
        bytes.withUnsafeMutableBytes { file in
            let base = file.baseAddress!
            let records = min(Int(clamping: file.loadUnaligned(fromByteOffset: 48, as: UInt64.self)), file.count - 64)
            base.storeBytes(of: hutong_crc32c(0, base + 64, records).littleEndian, toByteOffset: 4, as: UInt32.self)
            base.storeBytes(of: hutong_crc32c(0, base, 60).littleEndian, toByteOffset: 60, as: UInt32.self)
        }
    }
    return FuzzTarget("groups.shardSnapshot", weight: 5, samples: [Array(UnsafeRawBufferPointer(start: image.base, count: length))], mend: mend) { input in
        let image = AlignedBuffer(count: input.count)
        image.base.copyMemory(from: input.baseAddress ?? UnsafeRawPointer(image.base), byteCount: input.count)
        guard var reader = ShardSnapshotReader(image, count: input.count) else { return false }
        var found = GroupShard(limits: GroupLimits())
        var count = 0
        while !reader.isAtEnd {
            do { if let record = try reader.next() { found.apply(record, keepsMembers: false, wall: 0) } } catch { return false }
            count += 1
        }
        try Finding.unless(count == reader.recordCount, "records that nobody counted")
        return true
    }
}

/// A whole segment, opened: recovery goes through it, the state and the index are made from what it takes.
private func recoveryTarget() throws -> FuzzTarget {
    let segmentBytes = 16 << 10
    var sample = [UInt8](repeating: 0, count: segmentBytes)
    var position = 0
    var previous: UInt32 = 0
    for batch in try sampleBatches().prefix(12) where position + batch.count + 200 < segmentBytes {
        sample.replaceSubrange(position + Frame.headerBytes..<position + Frame.headerBytes + batch.count, with: batch)
        let header = FrameHeader(
            length: UInt32(Frame.headerBytes + batch.count), position: UInt64(position), flushed: UInt64(position), epoch: 1,
            partition: 2, previous: previous, group: journal.group, kind: .batch, time: 1)
        previous = sample.withUnsafeMutableBytes { header.write(at: $0.baseAddress! + position, key: journal.key) }
        position = Int(header.end)
    }
    return FuzzTarget("journal.recovery", weight: 3, samples: [sample]) { input in
        let disk = FuzzDisk()
        let paths = JournalPaths(directory: "/data/group-1")
        var bytes = Array(input.prefix(segmentBytes))
        bytes += [UInt8](repeating: 0, count: segmentBytes - bytes.count)
        disk.put(bytes, at: paths.segment(0))
        let opener = JournalOpener(
            blocking: disk.blocking, options: JournalOptions(segmentBytes: segmentBytes, cacheSegments: 3, locksMemory: false),
            logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() })
        let replay = SequencerReplay(producerLimit: 10, partitions: 4)
        guard let opened = try? opener.open(
            journal, directory: paths.directory, node: nil, epochs: EpochHistory(), replay: replay)
        else { return false }
        try Finding.unless(opened.recovered.position <= UInt64(segmentBytes), "an end that is not there")
        return opened.recovered.frames > 0
    }
}

/// The log of metadata.
private func metadataTarget() throws -> FuzzTarget {
    let disk = FuzzDisk()
    var opened = try EmbeddedStore.open(directory: "/data", blocking: disk.blocking)
    let topic = MetadataChange.createTopic(
        name: "t", id: TopicID(Uuid(high: 1, low: 2)), partitions: [PartitionPlace(group: 0, number: 0), PartitionPlace(group: 1, number: 0)],
        configs: ["qos.all": "durable"])
    try EmbeddedStore.commit([.cluster(id: "c"), .epoch(group: 0, epoch: 1, position: 0), .journal(group: 0, key: 5, format: 1)], to: &opened, blocking: disk.blocking)
    try EmbeddedStore.commit([topic, .producerIds(below: 1000)], to: &opened, blocking: disk.blocking)
    try EmbeddedStore.commit([.deleteTopic(id: TopicID(Uuid(high: 1, low: 2)))], to: &opened, blocking: disk.blocking)
    let sample = disk.contents("/data/metadata.log")!
    try EmbeddedStore.commit(
        [
            .createTopic(
                name: "extreme", id: TopicID(Uuid(high: .max, low: .max)), partitions: [PartitionPlace(group: .max, number: .max)],
                configs: ["max.message.bytes": "9223372036854775807"]),
            .epoch(group: .max, epoch: .max, position: .max), .producerIds(below: .max),
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
        disk.delete("/data/metadata.log.copy")
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

    func delete(_ path: String) { disk.delete(path) }

    func contents(_ path: String) -> [UInt8]? {
        guard let file = try? port.open(path, .buffered), let size = try? port.size(file) else { return nil }
        defer { port.close(file) }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        _ = bytes.withUnsafeMutableBytes { try? blocking.read(file, into: $0.baseAddress!, count: $0.count, offset: 0) }
        return bytes
    }
}
