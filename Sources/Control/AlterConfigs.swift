import Intake
import Metadata
import Wire

/// What a request wants to become of the settings of one topic, or of all brokers.
private struct ConfigAlteration {
    struct Step {
        let name: String
        /// An `IncrementalAlterConfigsRequest.Operation`.
        let operation: Int8
        let value: String?
    }

    struct Resource: Hashable {
        /// A `ConfigResourceType`.
        let type: Int8
        let name: String
    }

    let resource: Resource
    let steps: [Step]
    /// Whether what is not named goes back to its default.
    let replaces: Bool
}

/// What has become of it.
private protocol AlterationOutcome: Refusable {
    init()
    var resourceType: Int8 { get set }
    var resourceName: String { get set }
}

extension AlterConfigsResponse.Resource: AlterationOutcome {}
extension IncrementalAlterConfigsResponse.Resource: AlterationOutcome {}

extension ControlStage {
    private typealias Operation = IncrementalAlterConfigsRequest.Operation

    mutating func handleAlterConfigs(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(AlterConfigsRequest.self)
        let wanted = message.resources.map { resource in
            ConfigAlteration(
                resource: .init(type: resource.resourceType, name: resource.resourceName),
                steps: resource.configs.map { config in
                    .init(name: config.name, operation: (config.value == nil ? Operation.delete : .set).rawValue, value: config.value)
                }, replaces: true)
        }
        var response = AlterConfigsResponse()
        let changes = alter(wanted, &response.responses)
        guard !changes.isEmpty, !message.validateOnly else { return try answer(response, request, io) }
        propose(changes, .alterConfigs(response), request, io)
    }

    mutating func handleIncrementalAlterConfigs(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(IncrementalAlterConfigsRequest.self)
        let wanted = message.resources.map { resource in
            ConfigAlteration(
                resource: .init(type: resource.resourceType, name: resource.resourceName),
                steps: resource.configs.map { .init(name: $0.name, operation: $0.configOperation, value: $0.value) }, replaces: false)
        }
        var response = IncrementalAlterConfigsResponse()
        let changes = alter(wanted, &response.responses)
        guard !changes.isEmpty, !message.validateOnly else { return try answer(response, request, io) }
        propose(changes, .incrementalAlterConfigs(response), request, io)
    }

    /// The changes that do what is wanted, as far as it can be done; the outcomes say how far.
    private func alter<Outcome: AlterationOutcome>(_ wanted: [ConfigAlteration], _ outcomes: inout [Outcome]) -> [MetadataChange] {
        let counts = Dictionary(wanted.map { (meant($0.resource), 1) }, uniquingKeysWith: +)
        var changes: [MetadataChange] = []
        outcomes = wanted.map { one in
            var outcome = Outcome()
            outcome.resourceType = one.resource.type
            outcome.resourceName = one.resource.name
            do throws(Flaw) {
                guard counts[meant(one.resource)] == 1 else { throw Flaw(.invalidRequest, "each resource can be named once in a request") }
                changes.append(try change(one))
            } catch { outcome.refuse(error) }
            return outcome
        }
        return changes
    }

    /// What a broker that is alone is given is what all are given: clients can name one broker only.
    private func meant(_ resource: ConfigAlteration.Resource) -> ConfigAlteration.Resource {
        guard resource.type == ConfigResourceType.broker.rawValue, directory.isAlone, resource.name == String(nodeId) else { return resource }
        return .init(type: resource.type, name: "")
    }

    private func change(_ wanted: ConfigAlteration) throws(Flaw) -> MetadataChange {
        let name = meant(wanted.resource).name
        switch ConfigResourceType(rawValue: wanted.resource.type) {
        case .topic:
            guard let topic = planned.topics[name] else { throw Flaw(.unknownTopicOrPartition, "there is no topic \(name)") }
            let (given, removed) = try resolve(wanted, given: topic.configs) { name throws(Flaw) in
                guard let config = TopicConfig.named(name) else { throw Flaw(.invalidConfig, "unknown topic setting \(name)") }
                return config
            }
            if let flaw = flaw(topic, given: MetadataState.configured(topic.configs, given, removed)) { throw flaw }
            return .configureTopic(id: TopicID(topic.id), given: given, removed: removed)
        case .broker:
            guard name.isEmpty else { throw flaw(broker: name) }
            let (given, removed) = try resolve(wanted, given: planned.brokerConfigs) { name throws(Flaw) in
                if let config = TopicConfig.named(byBroker: name) { return config }
                guard let known = settings.first(where: { $0.name == name }) else { throw Flaw(.invalidConfig, "unknown broker setting \(name)") }
                throw Flaw(
                    .invalidConfig, known.isIdle ? "\(name): \(known.documentation)" : "\(name) is read when a broker starts, and can't be altered while it runs")
            }
            let replicas = directory.defaultReplicas
            let altered = MetadataState.configured(planned.brokerConfigs, given, removed)
            if directory.isAlone, let reason = TopicConfig.flaw(replicas: replicas, TopicConfig.settings(brokers: altered, defaults: defaults.settings)) {
                throw Flaw(.invalidConfig, reason)
            }
            return .configureBrokers(given: given, removed: removed)
        case .brokerLogger: throw Flaw.loggers
        case nil: throw Flaw(.invalidRequest, "resources of type \(wanted.resource.type) have no settings here")
        }
    }

    /// Why settings of that broker can't be altered.
    private func flaw(broker name: String) -> Flaw {
        guard directory.brokers.contains(where: { String($0.nodeId) == name }) else { return Flaw(.invalidRequest, "there is no broker \(name) now") }
        return Flaw(
            .invalidRequest,
            "what one broker of a cluster is given, it is given at its start; what topics have by default is altered for all brokers together: name none "
                + "(an empty name; hutong cluster config)")
    }

    /// Why a topic can't have these settings; nil: it can.
    private func flaw(_ topic: MetadataState.StoredTopic, given: [String: String]) -> Flaw? {
        let settings = TopicConfig.settings(given, defaults: planned.topicDefaults(defaults.settings))
        if TopicName.isInternal(topic.name), settings.cleanup.contains(.delete), settings.retentionMs != -1 || settings.retentionBytes != -1 {
            return Flaw(.invalidConfig, "consumer groups are kept in this topic: nothing of it can be deleted by age or size")
        }
        let replicas = topic.partitions.map { directory.replicas(of: $0.group) }.min() ?? 1
        return TopicConfig.flaw(replicas: replicas, settings).map { Flaw(.invalidConfig, $0) }
    }

    /// What is given, and what is not any more, once a resource that was given some settings is altered.
    /// - Parameter find: the setting of that name.
    private func resolve(
        _ wanted: ConfigAlteration, given current: [String: String], _ find: (String) throws(Flaw) -> TopicConfig
    ) throws(Flaw) -> (given: [String: String], removed: [String]) {
        var given: [String: String] = [:]
        var removed: Set<String> = []
        for step in wanted.steps {
            let config = try find(step.name)
            guard given[step.name] == nil, !removed.contains(step.name) else { throw Flaw(.invalidRequest, "\(step.name) is named twice") }
            switch Operation(rawValue: step.operation) {
            case .delete: removed.insert(step.name)
            case .set: given[step.name] = try checked(step.value, config, step.name)
            case .append:
                let value = try list(step, config, current) { now, more in now + more.filter { !now.contains($0) } }
                given[step.name] = try checked(value, config, step.name)
            case .subtract:
                let value = try list(step, config, current) { now, others in now.filter { !others.contains($0) } }
                given[step.name] = try checked(value, config, step.name)
            case nil: throw Flaw(.invalidRequest, "there is no operation \(step.operation) on settings")
            }
        }
        if wanted.replaces { removed.formUnion(current.keys.filter { given[$0] == nil }) }
        return (given, removed.sorted())
    }

    private func checked(_ value: String?, _ config: TopicConfig, _ name: String) throws(Flaw) -> String {
        if let reason = config.flaw(value, by: name) { throw Flaw(.invalidConfig, reason) }
        return value ?? ""
    }

    /// A setting that is a list, after elements were added or taken out.
    private func list(
        _ step: ConfigAlteration.Step, _ config: TopicConfig, _ current: [String: String], _ change: ([String], [String]) -> [String]
    ) throws(Flaw) -> String {
        guard config.type == .list else { throw Flaw(.invalidConfig, "\(step.name) is no list: it can be set, or deleted") }
        guard let value = step.value else { throw Flaw(.invalidConfig, "\(step.name) needs a value") }
        func elements(_ list: String) -> [String] { list.split(separator: ",").map { $0.filter { $0 != " " } } }
        let now = current[step.name] ?? config.value(default: planned.topicDefaults(defaults.settings))
        return change(elements(now), elements(value)).joined(separator: ",")
    }
}
