import Meters

/// Whether a broker is well, as far as its counters tell.
struct Health: Sendable {
    /// For which the process had better be started again, in sentences; none: it had not.
    private(set) var faults: [String] = []
    /// For which it does not do what clients want, those besides.
    private(set) var problems: [String] = []

    init(_ now: MeterSnapshot) {
        for (number, group) in now.groups.enumerated() where group[.failure] != 0 {
            faults.append("partition group \(number): storage has failed with errno \(group[.failure]); nothing is acknowledged any more")
        }
        guard let found = Diagnosis(now), found.isStuck else { return }
        let sentence = BrokerView.Bottleneck(found, now.description).sentence
        if found.isOwn(now.description) { faults.append(sentence) } else { problems.append(sentence) }
    }

    /// Whether it is to be asked nothing that would wait for an answer.
    var isStuck: Bool { !faults.isEmpty || !problems.isEmpty }
}
