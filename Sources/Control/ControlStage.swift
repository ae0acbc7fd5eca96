import Host
import Intake
import Logging
import Metadata
import Responses
import Sequencer
import Wire

/// What the control stage is given: one end of each of its channels.
public struct ControlLinks: ~Copyable {
    public var desk: ClientDesk
    /// To every stage that looks topics up.
    public var tables: OwnedArray<Sender<Unmanaged<TopicTable>>>
    /// To each partition group's write stage, and from it.
    public var queries: OwnedArray<Sender<Unmanaged<ProducerQuery>>>
    public var reports: OwnedArray<Receiver<Unmanaged<ProducerReport>>>

    public init(
        desk: consuming ClientDesk, tables: consuming OwnedArray<Sender<Unmanaged<TopicTable>>>,
        queries: consuming OwnedArray<Sender<Unmanaged<ProducerQuery>>>, reports: consuming OwnedArray<Receiver<Unmanaged<ProducerReport>>>
    ) {
        self.desk = desk
        self.tables = tables
        self.queries = queries
        self.reports = reports
    }
}

/// What new topics are like.
public struct TopicDefaults: Sendable {
    public var partitions: Int
    public var autoCreate: Bool
    public var settings: TopicSettings
    /// Of `__consumer_offsets`; nil: as many replicas as other topics have.
    public var offsetsPartitions: Int
    public var offsetsReplicas: Int?

    public init(partitions: Int, autoCreate: Bool, settings: TopicSettings, offsetsPartitions: Int = 50, offsetsReplicas: Int? = nil) {
        self.partitions = partitions
        self.offsetsPartitions = offsetsPartitions
        self.offsetsReplicas = offsetsReplicas
        self.autoCreate = autoCreate
        self.settings = settings
    }
}

/// Answers what is neither Produce nor Fetch: metadata and administration. It owns the metadata store; whatever changes there
/// is sent round to the other stages before the client hears of it.
public struct ControlStage: Stage, ~Copyable {
    /// What is to be answered once a change of the metadata is committed.
    enum Reply {
        case metadata(MetadataRequest)
        case createTopics(CreateTopicsResponse)
        case deleteTopics(DeleteTopicsResponse)
        case createPartitions(CreatePartitionsResponse)
        case alterConfigs(AlterConfigsResponse)
        case incrementalAlterConfigs(IncrementalAlterConfigsResponse)
        case producerId
        case coordinator(FindCoordinatorRequest)
    }

    /// What is to be answered once what operators want of groups is in the store.
    enum OrderReply {
        case reassigned(AlterPartitionReassignmentsResponse, [PartitionName: UInt16])
        case elected(ElectLeadersResponse, [PartitionName: UInt16], isUnclean: Bool, patience: UInt64)
    }

    /// Elections that were asked for, until the groups are led by whom they are to be led; or by anybody, where they were unclean.
    struct Election {
        var isUnclean: Bool
        var request: ClientRequest
        var io: Int
        var response: ElectLeadersResponse
        var places: [PartitionName: UInt16]
        var groups: Set<UInt16>
        var deadline: UInt64
    }

    let nodeId: Int32
    let directory: any BrokerDirectory
    let defaults: TopicDefaults
    /// The broker's settings.
    let settings: [DescribedSetting]
    let logger: Logger
    private let store: any MetadataStore
    var links: ControlLinks
    private(set) var table: TopicTable
    /// Of the metadata that `table` was made of.
    private var tableVersion: UInt64
    /// The metadata as it will be when all that is proposed is committed.
    private(set) var planned: MetadataState
    private var waiting: [UInt64: (request: ClientRequest, io: Int, reply: Reply)] = [:]
    private var ordered: [UInt64: (request: ClientRequest, io: Int, reply: OrderReply)] = [:]
    var elections: [UInt64: Election] = [:]
    var inquiries: [UInt64: ProducerInquiry] = [:]
    /// The time of this step.
    private(set) var monotonic: UInt64 = 0
    private var nextToken: UInt64 = 1
    /// Producer ids that are committed as given out, and not given out yet.
    var freeProducerIds: Range<Int64> = 0..<0
    /// For each stage that looks topics up, whether it has yet to be sent the newest.
    private var behind: [Bool]
    private let failures: [Position]
    private let onFailure: @Sendable (Int32) -> Void
    private var hasFailed = false
    /// So many bytes of answers are made in one step, and one answer more, so that the thread's other stages don't wait.
    private static let bytesAStep = 1 << 20
    private var madeBytes = 0
    /// What answers may take of memory together; beyond it requests are taken when some have been sent.
    private let budget: AnswerBudget

    /// - Parameters:
    ///   - nodeId: the broker's own.
    ///   - waker: of the thread that the stage runs on.
    ///   - failures: advanced to an errno when a journal's storage fails.
    ///   - onFailure: called once, when one has.
    public init(
        nodeId: Int32, directory: any BrokerDirectory, defaults: TopicDefaults, settings: [DescribedSetting], store: any MetadataStore, links: consuming ControlLinks,
        answerBytes: Int, waker: Waker, failures: [Position], onFailure: @escaping @Sendable (Int32) -> Void, logger: Logger
    ) {
        self.nodeId = nodeId
        self.directory = directory
        self.defaults = defaults
        self.settings = settings
        self.store = store
        behind = Array(repeating: false, count: links.tables.count)
        self.links = links
        budget = AnswerBudget(limit: answerBytes, waker: waker)
        self.failures = failures
        self.onFailure = onFailure
        self.logger = logger
        planned = store.state
        tableVersion = planned.tableVersion
        table = store.state.table(defaults: defaults.settings)
    }

    public mutating func step(_ now: Moment) -> Int {
        monotonic = now.monotonic
        catchUp()
        var progress = store.step()
        // Another broker may have changed something.
        if progress > 0 {
            sendTables()
            if waiting.isEmpty { planned = store.state }
        }
        while let outcome = store.nextOutcome() {
            progress += 1
            finish(outcome)
        }
        while let outcome = directory.nextOrderOutcome() {
            progress += 1
            finish(outcome, now.monotonic)
        }
        if !elections.isEmpty { progress += finishElections(now.monotonic) }
        if !inquiries.isEmpty { progress += takeReports() }
        madeBytes = 0
        for io in 0..<links.desk.count { progress += takeRequests(io) }
        links.desk.publish()
        if !hasFailed, let code = failures.lazy.map({ $0.load() }).first(where: { $0 != 0 }) {
            hasFailed = true
            onFailure(Int32(code))
        }
        return progress
    }

    public var isDrained: Bool { store.isIdle }

    public var deadline: UInt64 { min(elections.values.map(\.deadline).min() ?? .max, inquiries.values.map(\.deadline).min() ?? .max) }

    // MARK: Requests and answers

    private mutating func takeRequests(_ io: Int) -> Int {
        var count = 0
        // Each request that is taken will want a place for its answer, and those that wait for the disk as well.
        while madeBytes < ControlStage.bytesAStep, budget.allows(0),
            let request = links.desk.next(io, owed: waiting.count + ordered.count + elections.count + inquiries.count)
        {
            count += 1
            do { try handle(request, io) } catch {
                logger.notice("a request that can't be answered: \((error as? WireError)?.reason ?? "\(error)")")
                links.desk.close(request, io)
            }
            links.desk.giveBack(request, io)
        }
        return count
    }

    private mutating func handle(_ request: ClientRequest, _ io: Int) throws {
        switch APIKey(rawValue: request.key) {
        case .apiVersions: try answerApiVersions(request, io)
        case .metadata: try handleMetadata(request, io)
        case .findCoordinator: try handleFindCoordinator(request, io)
        case .describeCluster: try answer(handleDescribeCluster(request), request, io)
        case .createTopics: try handleCreateTopics(request, io)
        case .deleteTopics: try handleDeleteTopics(request, io)
        case .createPartitions: try handleCreatePartitions(request, io)
        case .describeConfigs: try handleDescribeConfigs(request, io)
        case .alterConfigs: try handleAlterConfigs(request, io)
        case .incrementalAlterConfigs: try handleIncrementalAlterConfigs(request, io)
        case .initProducerId: try handleInitProducerId(request, io)
        case .describeProducers: try handleDescribeProducers(request, io)
        case .electLeaders: try handleElectLeaders(request, io)
        case .alterPartitionReassignments: try handleAlterPartitionReassignments(request, io)
        case .listPartitionReassignments: try handleListPartitionReassignments(request, io)
        case .produce: try refuseOldProduce(request, io)
        default: throw WireError("API \(request.key) is not served here")
        }
    }

    mutating func answer(_ response: some Response, _ request: ClientRequest, _ io: Int, version: Int16? = nil) throws {
        madeBytes += try links.desk.answer(response, request, io, version: version, budget: budget)
    }

    // MARK: Changes

    /// Proposes changes; the reply follows when they are committed, with all that was proposed before.
    mutating func propose(_ changes: [MetadataChange], _ reply: Reply, _ request: ClientRequest, _ io: Int) {
        for change in changes { planned.apply(change) }
        let token = newToken()
        waiting[token] = (request, io, reply)
        store.propose(changes, token: token)
    }

    mutating func newToken() -> UInt64 {
        defer { nextToken += 1 }
        return nextToken
    }

    /// Takes a change into the plan ahead of its proposal, so that the next one is judged with it.
    mutating func plan(_ change: MetadataChange) { planned.apply(change) }

    /// What all brokers were given while they ran, and is committed.
    var brokerConfigs: [String: String] { store.state.brokerConfigs }

    /// Whether something is proposed and not committed yet.
    var hasProposals: Bool { !waiting.isEmpty }

    private mutating func finish(_ outcome: MetadataOutcome) {
        sendTables()
        if let failure = outcome.failure {
            planned = store.state
            logger.error("the metadata can't be written: \(failure)")
        }
        guard let (request, io, reply) = waiting.removeValue(forKey: outcome.token) else { return }
        let flaw = outcome.failure.map { Flaw(.kafkaStorageError, $0) }
        switch reply {
        case .metadata(let message): self.reply(metadata(message, request.version), request, io)
        case .coordinator(let message): self.reply(coordinators(message, request.version), request, io)
        case .createTopics(var response):
            response.topics.refuseRest { _ in flaw }
            self.reply(response, request, io)
        case .deleteTopics(var response):
            response.topics.refuseRest { _ in flaw }
            self.reply(response, request, io)
        case .createPartitions(var response):
            response.results.refuseRest { _ in flaw }
            self.reply(response, request, io)
        case .alterConfigs(var response):
            response.responses.refuseRest { _ in flaw }
            self.reply(response, request, io)
        case .incrementalAlterConfigs(var response):
            response.responses.refuseRest { _ in flaw }
            self.reply(response, request, io)
        case .producerId:
            if flaw == nil { takeProducerIds(outcome.changes) }
            self.reply(producerId(failed: flaw != nil), request, io)
        }
    }

    /// Orders what operators want of groups; the reply follows.
    mutating func order(_ orders: [UInt16: GroupOrder], _ reply: OrderReply, _ request: ClientRequest, _ io: Int) {
        let token = newToken()
        ordered[token] = (request, io, reply)
        directory.order(orders, token: token)
    }

    private mutating func finish(_ outcome: GroupOrderOutcome, _ now: UInt64) {
        guard let (request, io, reply) = ordered.removeValue(forKey: outcome.token) else { return }
        func flaw(_ group: UInt16) -> Flaw? { outcome.failures[group].map { Flaw(.kafkaStorageError, $0) } }
        switch reply {
        case .reassigned(var response, let places):
            response.refuse(places, flaw)
            self.reply(response, request, io)
        case .elected(var response, let places, let isUnclean, let patience):
            response.refuse(places, flaw)
            let groups = Set(places.values).subtracting(outcome.failures.keys)
            elections[outcome.token] = Election(
                isUnclean: isUnclean, request: request, io: io, response: response, places: places, groups: groups, deadline: now + patience)
        }
    }

    /// Answers a request that had to wait.
    mutating func reply(_ response: some Response, _ request: ClientRequest, _ io: Int) {
        do { try answer(response, request, io) } catch {
            logger.error("an answer can't be encoded: \((error as? WireError)?.reason ?? "\(error)")")
            links.desk.close(request, io)
        }
    }

    /// Every stage gets the topics before any client is told of a change.
    private mutating func sendTables() {
        let state = store.state
        guard state.tableVersion != tableVersion else { return }
        tableVersion = state.tableVersion
        table = state.table(defaults: defaults.settings)
        for stage in 0..<links.tables.count { behind[stage] = true }
        catchUp()
    }

    /// Gives the newest topics to the stages that have older ones. One whose queue is full, because its thread has not run
    /// for a while, gets them in a later step.
    private mutating func catchUp() {
        for stage in 0..<links.tables.count where behind[stage] && links.tables[stage].hasRoom() {
            behind[stage] = !links.tables[stage].send(Unmanaged.passRetained(table))
        }
    }
}
