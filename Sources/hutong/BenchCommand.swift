import ArgumentParser
import Bench
import Client
import Wire

/// `hutong bench`: loads whose every answer is checked.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure a broker, and what it stands on: the drive, the transport.",
        subcommands: [BenchProduce.self, BenchConsume.self, BenchGroups.self, BenchMeet.self, BenchNull.self])

    /// - Parameter configs: as NAME=VALUE.
    static func makeTopics(_ settings: LoadSettings, configs: [String] = [], _ client: KafkaClient) throws {
        var request = CreateTopicsRequest()
        request.timeoutMs = 30_000
        request.topics = settings.topics.map { name in
            var topic = CreateTopicsRequest.Topic()
            topic.name = name
            topic.numPartitions = Int32(settings.partitions)
            topic.replicationFactor = 1
            topic.configs = configs.map {
                let parts = $0.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return CreateTopicsRequest.Config(name: String(parts[0]), value: String(parts[1]))
            }
            return topic
        }
        for answer in try client.createTopics(request).topics where answer.errorCode != .none {
            throw LoadError("topic \(answer.name) can't be made: \(answer.errorMessage ?? "\(answer.errorCode)")")
        }
    }
}
