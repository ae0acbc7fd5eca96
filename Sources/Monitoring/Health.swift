import Meters

/// Whether a broker is well, as far as its counters tell.
struct Health: Sendable {
    /// For which the process had better be started again, in sentences; none: it had not.
    private(set) var faults: [String] = []
    /// For which it does not do what clients want; those are among them.
    private(set) var problems: [String] = []

    /// - Parameter patience: for so many nanoseconds what is only slow, as a drive can be for a while, is no fault.
    init(_ now: MeterSnapshot, patience: UInt64 = Diagnosis.patience) {
        for (number, group) in now.groups.enumerated() where group[.failure] != 0 {
            faults.append("partition group \(number): storage has failed with errno \(group[.failure]); nothing is acknowledged any more")
        }
        problems = faults
        guard let found = Diagnosis(now), found.isStuck else { return }
        let sentence = BrokerView.Bottleneck(found, now.description).sentence
        problems.append(sentence)
        if found.isOwn(now.description), found.duration >= patience { faults.append(sentence) }
    }
}
