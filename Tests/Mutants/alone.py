"""A broker alone, wrong in one place each. They stand in the order of the modules, so that a build after another has little to do."""

from mutant import Mutant

ALONE = [
    # Metadata
    Mutant(
        "metadata-in-one-log",
        "a running broker writes its metadata to one log only",
        "Sources/Metadata/EmbeddedStore.swift",
        "        unfinished = logs.count\n        for (number, log) in logs.enumerated() {",
        "        unfinished = 1\n        for (number, log) in logs.enumerated().prefix(1) {",
    ),
    Mutant(
        "start-in-one-log",
        "a start writes keys and epochs to one log only",
        "Sources/Metadata/EmbeddedStore.swift",
        "        for log in opened.logs {",
        "        for log in opened.logs.prefix(1) {",
    ),
    # Journal: frames
    Mutant(
        "batch-crc-unchecked",
        "a frame counts though its batch's own CRC does not fit",
        "Sources/Journal/Frame.swift",
        "        if kind == .batch && !batchIsSound(body, payload: payload) { return .failure(.badBatch) }\n",
        "",
    ),
    Mutant(
        "frame-checksum-unchecked",
        "a frame counts though its checksum does not fit",
        "Sources/Journal/Frame.swift",
        "        guard sum == get(Frame.checksumAt, UInt32.self) else { return .failure(.badChecksum) }\n",
        "",
    ),
    Mutant(
        "position-unchecked",
        "a frame counts wherever it says that it belongs",
        "Sources/Journal/Frame.swift",
        "guard get(8, UInt64.self) == position, get(36,",
        "guard get(36,",
    ),
    # Journal: flushing
    Mutant(
        "flushed-before-sync",
        "flushed advances when the write completes, before the sync that is linked to it",
        "Sources/Journal/FlushStage.swift",
        "            if method == .dsync { advance(to: end) }",
        "            if method != .fdatasync { advance(to: end) }",
    ),
    Mutant(
        "sync-retried",
        "a linked sync that failed is tried again, and called good when it succeeds",
        "Sources/Journal/FlushStage.swift",
        "            return completion.result < 0 ? fail(completion.result) : advance(to: end)",
        "            if completion.result < 0 { return files.sync(current!.file, dataOnly: true, tag: Tag.sync) }\n"
        "            return advance(to: end)",
    ),
    Mutant(
        "fdatasync-retried",
        "an fdatasync that failed is tried again, and called good when it succeeds",
        "Sources/Journal/FlushStage.swift",
        "                if result < 0 { fail(result) } else { advance(to: end) }",
        "                if result < 0 && files.syncNow(current!.file) < 0 { fail(result) } else { advance(to: end) }",
    ),
    Mutant(
        "short-linked-write",
        "the rest of a short write with a linked sync is never written",
        "Sources/Journal/FlushStage.swift",
        "                return submit(from: from, end: end)",
        "                return advance(to: end)",
    ),
    Mutant(
        "short-write",
        "the rest of a short write is never written",
        "Sources/Journal/FlushStage.swift",
        "if method == .linked { writeFellShort = true } else { submit(from: rest, end: end) }",
        "if method == .linked { writeFellShort = true } else { advance(to: end) }",
    ),
    # Journal: segments and files
    Mutant(
        "recycled-before-directory-sync",
        "a segment that is used again goes to the writer before its new name is durable",
        "Sources/Journal/LoaderStage.swift",
        "                making = try files.open(paths.segment(nextNumber), .direct)\n"
        "                files.sync(directory, dataOnly: false, tag: 0)\n"
        "                phase = .syncingDirectory\n",
        "                ready.append(Ready(number: nextNumber, file: try files.open(paths.segment(nextNumber), .direct)))\n"
        "                nextNumber += 1\n",
    ),
    Mutant(
        "new-before-directory-sync",
        "a new segment goes to the writer before its name is durable",
        "Sources/Journal/LoaderStage.swift",
        "                try files.rename(paths.unfinishedSegment, to: paths.segment(nextNumber))\n"
        "                files.sync(directory, dataOnly: false, tag: 0)\n"
        "                phase = .syncingDirectory\n",
        "                try files.rename(paths.unfinishedSegment, to: paths.segment(nextNumber))\n"
        "                ready.append(Ready(number: nextNumber, file: making))\n"
        "                nextNumber += 1\n"
        "                making = -1\n"
        "                phase = .idle\n"
        "                positions.hasSpace = true\n",
    ),
    Mutant(
        "replaced-without-sync",
        "a file takes another's place before it is synced",
        "Sources/Journal/FileReplacer.swift",
        "        guard isSynced else { return rename() }\n",
        "        guard isSynced, pieceOffset < 0 else { return rename() }\n",
    ),
    # Journal: recovery. Chain and epochs each catch what the other would: without the chain alone nothing wrong comes of it, as
    # no epoch has two frames at one position, and the history keeps each epoch to its own.
    Mutant(
        "epoch-history-ignored",
        "where epochs began is not asked",
        "Sources/Journal/Recovery/RecoveryRule.swift",
        "        return behind > 0 ? starts[behind - 1].epoch : 0",
        "        return behind > 0 ? 0 : 0",
    ),
    Mutant(
        "chain-and-epochs-forgotten",
        "a frame counts whichever its predecessor was, and in whichever epoch",
        "Sources/Journal/Recovery/SegmentReader.swift",
        "            return isRight && (previous == nil || header.previous == previous) ? ",
        "            return isRight || header.epoch > 0 ? ",
    ),
    Mutant(
        "damage-taken-for-the-end",
        "the journal ends at the first bad frame, wherever it is",
        "Sources/Journal/Recovery/Recovery.swift",
        "                try skipDamage(&visitor, limit: limit)\n                return !found.isEndUnknown\n",
        "                found.ending = finding\n                return false\n",
    ),
    Mutant(
        "length-trusted",
        "behind a damaged frame recovery looks where its length points",
        "Sources/Journal/Recovery/SegmentReader.swift",
        "            position += 8\n",
        "            let at = memory + offset(of: position)\n"
        "            let length = Int(at.loadUnaligned(fromByteOffset: 4, as: UInt32.self).littleEndian)\n"
        "            let isFrame = at.loadUnaligned(as: UInt32.self).littleEndian == Frame.magic\n"
        "            position += isFrame ? UInt64(max(Frame.stride(length), 8)) : 8\n",
    ),
    Mutant(
        "found-not-synced",
        "what recovery has found counts as durable without a sync",
        "Sources/Journal/Recovery/JournalOpening.swift",
        "        try files.sync(recovered)\n",
        "",
    ),
    # Journal: checkpoints and archives
    Mutant(
        "checkpoint-ahead",
        "a checkpoint is written before what it speaks of is durable and indexed",
        "Sources/Journal/Archive/ArchiveStage.swift",
        "        guard segment(of: box.checkpoint.position) <= indexedBelow,\n"
        "            // Others may have committed what this disk does not have yet.\n"
        "            min(positions.committed.load(), positions.flushed.load()) >= box.checkpoint.position\n",
        "        guard looksAt == .max\n",
    ),
    Mutant(
        # That segments are freed by the newer checkpoint's position is no mutant: the older one is a segment behind, and the four
        # newest are never freed.
        "one-checkpoint",
        "checkpoints are written to one place, and the other one's segments are freed",
        "Sources/Journal/Archive/ArchiveStage.swift",
        "        olderCheckpoint = 1 - olderCheckpoint\n",
        "",
    ),
    Mutant(
        # That segments are freed before readers have taken the new catalog shows only where stages run at once: here the catalog
        # waits for the read stage when its step begins, and that goes by it from then on.
        "catalog-in-one-copy",
        "segments are freed though the catalog's copy still needs them",
        "Sources/Journal/Archive/ArchiveStage.swift",
        "if copy + 1 < paths.catalogs.count {",
        "if copy > paths.catalogs.count {",
    ),
    Mutant(
        "archives-not-synced",
        "a pass puts its catalog in place without syncing the archives",
        "Sources/Journal/Archive/ArchivePass.swift",
        "        case .syncing: return (try sync(), .underWay)\n",
        "        case .syncing:\n            toSync = []\n            return (try sync(), .underWay)\n",
    ),
    Mutant(
        "last-partition-not-archived",
        "a pass forgets one partition of a segment",
        "Sources/Journal/Archive/ArchivePass.swift",
        "        queue = works.values.sorted { $0.partition > $1.partition }\n",
        "        queue = Array(works.values.sorted { $0.partition > $1.partition }.dropFirst(works.count > 1 ? 1 : 0))\n",
    ),
    Mutant(
        "unreadable-taken-for-lost",
        "a pass takes what a drive can't read now for lost",
        "Sources/Journal/Archive/ArchiveStage.swift",
        "    private static let readAttempts = 10\n",
        "    private static let readAttempts = 0\n",
    ),
    Mutant(
        "archive-off-by-one",
        "a pass takes a batch of which one record is live for dead",
        "Sources/Journal/Archive/ArchivePass.swift",
        "guard start != .max, entry.nextOffset > start,",
        "guard start != .max, entry.nextOffset > start + 1,",
    ),
    # Replication, responses
    Mutant(
        "committed-at-appended",
        "the leader counts itself as having on disk what it has in memory",
        "Sources/Replication/ReplicateStage.swift",
        "        let committed = majority(own: flushed) { $0.persisted }",
        "        let committed = majority(own: appended) { $0.persisted }",
    ),
    Mutant(
        "persisted-at-appended",
        "persisted answers leave when the batch is in memory",
        "Sources/Responses/QualityPosition.swift",
        "        case .persisted: flushed.load()",
        "        case .persisted: appended.load()",
    ),
    Mutant(
        "answers-out-of-order",
        "an answer leaves as soon as it can, before those of earlier requests",
        "Sources/Responses/ResponderConnection.swift",
        "        return tenant == generation && answer == nextAnswer && parked.isEmpty",
        "        return tenant == generation && parked.isEmpty",
    ),
    # Sequencer
    Mutant(
        "bad-batch-taken",
        "a batch is taken whatever its CRC says",
        "Sources/Sequencer/SequencerStage.swift",
        "        if let flaw = BatchValidator.flaw(records, limit: min(job.items[number].maxBytes, journal.payloadLimit)) {",
        "        if let flaw = BatchValidator.flaw(records, limit: min(job.items[number].maxBytes, journal.payloadLimit)), flaw != .corruptMessage {",
    ),
    Mutant(
        "index-misplaced",
        "the index has a wrong position for one batch in a thousand",
        "Sources/Sequencer/SequencerStage.swift",
        "            baseOffset: baseOffset, position: position, maxTimestamp: maxTimestamp,",
        "            baseOffset: baseOffset, position: position / 8 % 1000 == 7 ? position - 8 : position, maxTimestamp: maxTimestamp,",
    ),
    Mutant(
        "producers-not-restored",
        "a checkpoint's producers are not put back",
        "Sources/Sequencer/SequencerState.swift",
        "            producers.restore(state)\n",
        "",
    ),
    Mutant(
        "producers-not-replayed",
        "what producers wrote behind the checkpoint is not remembered",
        "Sources/Sequencer/SequencerState.swift",
        "        if fields.producerId >= 0 {",
        "        if fields.producerId >= 0 && header.position == .max {",
    ),
    Mutant(
        "producers-forgotten-at-damage",
        "damage makes every producer unknown",
        "Sources/Sequencer/SequencerState.swift",
        "        producers.doubt()",
        "        producers = ProducerTable(limit: producers.limit)",
    ),
    Mutant(
        "log-start-not-replayed",
        "a log start that stands in the journal is not applied",
        "Sources/Sequencer/SequencerState.swift",
        "                setLogStart(frame.offset, partition: header.partition)",
        "                _ = frame",
    ),
    Mutant(
        "lost-offsets-given-again",
        "offsets that damage has taken are given to other records",
        "Sources/Sequencer/SequencerState.swift",
        "max(nextOffset(partition) + lostOffsets, logStart(partition))",
        "max(nextOffset(partition), logStart(partition))",
    ),
    # Fetching
    Mutant(
        "watermark-before-commit",
        "consumers see what is appended",
        "Sources/Fetching/ReadStage.swift",
        "        let committed = groups[group].positions.committed.load()",
        "        let committed = groups[group].positions.appended.load()",
    ),
    Mutant(
        "watermark-one-too-far",
        "consumers see one batch more than is committed",
        "Sources/Fetching/ReadStage.swift",
        "            guard batch.entry.end <= committed else { break }",
        "            guard batch.entry.position <= committed else { break }",
    ),
    Mutant(
        "damage-skipped",
        "a fetch goes on behind damage as if nothing had been there",
        "Sources/Fetching/FetchJob.swift",
        "            guard entry.baseOffset <= mine.nextOffset else { break }",
        "            guard entry.baseOffset <= mine.nextOffset + (1 << 40) else { break }",
    ),
    Mutant(
        "cold-unchecked",
        "what is read from disk is sent as it is",
        "Sources/Fetching/ReadStage+Filling.swift",
        "        if isSound(batch, whole, groups[group]) { return .done }",
        "        if isSound(batch, whole, groups[group]) || whole > 0 { return .done }",
    ),
    Mutant(
        "clock-trusted",
        "retention believes a wall clock that jumps",
        "Sources/Fetching/Retention.swift",
        "        if abs(current - known) > RetentionClock.tolerance { steadySince = monotonic }",
        "        if abs(current - known) > .max / 2 { steadySince = monotonic }",
    ),
    Mutant(
        "deletes-one-more",
        "DeleteRecords deletes one record more than was asked for",
        "Sources/Fetching/DeleteRecordsJob.swift",
        "links.logStarts[group].send(LogStartRequest(partition: place.number, offset: target))",
        "links.logStarts[group].send(LogStartRequest(partition: place.number, offset: target + 1))",
    ),
    # Groups
    Mutant(
        "offset-answered-unstored",
        "a commit is answered before it is stored",
        "Sources/Groups/Stage/GroupStage+Requests.swift",
        "            if records.isEmpty { answer(response, caller) } else { store(records, .commit(caller, response), partition) }",
        "            answer(response, caller)\n            if !records.isEmpty { store(records, .nothing, partition) }",
    ),
    Mutant(
        "snapshot-ahead",
        "a snapshot of what groups have committed says that it reaches further than it does",
        "Sources/Groups/Snapshot/ShardSnapshot.swift",
        "partition: partition, nextOffset: shard.nextOffset, madeAt: madeAt)\n        rest",
        "partition: partition, nextOffset: shard.nextOffset + 1, madeAt: madeAt)\n        rest",
    ),
    Mutant(
        "snapshot-without-groups",
        "a snapshot of what groups have committed lacks one group in four",
        "Sources/Groups/Snapshot/ShardSnapshot.swift",
        "            for record in entry.records(id) {",
        "            for record in entry.records(id) where id != \"b\" {",
    ),
    Mutant(
        "group-deletion-forgotten",
        "that an offset was taken back is not read from the log",
        "Sources/Groups/GroupShard.swift",
        "            entries[id]!.offsets[topic, partition] = offset\n",
        "            if offset != nil || keepsMembers { entries[id]!.offsets[topic, partition] = offset }\n",
    ),
    # Broker
    Mutant(
        "epoch-reused",
        "a start goes on in the epoch before",
        "Sources/Broker/Opening.swift",
        "            let epoch = max(journal.recovered.highestEpoch, starts.last?.epoch ?? 0) + 1",
        "            let epoch = max(journal.recovered.highestEpoch, starts.last?.epoch ?? 0, 1)",
    ),
]
