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
}

/// What is on disk, opened and recovered, before any stage runs.
struct Opening {
    let configuration: BrokerConfiguration
    let plan: PlacementPlan
    let blocking: BlockingFiles
    let logger: Logger

    func open() throws -> (EmbeddedStore.Opened, [OpenedGroup]) {
        var metadata = try EmbeddedStore.open(directory: configuration.dataDirectory, blocking: blocking)
        let opener = JournalOpener(blocking: blocking, options: configuration.journal, logger: logger)
        let groups = try (0..<plan.partitionGroups).map { number in
            let replay = SequencerReplay(producerLimit: configuration.producerLimit)
            let journal = try opener.open(
                group: UInt16(number), directory: "\(configuration.dataDirectory)/group-\(number)",
                node: plan.nodeOfGroup[number], replay: replay)
            // Never an epoch that was begun before, whether or not anything of it is left in the journal.
            let epoch = max(journal.recovered.highestEpoch, metadata.state.epochs[UInt16(number)] ?? 0) + 1
            return OpenedGroup(journal: journal, state: replay.state, epoch: epoch)
        }
        try blocking.syncDirectory(configuration.dataDirectory)
        var changes = groups.enumerated().map { MetadataChange.epoch(group: UInt16($0.offset), epoch: $0.element.epoch) }
        if metadata.state.clusterId == nil {
            changes.append(.cluster(id: configuration.clusterId ?? Uuid.random().description))
        }
        try EmbeddedStore.commit(changes, to: &metadata, blocking: blocking)
        return (metadata, groups)
    }
}
