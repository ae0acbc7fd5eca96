import ArgumentParser
import Host

@main
struct Hutong: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hutong",
        abstract: "A message broker that speaks the Kafka protocol, and tools to talk to it.",
        version: "hutong \(Program.version)",
        subcommands: [
            ServeCommand.self, PlacementCommand.self, ConfigCommand.self, TopicCommand.self, GroupCommand.self, ProduceCommand.self,
            ConsumeCommand.self, BenchCommand.self, JournalCommand.self, SimCommand.self, ClusterCommand.self,
            HealthCommand.self, DoctorCommand.self, TuneCommand.self, TopCommand.self, GenerateCommand.self,
        ])
}
