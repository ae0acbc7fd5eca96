"""Variants of the broker that are wrong on purpose: the simulation must catch each (scripts/mutants).

A mutant's old text occurs exactly once in its file; where it no longer does, the mutant has to follow the code. They stand in the
order of the modules, so that a build after another has little to do.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    name: str
    #: What is wrong, in a line.
    wrong: str
    file: str
    old: str
    new: str
    #: Why a trap is a plain consequence of what is wrong; empty: it is not, and a trap does not count as caught.
    trap: str = ""
    #: What `hutong sim` simulates: nothing said, a broker alone.
    arguments: tuple[str, ...] = ()


#: Replicas of one journal, on a model of disk, network and store.
THREE_REPLICAS = ("--replicas", "3")
FIVE_REPLICAS = ("--replicas", "5")
#: A cluster of whole brokers.
THREE_BROKERS = ("--brokers", "3", "--steps", "1000")

MUTANTS = [
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
        "Sources/Responses/RespondStage.swift",
        "        case .persisted: group.flushed.load()",
        "        case .persisted: group.appended.load()",
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
        "            baseOffset: baseOffset, position: position, maxTimestamp: batch.maxTimestamp,",
        "            baseOffset: baseOffset, position: position / 8 % 1000 == 7 ? position - 8 : position, maxTimestamp: batch.maxTimestamp,",
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
        "                        LogStartRequest(partition: place.number, offset: target))",
        "                        LogStartRequest(partition: place.number, offset: target + 1))",
    ),
    # Broker
    Mutant(
        "epoch-reused",
        "a start goes on in the epoch before",
        "Sources/Broker/Opening.swift",
        "            let epoch = max(journal.recovered.highestEpoch, starts.last?.epoch ?? 0) + 1",
        "            let epoch = max(journal.recovered.highestEpoch, starts.last?.epoch ?? 0, 1)",
    ),
    # Replication: the core
    Mutant(
        "promise-not-stored",
        "a promise is given before it is on stable storage",
        "Sources/Replication/Core/ReplicaCore+Standing.swift",
        "        sendPromised(.promise(epoch: epoch, shape), to: from)\n",
        "        store()\n"
        "        send(.promise(epoch: epoch, shape), to: from)\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "minority-elects",
        "less than a majority of promises is enough",
        "Sources/Replication/Core/LogChoice.swift",
        "        guard voters.count >= GroupAssignment.majority(of: replicas.count), let mine",
        "        guard voters.count >= replicas.count / 2, let mine",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "longest-log-wins",
        "the longest log is taken for the best",
        "Sources/Replication/Core/LogShape.swift",
        "(history.lastEpoch, end) > (other.history.lastEpoch, other.end)",
        "(end, history.lastEpoch) > (other.end, other.history.lastEpoch)",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "own-log-wins",
        "a candidate keeps its own log",
        "Sources/Replication/Core/LogChoice.swift",
        "promises[$1]!.isBetter(than: promises[$0]!) ? $1 : $0",
        "promises[$1]!.isBetter(than: promises[$0]!) ? $0 : $0",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "older-epoch-by-count",
        "frames of an older epoch are committed by counting copies",
        "Sources/Replication/Core/ReplicaCore+Leading.swift",
        "        guard both >= epochFrameEnd else { return }\n",
        "        guard both >= 0, epochFrameEnd > 0 else { return }\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "damage-is-absence",
        "what can't be read counts as never held",
        "Sources/Replication/Core/LogChoice.swift",
        "                } else if neverHeld(from, target, promises, voters) >= GroupAssignment.majority(of: replicas.count)\n",
        "                } else if neverHeld(from, target, promises, voters) >= 0\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "damage-not-told",
        "a promise does not tell of damage, and ends before it",
        "Sources/Replication/Core/ReplicaCore.swift",
        "end: recordedEnd, damaged: damaged, isUnsure",
        "end: persisted, damaged: [], isUnsure",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "memory-is-storage",
        "a follower says that it has persisted what it has in memory",
        "Sources/Replication/Core/ReplicaCore.swift",
        "        var end = min(flushed, following?.ahead.first?.position ?? .max)\n",
        "        var end = min(appended, following?.ahead.first?.position ?? .max)\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "unrecorded-epoch-counts",
        "what is behind an epoch's start counts before the epoch is recorded",
        "Sources/Replication/Core/ReplicaCore.swift",
        "        var end = min(flushed, following?.ahead.first?.position ?? .max)\n        for other in [stored, recording ?? stored] where other.history != record.history {\n",
        "        var end = flushed\n        for other in [stored, recording ?? stored] where other.history != record.history && end > flushed {\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "epoch-recorded-early",
        "a follower records the leader's epochs before its log has come to them",
        "Sources/Replication/Core/ReplicaCore+Following.swift",
        "        while let next = following?.ahead.first, flushed >= next.position {\n",
        "        while let next = following?.ahead.first, following!.leader != own || flushed >= next.position {\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "logs-equal-by-length",
        "a follower's log counts as the leader's up to its end, whatever its epochs are",
        "Sources/Replication/Core/ReplicaCore+Following.swift",
        "            let common = record.history.common(end: appended, with: history, otherEnd: .max)\n",
        "            let common = min(appended, history.starts.last?.position ?? 0)\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "nothing-cut-off",
        "a follower keeps what its leader does not have",
        "Sources/Replication/Core/ReplicaCore+Following.swift",
        "            cut(at: common)\n",
        "",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "unrecorded-epoch-kept",
        "what stands behind the start of an epoch that is not recorded is taken for the epoch's before",
        "Sources/Replication/Core/ReplicaCore.swift",
        "        if let unrecorded = following?.ahead.first, unrecorded.position < appended { cut(at: unrecorded.position) }\n",
        "",
        arguments=FIVE_REPLICAS,
    ),
    Mutant(
        "empty-epoch-stays",
        "an epoch that began where a log ends, and has no frame, stays in its history though the log goes on without it",
        "Sources/Replication/Core/ReplicaCore+Standing.swift",
        "        record.history.cut(at: position)\n        guard position < appended else { return }\n",
        "        guard position < appended else { return }\n        record.history.cut(at: position)\n",
        arguments=FIVE_REPLICAS,
    ),
    Mutant(
        "two-replicas-at-once",
        "a wiped disk's replica takes the place of the old one in one step",
        "Sources/Replication/Core/ReplicaCore+Leading.swift",
        "            _ = change(to: assignment.replicas + [learner], now: now)\n",
        "            proposed = assignment.replicas.filter { $0.broker != learner.broker } + [learner]\n"
        "            propose()\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "old-epochs-heard",
        "a replica follows leaders of epochs below the one that it has promised",
        "Sources/Replication/Core/ReplicaCore+Following.swift",
        "        guard epoch >= record.promised, role.epoch ?? 0 < epoch else { return send(.refuse(promised: record.promised), to: from) }\n"
        "        guard epoch < ReplicaCore.highestEpoch else { return }\n"
        "        promise(epoch, now)\n"
        "        heard = now\n"
        "        standAt = nil\n"
        "        if let following",
        "        guard role.epoch ?? 0 < epoch else { return send(.refuse(promised: record.promised), to: from) }\n"
        "        guard epoch < ReplicaCore.highestEpoch else { return }\n"
        "        promise(epoch, now)\n"
        "        heard = now\n"
        "        standAt = nil\n"
        "        if let following",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "wiped-disk-votes",
        "a wiped disk keeps its name",
        "Sources/Simulator/Replicas/ReplicaSimulation+Faults.swift",
        "ModelDisk(incarnation: nextIncarnation)",
        "ModelDisk(incarnation: replicas[index].disk.incarnation)",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "deposed-leader-appends",
        "a leader that has stepped down goes on serving",
        "Sources/Replication/Core/ReplicaCore.swift",
        "        if case .leader = role { effects.append(.stop(epoch)) }\n",
        "        if case .leader = role, epoch == 0 { effects.append(.stop(epoch)) }\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "snapshot-falls-short",
        "a snapshot is installed that ends before what the log has",
        "Sources/Replication/Core/ReplicaCore+Following.swift",
        "end >= lacking.common, role == .follower",
        "role == .follower",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "snapshot-of-the-past",
        "a snapshot of a leader before is installed",
        "Sources/Replication/Core/ReplicaCore+Following.swift",
        "        guard let lacking, lacking.epoch == epoch, record.promised == epoch, end",
        "        guard let lacking, end",
        arguments=THREE_REPLICAS,
    ),
    # Replication: whole clusters
    Mutant(
        "deposed-answers-complete",
        "what is pending when a leader stops is answered once its successor's positions pass it",
        "Sources/Sequencer/SequencerStage+Following.swift",
        "        for io in 0..<links.pending.count { links.pending[io].void() }\n",
        "",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "frames-unchecked",
        "a follower takes in what a leader sends without verifying it",
        "Sources/Replication/Peers/FrameCheck.swift",
        "            case .failure(let flaw): throw Failure(position: position, reason: \"the frame is damaged (\\(flaw))\")\n",
        "            case .failure(let flaw):\n"
        "                guard let read = FrameHeader(checked: frame), read.position == position else {\n"
        "                    throw Failure(position: position, reason: \"the frame is damaged (\\(flaw))\")\n"
        "                }\n"
        "                header = read\n",
        arguments=THREE_BROKERS,
        trap="frames of any length reach the write stage",
    ),
    Mutant(
        "acknowledged-before-flushed",
        "a follower's acknowledgement says that it has persisted what it has in memory",
        "Sources/Replication/ReplicaGroup.swift",
        "            core!.moved(appended: end, flushed: min(flushed, end), now: now)\n",
        "            core!.moved(appended: end, flushed: end, now: now)\n",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "record-not-awaited",
        "a promise counts as stored while it is being written",
        "Sources/Replication/ReplicaGroup.swift",
        "        do { try recordWriter.begin(stored!) } catch { positions.fail(error.code) }\n",
        "        do { try recordWriter.begin(stored!) } catch { positions.fail(error.code) }\n        core?.recorded(record, now: 0)\n",
        arguments=THREE_BROKERS,
        trap="a record is begun before the one before has ended",
    ),
    Mutant(
        "cut-leaves-the-tail",
        "what is cut off stays on disk",
        "Sources/Journal/Recovery/JournalFiles.swift",
        "        for later in segments.reversed() where later > number {\n",
        "        if number >= 0 { return }\n        for later in segments.reversed() where later > number {\n",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "spoilt-end-is-absent",
        "a replica takes its log's unreadable end for a torn one, which nobody was promised",
        "Sources/Journal/Recovery/JournalOpening.swift",
        "checkpoint: checkpoint, isReplica: replica != nil)",
        "checkpoint: checkpoint, isReplica: false)",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "unsure-forgotten",
        "once its end has been mended, a replica is sure of it",
        "Sources/Broker/Cluster/Steward.swift",
        "            stored.record.isUnsure = true\n",
        "            stored.record.isUnsure = false\n",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "damage-opened",
        "a replica goes on without what it can't read",
        "Sources/Journal/Recovery/JournalOpening.swift",
        "        if replica != nil, !recovered.damaged.isEmpty { throw DamagedReplica(recovered: recovered) }\n",
        "",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "wiped-disk-keeps-its-name",
        "a disk that was wiped goes by the name that it had",
        "Sources/Broker/Cluster/Steward.swift",
        "incarnation: ground.random())",
        "incarnation: UInt64(configuration.nodeId) + 1000)",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "own-flush-is-commit",
        "what the leader has flushed is committed",
        "Sources/Replication/ReplicaGroup.swift",
        "        let reached = min(committed, positions.appended.load())\n",
        "        let reached = isLeading ? positions.flushed.load() : min(committed, positions.appended.load())\n",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "followers-forget-producers",
        "a follower does not keep the producers' state",
        "Sources/Sequencer/SequencerStage+Following.swift",
        "            let entry = state.apply(header, payload: payload)\n",
        "            let entry = header.kind == .batch ? IndexEntry(header, batch: payload) : state.apply(header, payload: payload)\n",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "repair-unchecked",
        "what takes the place of rot is not verified",
        "Sources/Replication/ReplicaRepair.swift",
        "        return sound\n",
        "        return bytes.count\n",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "rot-stays",
        "what is found to have rotted while it is in use is not mended",
        "Sources/Replication/ReplicaGroup.swift",
        "        case .damage(_, let ranges): repair.begin(ranges)\n",
        "        case .damage: break\n",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "unreadable-becomes-zeros",
        "a cut turns a block that can't be read into zeros",
        "Sources/Journal/Recovery/JournalFiles.swift",
        "            guard isMediumError(error.code) else { throw error }\n            return\n",
        "            guard isMediumError(error.code) else { throw error }\n",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "any-sequence-begins",
        "a producer that was never here may begin with any sequence number",
        "Sources/Sequencer/ProducerTable.swift",
        "firstSequence == 0 || hasForgotten || !isYoung ? .append",
        "firstSequence >= 0 || hasForgotten || !isYoung ? .append",
        arguments=THREE_BROKERS,
    ),
    Mutant(
        "reign-goes-on",
        "a leader that is deposed leads on, as far as its write stage knows",
        "Sources/Sequencer/SequencerStage+Following.swift",
        "        isLeading = false\n        epochFrame = nil\n",
        "        epochFrame = nil\n",
        arguments=THREE_BROKERS,
        trap="two write to one place",
    ),
    Mutant(
        "rot-archived-without",
        "a replica archives what it can read of a segment that has rotted",
        "Sources/Journal/Archive/SegmentScan.swift",
        "        guard takesLoss || !isReplica else {\n",
        "        guard takesLoss || !isReplica || from > 0 else {\n",
        arguments=THREE_BROKERS,
    ),
]
