import Bench
import Client
import Foundation
import Metadata
import Wire

/// What a figure means: the promise behind an answer, and what the broker that gives it stands on. As the broker itself tells.
struct BrokerFacts: Encodable {
    /// What an answer means; nil: the broker does not say.
    var qos: String?
    var replicas: Int
    var flushMethod: String?
    var backend: String?
    var layout: String?
    var segmentBytes: Int?
    /// The drive, where it is on this host.
    var drive: String?

    init(_ client: KafkaClient, topic: String, acks: Int16, process: BrokerProcess?) throws {
        let metadata = try client.metadata(topics: [topic])
        replicas = metadata.topics.first?.partitions.first?.replicaNodes.count ?? 0
        let leader = metadata.topics.first?.partitions.first?.leaderId ?? -1
        let ofTopic = try client.settings(.topic, topic)
        let ofBroker = try client.settings(.broker, String(leader))
        let quality = acks == 0 ? .oneWay : ofTopic[acks == 1 ? "qos.leader" : "qos.all"].flatMap(QualityOfService.init(name:))
        qos = quality.map { "\($0.name): \($0.meaning)" }
        flushMethod = ofBroker["journal.flush.method"]
        backend = ofBroker["io.backend"]
        layout = ofBroker["threads.layout"]
        segmentBytes = ofBroker["journal.segment.bytes"].flatMap(Int.init)
        drive = process?.dataDirectory.flatMap(BrokerFacts.drive)
    }

    /// Device, file system and cache of the mount that holds the path (proc(5), mountinfo; sysfs, queue/write_cache).
    private static func drive(_ path: String) -> String? {
        guard let mounts = try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8) else { return nil }
        let real = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        var best: (point: String, type: String, source: String)?
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ").map(String.init)
            guard let dash = fields.firstIndex(of: "-"), dash + 2 < fields.count, fields.count > 4 else { continue }
            let point = fields[4]
            guard real == point || real.hasPrefix(point == "/" ? "/" : point + "/") else { continue }
            if point.count >= best?.point.count ?? 0 { best = (point, fields[dash + 1], fields[dash + 2]) }
        }
        guard let best else { return nil }
        let device = URL(fileURLWithPath: best.source).resolvingSymlinksInPath().lastPathComponent
        let queue = ["/sys/class/block/\(device)/queue", "/sys/class/block/\(device)/../queue"]
        let cache = queue.lazy.compactMap { try? String(contentsOfFile: $0 + "/write_cache", encoding: .utf8) }.first
        return "\(best.source), \(best.type)" + (cache.map { ", \($0.trimmingCharacters(in: .whitespacesAndNewlines)) cache" } ?? "")
    }
}
