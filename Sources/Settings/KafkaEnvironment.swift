/// What Kafka's own images take from the environment, so that a container of theirs is replaced by one of ours: `KAFKA_NUM_PARTITIONS` for
/// `num.partitions`, and its listeners.
enum KafkaEnvironment {
    static let prefix = "KAFKA_"

    /// Variables with that prefix that are no settings of Kafka's either: of its start scripts and images.
    private static let ofScripts: Set<String> = [
        "KAFKA_HOME", "KAFKA_OPTS", "KAFKA_VERSION", "KAFKA_DEBUG", "KAFKA_HEAP_OPTS", "KAFKA_GC_LOG_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_CLUSTER_ID",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "KAFKA_CONTROLLER_LISTENER_NAMES", "KAFKA_INTER_BROKER_LISTENER_NAME",
    ]
    private static let scriptsPrefixes = ["KAFKA_JMX", "KAFKA_LOG4J"]

    /// What the variables say, as settings of ours.
    struct Taken: Equatable {
        var settings: [(variable: String, key: String, value: String)] = []
        /// What was not taken, in sentences.
        var ignored: [String] = []
        var problems: [String] = []

        static func == (one: Taken, other: Taken) -> Bool {
            one.settings.elementsEqual(other.settings, by: ==) && one.ignored == other.ignored && one.problems == other.problems
        }
    }

    /// - Parameter keys: of the settings that there are.
    static func take(_ environment: [String: String], keys: Set<String>) -> Taken {
        var taken = Taken()
        let controllers = Set((environment["KAFKA_CONTROLLER_LISTENER_NAMES"] ?? "CONTROLLER").split(separator: ",").map(String.init))
        let protocols = map(environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"] ?? "")
        for (variable, value) in environment.sorted(by: { $0.key < $1.key }) where variable.hasPrefix(prefix) {
            if ofScripts.contains(variable) || scriptsPrefixes.contains(where: variable.hasPrefix) { continue }
            switch variable {
            case "KAFKA_LISTENERS": takeListener(value, variable, as: "listen", controllers, protocols, &taken)
            case "KAFKA_ADVERTISED_LISTENERS": takeListener(value, variable, as: "advertise", controllers, protocols, &taken)
            case "KAFKA_LOG_DIRS", "KAFKA_LOG_DIR": taken.settings.append((variable, "data.dir", value))
            default:
                let key = variable.dropFirst(prefix.count).lowercased().map { $0 == "_" ? "." : String($0) }.joined()
                if keys.contains(key) { taken.settings.append((variable, key, value)) } else {
                    taken.ignored.append("The environment: \(variable) is ignored: there is no such setting here.")
                }
            }
        }
        return taken
    }

    /// `NAME:PROTOCOL,...`
    private static func map(_ text: String) -> [String: String] {
        Dictionary(
            text.split(separator: ",").compactMap { pair in
                let parts = pair.split(separator: ":").map { $0.trimmingPrefix(" ") }
                return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
            }, uniquingKeysWith: { $1 })
    }

    /// `NAME://HOST:PORT`, of which there may be one besides those of controllers, which there are none of here.
    private static func takeListener(
        _ value: String, _ variable: String, as key: String, _ controllers: Set<String>, _ protocols: [String: String], _ taken: inout Taken
    ) {
        var addresses: [String] = []
        for each in value.split(separator: ",") {
            let text = String(each.trimmingPrefix(" "))
            guard let marker = text.firstRange(of: "://") else {
                taken.problems.append("The environment: \(variable) is '\(text)', but must be NAME://HOST:PORT, e.g. PLAINTEXT://localhost:9092.")
                return
            }
            let name = String(text[..<marker.lowerBound])
            guard !controllers.contains(name) else { continue }
            let spoken = protocols[name] ?? (["SSL", "SASL_SSL", "SASL_PLAINTEXT"].contains(name) ? name : "PLAINTEXT")
            guard spoken == "PLAINTEXT" else {
                taken.problems.append("The environment: \(variable) has a listener that speaks \(spoken), but only PLAINTEXT is spoken here.")
                return
            }
            let address = text[marker.upperBound...]
            addresses.append(address.hasPrefix(":") ? "0.0.0.0\(address)" : String(address))
        }
        guard let address = addresses.first else { return }
        guard addresses.count == 1 else {
            taken.problems.append(
                "The environment: \(variable) has \(addresses.count) listeners, but a broker has one address for all its clients here. Keep one, under whose host name all of them reach it.")
            return
        }
        taken.settings.append((variable, key, address))
    }
}
