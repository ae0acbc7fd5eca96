"""The core of replication, wrong in one place each."""

from mutant import FIVE_REPLICAS, THREE_REPLICAS, Mutant

REPLICAS = [
    Mutant(
        "promise-not-stored",
        "a promise is given before it is on stable storage",
        "Sources/Replication/Core/ReplicaCore+Standing.swift",
        "        sendPromised(.promise(epoch: epoch, shape), to: candidate)\n",
        "        store()\n"
        "        send(.promise(epoch: epoch, shape), to: candidate)\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "promise-without-memory",
        "a promise does not tell of what is only in memory",
        "Sources/Replication/Core/ReplicaCore+Standing.swift",
        "promisedTo, flushed == appended else",
        "promisedTo else",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "replicated-unrecorded",
        "what a follower has in memory counts as replicated before it has recorded the epoch",
        "Sources/Replication/Core/ReplicaCore+Leading.swift",
        "            return progress.persisted >= epochFrameEnd ? progress.received : progress.persisted\n",
        "            return progress.received\n",
        arguments=THREE_REPLICAS,
    ),
    Mutant(
        "minority-elects",
        "less than a majority of promises is enough",
        "Sources/Replication/Core/LogChoice.swift",
        "        guard sure >= GroupAssignment.majority(of: replicas.count) ||",
        "        guard sure >= replicas.count / 2 ||",
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
        trap="a later, lower epoch can't be recorded",
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
]
