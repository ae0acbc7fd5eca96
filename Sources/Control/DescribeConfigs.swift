import Intake
import Metadata
import Wire

extension ControlStage {
    /// The most settings of one answer: what is asked for costs little to ask.
    private static let mostConfigs = 20_000

    mutating func handleDescribeConfigs(_ request: ClientRequest, _ io: Int) throws {
        let message = try request.decode(DescribeConfigsRequest.self)
        var response = DescribeConfigsResponse()
        var left = ControlStage.mostConfigs
        for resource in message.resources {
            var result = DescribeConfigsResponse.Result()
            result.resourceType = resource.resourceType
            result.resourceName = resource.resourceName
            do throws(Flaw) {
                let all = try configs(resource)
                // As in Kafka: an empty list asks for all, as none does.
                let asked = Set(resource.configurationKeys ?? [])
                result.configs = asked.isEmpty ? all : all.filter { asked.contains($0.name) }
                guard result.configs.count <= left else { throw Flaw(.invalidRequest, "more settings are asked for than fit one answer") }
                left -= result.configs.count
            } catch {
                result.configs = []
                result.refuse(error)
            }
            for index in result.configs.indices {
                if !message.includeSynonyms { result.configs[index].synonyms = [] }
                if !message.includeDocumentation { result.configs[index].documentation = nil }
            }
            response.results.append(result)
        }
        try answer(response, request, io)
    }

    private func configs(_ resource: DescribeConfigsRequest.Resource) throws(Flaw) -> [DescribeConfigsResponse.Config] {
        switch ConfigResourceType(rawValue: resource.resourceType) {
        case .topic:
            guard let topic = table.topic(named: resource.resourceName) else {
                throw Flaw(.unknownTopicOrPartition, "there is no topic \(resource.resourceName)")
            }
            return TopicConfig.all.map { described(topic, $0) }
        case .broker:
            // An empty name asks for what all brokers were given while they ran.
            if resource.resourceName.isEmpty {
                return settings.filter { brokerConfigs[$0.name] != nil }.map { setting in
                    var config = described(setting)
                    config.synonyms = Array(config.synonyms.prefix(1))
                    return config
                }
            }
            guard resource.resourceName == String(nodeId) else {
                throw Flaw(.invalidRequest, "this is broker \(nodeId), not \(resource.resourceName)")
            }
            return settings.map { described($0) }
        case .brokerLogger: throw Flaw.loggers
        case nil: throw Flaw(.invalidRequest, "resources of type \(resource.resourceType) have no settings here")
        }
    }

    private func described(_ setting: DescribedSetting) -> DescribeConfigsResponse.Config {
        var config = DescribeConfigsResponse.Config()
        config.name = setting.name
        config.value = brokerConfigs[setting.name] ?? setting.value
        config.readOnly = TopicConfig.named(byBroker: setting.name) == nil
        config.synonyms = synonyms(setting)
        config.configSource = config.synonyms[0].source
        config.isDefault = config.configSource == ConfigSource.defaultConfig.rawValue
        config.configType = setting.type.rawValue
        config.documentation = setting.documentation
        return config
    }

    private func synonyms(_ setting: DescribedSetting) -> [DescribeConfigsResponse.Synonym] {
        let sources: [(String?, ConfigSource)] = [
            (brokerConfigs[setting.name], .dynamicDefaultBrokerConfig), (setting.given, .staticBrokerConfig), (setting.defaultValue, .defaultConfig),
        ]
        return sources.compactMap { value, source in value.map { .init(name: setting.name, value: $0, source: source) } }
    }

    private func described(_ topic: Topic, _ setting: TopicConfig) -> DescribeConfigsResponse.Config {
        var config = DescribeConfigsResponse.Config()
        config.name = setting.name
        let given = topic.configs[setting.name]
        if let given { config.synonyms.append(.init(name: setting.name, value: given, source: .dynamicTopicConfig)) }
        if let broker = setting.brokerName.flatMap({ name in settings.first { $0.name == name } }) {
            config.synonyms += synonyms(broker)
        } else {
            config.synonyms.append(.init(name: setting.name, value: setting.value(default: defaults.settings), source: .defaultConfig))
        }
        config.value = setting.value(topic.settings, given: topic.configs)
        config.configSource = config.synonyms[0].source
        config.isDefault = given == nil
        config.configType = setting.type.rawValue
        config.documentation = setting.documentation
        return config
    }
}
