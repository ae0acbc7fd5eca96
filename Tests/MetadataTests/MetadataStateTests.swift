import Metadata
import Testing
import Wire

@Suite struct MetadataStateTests {
    private let id = TopicID(Uuid(high: 1, low: 2))

    private func state(_ changes: [MetadataChange]) -> MetadataState {
        var state = MetadataState()
        for change in changes { state.apply(change) }
        return state
    }

    private func created(_ count: UInt32 = 2, configs: [String: String] = [:]) -> MetadataChange {
        .createTopic(name: "t", id: id, partitions: (0..<count).map { PartitionPlace(group: 0, number: $0) }, configs: configs)
    }

    @Test func partitionsAreAddedOnceAndTheirNumbersAreGone() {
        let more: MetadataChange = .addPartitions(topic: id, behind: 2, partitions: [PartitionPlace(group: 0, number: 2), PartitionPlace(group: 3, number: 0)])
        var state = state([created()])
        #expect(state.flaw(more) == nil)
        state.apply(more)
        #expect(state.topics["t"]?.partitions.map(\.group) == [0, 0, 0, 3])
        #expect(state.partitionNumbers == [3, 0, 0, 1])
        // Who has counted before somebody else added his is told so, and nothing happens.
        #expect(state.flaw(more) != nil)
        let version = state.tableVersion
        state.apply(more)
        #expect(state.topics["t"]?.partitions.count == 4 && state.tableVersion == version)
    }

    @Test func partitionsWhoseNumbersAreTakenAreNotAdded() {
        let state = state([created()])
        #expect(state.flaw(.addPartitions(topic: id, behind: 2, partitions: [PartitionPlace(group: 0, number: 1)])) != nil)
        #expect(state.flaw(.addPartitions(topic: TopicID(Uuid(high: 9, low: 9)), behind: 2, partitions: [])) != nil)
    }

    @Test func settingsAreGivenAndTakenBack() {
        var state = state([created(configs: ["retention.ms": "5", "flush.ms": "6"])])
        state.apply(.configureTopic(id: id, given: ["retention.ms": "7", "max.message.bytes": "100"], removed: ["flush.ms", "qos.all"]))
        #expect(state.topics["t"]?.configs == ["retention.ms": "7", "max.message.bytes": "100"])
        let topic = state.table(defaults: TopicSettings()).topic(named: "t")
        #expect(topic?.settings.retentionMs == 7 && topic?.settings.maxMessageBytes == 100)
    }

    @Test func whatBrokersAreGivenCountsWhereATopicIsGivenNothing() {
        var state = state([created(configs: ["retention.ms": "5"])])
        state.apply(.configureBrokers(given: ["message.max.bytes": "900", "log.retention.ms": "8"], removed: []))
        var settings = state.table(defaults: TopicSettings(retentionBytes: 33)).topic(named: "t")?.settings
        #expect(settings?.maxMessageBytes == 900 && settings?.retentionMs == 5 && settings?.retentionBytes == 33)
        state.apply(.configureBrokers(given: [:], removed: ["message.max.bytes"]))
        settings = state.table(defaults: TopicSettings()).topic(named: "t")?.settings
        #expect(settings?.maxMessageBytes == TopicSettings().maxMessageBytes)
    }

    @Test func whatTablesShowIsCounted() {
        var state = MetadataState()
        let changes: [(MetadataChange, Bool)] = [
            (.producerIds(below: 1000), false), (created(), true), (created(), false), (.configureBrokers(given: [:], removed: []), true),
            (.configureTopic(id: id, given: [:], removed: []), true), (.epoch(group: 0, epoch: 1, position: 0), false),
            (.addPartitions(topic: id, behind: 2, partitions: []), true), (.deleteTopic(id: id), true), (.deleteTopic(id: id), false),
            (.configureTopic(id: id, given: ["retention.ms": "1"], removed: []), false),
        ]
        for (change, counts) in changes {
            let before = state.tableVersion
            state.apply(change)
            #expect((state.tableVersion != before) == counts, "\(change)")
        }
    }
}

@Suite struct TopicConfigTests {
    @Test func everySettingTakesItsOwnDefaultAndIsDocumented() {
        for config in TopicConfig.all {
            let value = config.value(default: TopicSettings())
            #expect(config.flaw(value) == nil, "\(config.name) \(value)")
            #expect(config.documentation.hasSuffix("."), "\(config.name)")
            #expect(config.flaw(nil) != nil && TopicConfig.flaw(config.name, "?") != nil, "\(config.name)")
        }
        #expect(TopicConfig.flaw("no.such.setting", "1") != nil)
        #expect(TopicConfig.all.map(\.name) == TopicConfig.all.map(\.name).sorted())
    }

    @Test(arguments: [
        ("retention.ms", "-2"), ("retention.bytes", "9223372036854775808"), ("min.insync.replicas", "0"), ("min.insync.replicas", "65"),
        ("max.message.bytes", "-1"), ("qos.all", "received"), ("qos.leader", "durable"), ("preallocate", "True"), ("min.cleanable.dirty.ratio", "1.5"),
        ("min.cleanable.dirty.ratio", "nan"), ("compression.gzip.level", "10"), ("segment.ms", "0"), ("cleanup.policy", "compact,evaporate"), ("cleanup.policy", ""),
    ])
    func whatItCanNotBeIsRefused(name: String, value: String) {
        #expect(TopicConfig.flaw(name, value)?.contains(name) == true)
    }

    @Test func aBrokerIsToldOfItsOwnName() throws {
        let config = try #require(TopicConfig.named(byBroker: "message.max.bytes"))
        #expect(config.name == "max.message.bytes" && config.flaw("-1", by: "message.max.bytes")?.hasPrefix("message.max.bytes") == true)
    }
}
