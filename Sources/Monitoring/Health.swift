import Meters

/// Whether a broker is well, as far as its counters tell.
struct Health: Sendable {
    /// In sentences; none: it is well.
    var problems: [String] = []
    /// A stage does not go on.
    private(set) var isStuck = false

    init(_ now: MeterSnapshot) {
        for (number, group) in now.groups.enumerated() where group[.failure] != 0 {
            problems.append("partition group \(number): storage has failed with errno \(group[.failure]); nothing is acknowledged any more")
        }
        if let found = Diagnosis(now), found.isStuck {
            isStuck = true
            problems.append(BrokerView.Bottleneck(found, now.description).sentence)
        }
    }
}
