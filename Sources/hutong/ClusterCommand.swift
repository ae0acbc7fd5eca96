import ArgumentParser

/// A cluster as a whole. Each action is in a file of its own.
struct ClusterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster", abstract: "Show a cluster's brokers and partition groups; spread the groups over the brokers; elect leaders; change settings.",
        subcommands: [ClusterInfo.self, ClusterRebalance.self, ClusterElect.self, ClusterConfig.self])
}
