import Control
import Fetching
import Groups
import Host
import IO
import Intake
import Journal
import Metadata
import Responses
import Sequencer
import Synchronization

/// The channels between the stages that work on one partition group's journal: made anew each time that it is opened.
struct GroupChannels {
    let prepared: Channel<LoadedSegment>
    let toFlush: Channel<LoadedSegment>
    let durable: Channel<LoadedSegment>
    let checkpoints: Channel<Unmanaged<CheckpointBox>>
    let freed: Channel<UInt64>
}

/// The channels between the stages, each connected to the threads at its ends.
struct Wiring {
    static let requestCapacity = 8192
    static let indexCapacity = 65_536
    static let answerCapacity = 65_536
    /// What the replicate stage may have asked of a write stage that is not done.
    static let orderCapacity = 4096
    /// Of each queue of pending responses, in cells of 64 bytes.
    static let pendingCapacity = 32_768

    let plan: PlacementPlan
    private let isCluster: Bool
    private let wakers: [Waker]
    private let slots: Int

    /// By io stage; the last are the groups stage's, which is a client inside the broker.
    let requests: [[Channel<ClientRequest>]]
    let readRequests: [Channel<ClientRequest>]
    let releases: [[Channel<Release>]]
    let readReleases: [Channel<Release>]
    let pending: [[[Channel<PendingCell>]]]
    let readAnswers: [Channel<Unmanaged<Answer>>]
    /// By io stage.
    let controlRequests: [Channel<ClientRequest>]
    let controlReleases: [Channel<Release>]
    let controlAnswers: [Channel<Unmanaged<Answer>>]
    let groupRequests: [Channel<ClientRequest>]
    let groupReleases: [Channel<Release>]
    let groupAnswers: [Channel<Unmanaged<Answer>>]
    let toRespond: [Channel<ConnectionEvent>]
    let fromRespond: [Channel<ConnectionEvent>]
    let batches: [Channel<AppendedBatch>]
    let ioTables: [Channel<Unmanaged<TopicTable>>]
    let writeTables: [Channel<Unmanaged<TopicTable>>]
    let readTable: Channel<Unmanaged<TopicTable>>
    let groupTable: Channel<Unmanaged<TopicTable>>
    let logStarts: [Channel<LogStartRequest>]
    let orders: [Channel<Unmanaged<ArchiveOrder>>]
    let catalogs: [Channel<Unmanaged<ArchiveNews>>]
    let writeOrders: [Channel<WriteOrder>]
    let queries: [Channel<Unmanaged<ProducerQuery>>]
    let reports: [Channel<Unmanaged<ProducerReport>>]
    let readNews: [Channel<Unmanaged<ReadGroupNews>>]
    /// Of each partition group the channel from its loader to its write stage, as they were made last; for whoever watches.
    let segmentsAhead: [SegmentsAhead]

    final class SegmentsAhead: Sendable {
        private let channel = Mutex<Channel<LoadedSegment>?>(nil)

        func withLock<Result>(_ body: (inout sending Channel<LoadedSegment>?) -> sending Result) -> sending Result { channel.withLock(body) }
    }

    /// - Parameters:
    ///   - wakers: of the plan's threads.
    ///   - slots: of each journal cache.
    ///   - isCluster: one replicate stage, the first group's, serves all.
    init(plan: PlacementPlan, wakers: [Waker], inFlight: Int, connections: Int, slots: Int, isCluster: Bool) {
        self.plan = plan
        self.isCluster = isCluster
        self.wakers = wakers
        self.slots = slots
        func channel<Element>(_ capacity: Int, _ from: StageID, _ to: StageID) -> Channel<Element> {
            Channel(capacity: capacity, from: wakers[plan.thread(of: from)], to: wakers[plan.thread(of: to)])
        }
        let ios = 0..<plan.ioThreads
        let groups = 0..<plan.partitionGroups
        let requestCapacity = max(Wiring.requestCapacity, inFlight)
        let askers = ios.map { StageID.io($0) } + [.groups]
        let responders = ios.map { StageID.respond($0) } + [.groups]
        requests = askers.map { asker in groups.map { channel(requestCapacity, asker, .write($0)) } }
        readRequests = askers.map { channel(1024, $0, .read) }
        releases = askers.map { asker in groups.map { channel(requestCapacity, .write($0), asker) } }
        readReleases = askers.map { channel(1024, .read, $0) }
        pending = responders.map { responder in
            groups.map { group in (0..<PendingSender.queueCount).map { _ in channel(Wiring.pendingCapacity, .write(group), responder) } }
        }
        readAnswers = responders.map { channel(Wiring.answerCapacity, .read, $0) }
        controlRequests = ios.map { channel(1024, .io($0), .control) }
        controlReleases = ios.map { channel(1024, .control, .io($0)) }
        controlAnswers = ios.map { channel(Wiring.answerCapacity, .control, .respond($0)) }
        groupRequests = ios.map { channel(1024, .io($0), .groups) }
        groupReleases = ios.map { channel(1024, .groups, .io($0)) }
        groupAnswers = ios.map { channel(Wiring.answerCapacity, .groups, .respond($0)) }
        toRespond = ios.map { channel(4 * connections, .io($0), .respond($0)) }
        fromRespond = ios.map { channel(4 * connections, .respond($0), .io($0)) }
        batches = groups.map { channel(Wiring.indexCapacity, .write($0), .read) }
        ioTables = ios.map { channel(1024, .control, .io($0)) }
        writeTables = groups.map { channel(1024, .control, .write($0)) }
        readTable = channel(1024, .control, .read)
        groupTable = channel(1024, .control, .groups)
        logStarts = groups.map { channel(1024, .read, .write($0)) }
        orders = groups.map { channel(4, .read, .archive($0)) }
        catalogs = groups.map { channel(1, .archive($0), .read) }
        writeOrders = groups.map { channel(Wiring.orderCapacity, .replicate(isCluster ? 0 : $0), .write($0)) }
        queries = groups.map { channel(64, .control, .write($0)) }
        reports = groups.map { channel(64, .write($0), .control) }
        segmentsAhead = groups.map { _ in SegmentsAhead() }
        let steward = Waker {}
        readNews = groups.map { _ in
            Channel(capacity: 4, from: steward, to: wakers[plan.thread(of: .read)])
        }
    }

    func waker(_ stage: StageID) -> Waker { wakers[plan.thread(of: stage)] }

    private func channel<Element>(_ capacity: Int, _ from: StageID, _ to: StageID) -> Channel<Element> {
        Channel(capacity: capacity, from: waker(from), to: waker(to))
    }

    /// New channels between the stages that work on the group's journal.
    func channels(_ group: Int) -> GroupChannels {
        GroupChannels(
            prepared: channel(1, .loader(group), .write(group)), toFlush: channel(slots, .write(group), .flush(group)),
            durable: channel(slots, .flush(group), .loader(group)), checkpoints: channel(1, .write(group), .archive(group)),
            freed: channel(64, .archive(group), .loader(group)))
    }

    /// Says who is woken when a group's positions move.
    func watch(_ positions: JournalPositions, group: Int) {
        for responder in (0..<plan.ioThreads).map({ StageID.respond($0) }) + [.groups] {
            let respond = waker(responder)
            for position in [positions.appended, positions.flushed, positions.replicated, positions.committed, positions.inSync, positions.failed] {
                position.watch(respond)
            }
        }
        positions.appended.watch(waker(.flush(group)))
        let replicate = waker(.replicate(isCluster ? 0 : group))
        positions.appended.watch(replicate)
        positions.flushed.watch(replicate)
        positions.awaitsInSync.watch(replicate)
        positions.committed.watch(waker(.read))
        positions.serving.watch(waker(.read))
        positions.serving.watch(waker(.groups))
        positions.failed.watch(waker(.control))
        positions.space.watch(waker(.write(group)))
    }

    // MARK: What each stage is given

    func intake(_ io: Int) -> IntakeLinks {
        var writers = OwnedArray<Sender<ClientRequest>>(minimumCapacity: plan.partitionGroups)
        var back = OwnedArray<Receiver<Release>>(minimumCapacity: plan.partitionGroups + 3)
        for group in 0..<plan.partitionGroups {
            writers.append(requests[io][group].sender())
            back.append(releases[io][group].receiver())
        }
        back.append(readReleases[io].receiver())
        back.append(controlReleases[io].receiver())
        back.append(groupReleases[io].receiver())
        return IntakeLinks(
            writers: writers, reader: readRequests[io].sender(), control: controlRequests[io].sender(), groups: groupRequests[io].sender(), releases: back,
            toRespond: toRespond[io].sender(), fromRespond: fromRespond[io].receiver(), tables: ioTables[io].receiver())
    }

    func respond(_ io: Int) -> RespondLinks {
        var queues = OwnedArray<Receiver<PendingCell>>(minimumCapacity: PendingSender.queueCount * plan.partitionGroups)
        for group in 0..<plan.partitionGroups {
            for quality in 0..<PendingSender.queueCount { queues.append(pending[io][group][quality].receiver()) }
        }
        var answers = OwnedArray<Receiver<Unmanaged<Answer>>>(minimumCapacity: 3)
        answers.append(readAnswers[io].receiver())
        answers.append(controlAnswers[io].receiver())
        answers.append(groupAnswers[io].receiver())
        return RespondLinks(
            pending: queues, answers: answers, fromIntake: toRespond[io].receiver(), toIntake: fromRespond[io].sender())
    }

    func sequencer(_ group: Int, _ channels: GroupChannels) -> SequencerLinks {
        SequencerLinks(
            requests: each(of: requests.count) { requests[$0][group].receiver() }, releases: each(of: releases.count) { releases[$0][group].sender() },
            pending: each(of: pending.count) { io in
                var queues = OwnedArray<Sender<PendingCell>>(minimumCapacity: PendingSender.queueCount)
                for quality in 0..<PendingSender.queueCount { queues.append(pending[io][group][quality].sender()) }
                return PendingSender(queues: queues, capacity: Wiring.pendingCapacity)
            }, index: batches[group].sender(), logStarts: logStarts[group].receiver(),
            checkpoints: channels.checkpoints.sender(), tables: writeTables[group].receiver(), orders: writeOrders[group].receiver(),
            queries: queries[group].receiver(), reports: reports[group].sender())
    }

    func read() -> ReadLinks {
        var fromWriters = OwnedArray<Receiver<AppendedBatch>>(minimumCapacity: plan.partitionGroups)
        var starts = OwnedArray<Sender<LogStartRequest>>(minimumCapacity: plan.partitionGroups)
        var toArchives = OwnedArray<Sender<Unmanaged<ArchiveOrder>>>(minimumCapacity: plan.partitionGroups)
        var fromArchives = OwnedArray<Receiver<Unmanaged<ArchiveNews>>>(minimumCapacity: plan.partitionGroups)
        var news = OwnedArray<Receiver<Unmanaged<ReadGroupNews>>>(minimumCapacity: plan.partitionGroups)
        for group in 0..<plan.partitionGroups {
            fromWriters.append(batches[group].receiver())
            starts.append(logStarts[group].sender())
            toArchives.append(orders[group].sender())
            fromArchives.append(catalogs[group].receiver())
            news.append(readNews[group].receiver())
        }
        return ReadLinks(
            requests: each(of: readRequests.count) { readRequests[$0].receiver() }, releases: each(of: readReleases.count) { readReleases[$0].sender() },
            answers: each(of: readAnswers.count) { readAnswers[$0].sender() }, batches: fromWriters, logStarts: starts, orders: toArchives,
            catalogs: fromArchives, tables: readTable.receiver(), news: news)
    }

    func archive(_ group: Int, _ channels: GroupChannels) -> ArchiveLinks {
        ArchiveLinks(
            orders: orders[group].receiver(), catalogs: catalogs[group].sender(), checkpoints: channels.checkpoints.receiver(),
            freed: channels.freed.sender())
    }

    func control() -> ControlLinks {
        var tables = OwnedArray<Sender<Unmanaged<TopicTable>>>(minimumCapacity: plan.ioThreads + plan.partitionGroups + 2)
        for io in 0..<plan.ioThreads { tables.append(ioTables[io].sender()) }
        for group in 0..<plan.partitionGroups { tables.append(writeTables[group].sender()) }
        tables.append(readTable.sender())
        tables.append(groupTable.sender())
        return ControlLinks(
            desk: desk(controlRequests, controlReleases, controlAnswers), tables: tables, queries: each(of: queries.count) { queries[$0].sender() },
            reports: each(of: reports.count) { reports[$0].receiver() })
    }

    func groups() -> GroupLinks {
        GroupLinks(desk: desk(groupRequests, groupReleases, groupAnswers), tables: groupTable.receiver())
    }

    /// Of the client inside the broker, which is a part of the groups stage.
    func local() -> LocalLinks {
        let own = plan.ioThreads
        var queues = OwnedArray<Receiver<PendingCell>>(minimumCapacity: PendingSender.queueCount * plan.partitionGroups)
        for group in 0..<plan.partitionGroups {
            for quality in 0..<PendingSender.queueCount { queues.append(pending[own][group][quality].receiver()) }
        }
        return LocalLinks(
            writers: each(of: plan.partitionGroups) { requests[own][$0].sender() }, writerReleases: each(of: plan.partitionGroups) { releases[own][$0].receiver() },
            pending: queues, reader: readRequests[own].sender(), readerReleases: readReleases[own].receiver(), readAnswers: readAnswers[own].receiver())
    }

    private func desk(
        _ requests: [Channel<ClientRequest>], _ releases: [Channel<Release>], _ answers: [Channel<Unmanaged<Answer>>]
    ) -> ClientDesk {
        ClientDesk(
            requests: each(of: requests.count) { requests[$0].receiver() }, releases: each(of: releases.count) { releases[$0].sender() },
            answers: each(of: answers.count) { answers[$0].sender() })
    }

    /// One end of each of several channels.
    private func each<End: ~Copyable>(of count: Int, _ end: (Int) -> End) -> OwnedArray<End> {
        var ends = OwnedArray<End>(minimumCapacity: count)
        for number in 0..<count { ends.append(end(number)) }
        return ends
    }
}
