import Host
import IO
import Journal
import Logging
import Metadata
import Sequencer
import Wire

/// One partition group, as it was found on disk, and the epoch that begins now.
struct OpenedGroup {
    var journal: OpenedJournal
    var state: SequencerState
    var epoch: UInt32
    var epochs: EpochHistory
}

/// What is on disk, opened and recovered, before any stage runs.
struct Opening {
    let configuration: BrokerConfiguration
    let plan: PlacementPlan
    let blocking: BlockingFiles
    let logger: Logger

    func open() throws -> (EmbeddedStore.Opened, [OpenedGroup]) {
        var metadata = try EmbeddedStore.open(directory: configuration.dataDirectory, blocking: blocking)
        try makeKeys(&metadata)
        let state = metadata.state
        let opener = JournalOpener(blocking: blocking, options: configuration.journal, logger: logger)
        let groups = try (0..<plan.partitionGroups).map { number in
            let group = UInt16(number)
            let partitions = number < state.partitionNumbers.count ? state.partitionNumbers[number] : 0
            let replay = SequencerReplay(producerLimit: configuration.producerLimit, partitions: partitions)
            let starts = (state.epochs[group] ?? []).map { EpochHistory.Start(epoch: $0.epoch, position: $0.position) }
            let journal = try opener.open(
                JournalIdentity(group: group, key: state.journals[group]!.key),
                directory: JournalPaths.directory(in: configuration.dataDirectory, group: number), node: plan.nodeOfGroup[number],
                epochs: EpochHistory(starts), replay: replay)
            // Never an epoch that was begun before, whether or not anything of it is left in the journal.
            let epoch = max(journal.recovered.highestEpoch, starts.last?.epoch ?? 0) + 1
            let history = EpochHistory(starts + [EpochHistory.Start(epoch: epoch, position: journal.recovered.position)])
            return OpenedGroup(journal: journal, state: replay.state, epoch: epoch, epochs: history)
        }
        try blocking.syncDirectory(configuration.dataDirectory)
        var changes = groups.enumerated().map { 
            MetadataChange.epoch(
                group: UInt16($0.offset), epoch: $0.element.epoch, position: $0.element.journal.recovered.position)
        }
        if metadata.state.clusterId == nil {
            changes.append(.cluster(id: configuration.clusterId ?? Uuid.random().description))
        }
        try EmbeddedStore.commit(changes, to: &metadata, blocking: blocking)
        return (metadata, groups)
    }

    /// A journal gets its key before its first frame. One that is of a later format is refused.
    private func makeKeys(_ metadata: inout EmbeddedStore.Opened) throws {
        var changes: [MetadataChange] = []
        for group in 0..<UInt16(plan.partitionGroups) {
            guard let known = metadata.state.journals[group] else {
                let directory = JournalPaths.directory(in: configuration.dataDirectory, group: group)
                let names = (try? blocking.files.list(directory)) ?? []
                guard !names.contains(where: { $0.hasSuffix(".segment") }) else {
                    throw JournalError(
                        "\(directory) has a journal, but \(configuration.dataDirectory)/metadata.log does not know it. Restore the data directory from a copy.")
                }
                changes.append(.journal(group: group, key: .random(in: 1 ... .max), format: Opening.format))
                continue
            }
            guard known.format == Opening.format else {
                throw JournalError(
                    "\(configuration.dataDirectory)/group-\(group) is of format \(known.format), this version knows \(Opening.format). Nothing was changed. Start the version that wrote it.")
            }
        }
        if !changes.isEmpty { try EmbeddedStore.commit(changes, to: &metadata, blocking: blocking) }
    }

    /// The format of the journal, its index and its archives.
    private static let format = 1
}
