import Host

/// A partition, as the read stage numbers them.
struct PartitionKey: Hashable {
    var group: Int
    var number: UInt32
}

/// The fetches under way, by number; who of them waits for what.
struct JobTable: ~Copyable {
    private var jobs: [FetchJob?] = []
    private var free: [Int] = []
    private var toCheck: [Int] = []
    private var isQueued: [Bool] = []
    /// Those that wait for the disk, oldest first.
    private var loading: [Int] = []
    /// Counts the times that something was read from disk.
    private var reads: UInt64 = 0
    private var nextSequence: UInt64 = 0
    private var starved: Set<Int> = []
    private var waiters: [PartitionKey: Set<Int>] = [:]
    private var timers = TimerWheel(capacity: 0, tick: 1_000_000)
    private(set) var count = 0

    subscript(_ number: Int) -> FetchJob {
        guard let job = jobs[number] else { preconditionFailure("no such fetch") }
        return job
    }

    /// A new fetch, to be checked in this step.
    mutating func add(_ job: FetchJob) {
        let number: Int
        if let reused = free.popLast() { number = reused } else {
            number = jobs.count
            jobs.append(nil)
            isQueued.append(false)
            timers.grow(to: jobs.count)
        }
        jobs[number] = job
        job.sequence = nextSequence
        nextSequence += 1
        count += 1
        check(number)
    }

    mutating func remove(_ number: Int) {
        for partition in self[number].partitions { forget(number, partition) }
        timers.cancel(number)
        stopLoading(number)
        starved.remove(number)
        jobs[number] = nil
        free.append(number)
        count -= 1
    }

    private mutating func forget(_ number: Int, _ partition: FetchPartition) {
        guard let place = partition.place else { return }
        let key = PartitionKey(group: Int(place.group), number: place.number)
        waiters[key]?.remove(number)
        if waiters[key]?.isEmpty == true { waiters[key] = nil }
    }

    /// Lets it wait for a commit to one of its partitions, or for its time.
    mutating func park(_ number: Int) {
        let job = self[number]
        job.state = .waiting
        stopLoading(number)
        for partition in job.partitions {
            guard let place = partition.place else { continue }
            waiters[PartitionKey(group: Int(place.group), number: place.number), default: []].insert(number)
        }
        timers.set(number, deadline: job.deadline)
    }

    mutating func setLoading(_ number: Int) {
        self[number].checkedAtRead = reads
        guard !loading.contains(number) else { return }
        let sequence = self[number].sequence
        let place = loading.lastIndex { self[$0].sequence < sequence }.map { $0 + 1 } ?? 0
        loading.insert(number, at: place)
    }

    mutating func setStarved(_ number: Int) {
        stopLoading(number)
        starved.insert(number)
    }

    /// Whether anybody waits for something to be committed.
    var hasWaiters: Bool { !waiters.isEmpty }

    /// Something was committed there.
    mutating func wake(_ key: PartitionKey) {
        guard let numbers = waiters[key] else { return }
        for number in numbers where jobs[number]?.state == .waiting { check(number) }
    }

    /// The partition group is no longer what it was.
    mutating func wake(group: Int) {
        for key in waiters.keys where key.group == group { wake(key) }
    }

    /// Something was read from disk.
    mutating func noteRead() { reads += 1 }

    /// Has the oldest few of those that wait for the disk look whether what was read was for them: a fetch may need several
    /// windows at once, and too many fetches would take them from each other for ever. To be called again when some of
    /// them have looked, because others move up. Returns whether there was one to look.
    mutating func checkLoading(limit: Int) -> Bool {
        let due = loading.prefix(limit).filter { self[$0].checkedAtRead < reads }
        for number in due { check(number) }
        return !due.isEmpty
    }

    /// It no longer waits for the disk.
    mutating func stopLoading(_ number: Int) { loading.removeAll { $0 == number } }

    mutating func check(_ number: Int) {
        guard !isQueued[number] else { return }
        isQueued[number] = true
        toCheck.append(number)
    }

    mutating func nextToCheck() -> Int? {
        while let number = toCheck.popLast() {
            isQueued[number] = false
            if jobs[number] != nil { return number }
        }
        return nil
    }

    /// Those whose time is up (all, where `now` is the end of time) answer with what there is.
    mutating func takeDue(_ now: UInt64) {
        var due: [Int] = []
        if now == .max {
            due = jobs.indices.filter { timers.isSet($0) }
            for number in due { timers.cancel(number) }
        } else {
            timers.advance(to: now) { due.append($0) }
        }
        for number in due {
            guard let job = jobs[number] else { continue }
            job.isDue = true
            check(number)
        }
    }

    /// There is memory again: those that starved look whether it is enough.
    mutating func checkStarved() {
        for number in starved { check(number) }
        starved.removeAll(keepingCapacity: true)
    }

    var deadline: UInt64 { timers.deadline }
}
