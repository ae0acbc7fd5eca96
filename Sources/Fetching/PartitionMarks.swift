import Host

/// Partitions that were met, each once, in the order in which they were: a list, and for each partition number the round in which it
/// was put there, so that nothing need be wiped.
struct PartitionMarks: ~Copyable {
    private var rounds = OwnedArray<UInt32>(minimumCapacity: 64)
    private var round: UInt32 = 1
    private var marked = OwnedArray<UInt32>(minimumCapacity: 64)

    mutating func mark(_ partition: UInt32) {
        let number = Int(partition)
        if rounds.count <= number { rounds.extend(to: number + 1, with: 0) }
        guard rounds[number] != round else { return }
        rounds[number] = round
        marked.append(partition)
    }

    /// Hands them out, and forgets them.
    mutating func take(_ body: (UInt32) -> Void) {
        guard marked.count > 0 else { return }
        for index in 0..<marked.count { body(marked[index]) }
        marked.removeAll()
        round &+= 1
        if round == 0 {
            rounds.removeAll()
            round = 1
        }
    }
}
