import ArgumentParser
import Client
import Wire

struct ClusterInfo: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Show brokers, and partition groups with their leaders and replicas.",
        discussion: "Partition groups that hold no topic's partition are not shown. PREFERRED is who is to lead, TARGET who is to have the group.")

    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var server: ServerOption

    private struct Cluster: Encodable {
        let clusterId: String?
        let controller: Int32
        let brokers: [Broker]
        let groups: [Group]
    }

    private struct Broker: Encodable {
        let id: Int32
        let address: String
        let leads: Int
        let replicas: Int
    }

    private struct Group: Encodable {
        let group: UInt16
        let epoch: Int32
        /// Nil: nobody.
        let leader: Int32?
        let preferred: Int32
        let replicas: [Int32]
        let inSync: [Int32]
        let target: [Int32]
        let topics: Int
        let partitions: Int
    }

    func run() throws {
        let cluster = try ClusterGroups(try server.client())
        let brokers = cluster.brokers.map { broker in
            Broker(
                id: broker.nodeId, address: "\(broker.host):\(broker.port)", leads: cluster.groups.count { $0.leader == broker.nodeId },
                replicas: cluster.groups.count { $0.replicas.contains(broker.nodeId) })
        }
        let groups = cluster.groups.map { group in
            Group(
                group: group.number, epoch: group.epoch, leader: group.leader < 0 ? nil : group.leader, preferred: group.preferred,
                replicas: group.replicas, inSync: group.inSync, target: group.target, topics: group.topics, partitions: group.partitions.count)
        }
        if json {
            let all = Cluster(clusterId: cluster.clusterId, controller: cluster.controller, brokers: brokers, groups: groups)
            return print(try Output.json(all), terminator: "")
        }
        print("cluster \(cluster.clusterId ?? "without a name"), controller \(cluster.controller)\n")
        print(Output.table(["BROKER", "ADDRESS", "LEADS", "REPLICAS"], brokers.map { ["\($0.id)", $0.address, "\($0.leads)", "\($0.replicas)"] }))
        let rows = groups.map { group in
            [
                "\(group.group)", "\(group.epoch)", group.leader.map(String.init) ?? "-", "\(group.preferred)", ClusterGroups.list(group.replicas),
                ClusterGroups.list(group.inSync), ClusterGroups.list(group.target), "\(group.topics)", "\(group.partitions)",
            ]
        }
        let header = ["GROUP", "EPOCH", "LEADER", "PREFERRED", "REPLICAS", "IN-SYNC", "TARGET", "TOPICS", "PARTITIONS"]
        print(Output.table(header, rows), terminator: "")
    }
}
